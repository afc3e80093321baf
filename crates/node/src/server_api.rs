//! What the server side can want of a node: publish, and change connections.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::sync::mpsc;
use tourbillon_broker::{BrokerError, Publish, PublishOptions, Published};
use tourbillon_session::ServerOp;
use tourbillon_types::{Channel, ClientId, Disconnect, Payload, ReplyError, Unsubscribe, UserId};

use crate::Node;
use crate::calls::{granted, refreshed};
use crate::cluster::Cluster;
use crate::conn::{Done, Wish};
use crate::hooks::{ChannelOptions, RefreshDecision, SubscriptionOptions};
use crate::shared::Shared;
use tourbillon_control::{ChannelPattern, NodeInfo, Notice, Order, Stats, Target, Wanted};
use tourbillon_metrics::{Action, Distribution, Present, Sample};

/// Why a publication was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The broker failed.
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

impl PublishError {
    /// What a caller over the server API is told.
    #[must_use]
    pub fn to_reply_error(&self) -> ReplyError {
        let Self::Broker(error) = self;
        if error.is_invalid() {
            ReplyError::BAD_REQUEST
        } else if error.is_unsupported() {
            ReplyError::NOT_AVAILABLE
        } else {
            ReplyError::INTERNAL
        }
    }
}

impl Node {
    /// The rules of a channel that do not depend on who asks.
    ///
    /// # Errors
    ///
    /// 102 for a channel of an unknown namespace.
    pub fn channel_options(&self, channel: &str) -> Result<ChannelOptions, ReplyError> {
        self.shared.hooks.channel_options(channel)
    }

    /// Publishes into a channel. `options` are taken as they are: the channel's own rules
    /// ([`channel_options`](Self::channel_options)) are the caller's to apply.
    ///
    /// Returns when delivery has begun, without waiting for any connection.
    ///
    /// # Errors
    ///
    /// The broker's, or [transient](BrokerError::is_transient) when it does not answer within
    /// [`NodeConfig::call_timeout`](crate::NodeConfig::call_timeout).
    ///
    /// # Cancel safety
    ///
    /// Whether the publication took effect is unknown after a drop.
    pub async fn publish(
        &self,
        channel: Channel,
        data: Payload,
        options: PublishOptions,
    ) -> Result<Published, PublishError> {
        Ok(self.shared.publish(Publish { channel, data, options }).await?)
    }

    /// Subscribes connections of all nodes to a channel (API-22). Returns when they are subscribed: what is published
    /// from then on reaches them.
    ///
    /// # Errors
    ///
    /// 100 where another node cannot be reached or does not answer in time: its connections may have been told or not.
    ///
    /// # Cancel safety
    ///
    /// Connections already told go on.
    pub async fn subscribe(
        &self,
        target: &Target,
        channel: Channel,
        options: SubscriptionOptions,
    ) -> Result<(), ReplyError> {
        self.order(target, &[], Wanted::Subscribe { channel, options: Box::new(options) }).await
    }

    /// Ends subscriptions of connections of all nodes (API-23). Each is told, subscribed or not (HID-70).
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    ///
    /// # Cancel safety
    ///
    /// Connections already told go on.
    pub async fn unsubscribe(
        &self,
        target: &Target,
        channel: Channel,
        why: Unsubscribe,
    ) -> Result<(), ReplyError> {
        self.order(target, &[], Wanted::Unsubscribe { channel, why }).await
    }

    /// Ends connections of all nodes (API-24), but for those in `except`.
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    ///
    /// # Cancel safety
    ///
    /// Connections already told go on.
    pub async fn disconnect(
        &self,
        target: &Target,
        why: Disconnect,
        except: &[ClientId],
    ) -> Result<(), ReplyError> {
        self.order(target, except, Wanted::Disconnect(why)).await
    }

    /// Changes when connections of all nodes expire (API-25). Of the decision, `expired`, `expire_at` and `info` count.
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    ///
    /// # Cancel safety
    ///
    /// Connections already told go on.
    pub async fn refresh(&self, target: &Target, decision: RefreshDecision) -> Result<(), ReplyError> {
        self.order(target, &[], Wanted::Refresh(Box::new(decision))).await
    }

    /// Sends connections of all nodes data that belongs to no channel (PUSH-05). Returns when it is queued for them.
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    ///
    /// # Cancel safety
    ///
    /// Connections already told go on.
    pub async fn send(&self, target: &Target, data: Payload) -> Result<(), ReplyError> {
        self.order(target, &[], Wanted::Message(data)).await
    }

    /// Has every connection of a user, or of all users, ask [`Hooks::stays`](crate::Hooks::stays) whether it may stay,
    /// and [`Hooks::subscription_stays`](crate::Hooks::subscription_stays) about subscriptions that it has by tokens, and
    /// waits, within the deadline for calls, until they have. What makes them answer otherwise must be in force before, on
    /// every node.
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    ///
    /// # Cancel safety
    ///
    /// Connections already told go on.
    pub async fn recheck(&self, user: Option<&UserId>) -> Result<(), ReplyError> {
        let Order { target, except, what } = recheck(user);
        self.order(&target, &except, what).await
    }

    /// The same for the connections of this node alone: where other nodes find out by themselves, as by a
    /// [notice](Self::notify) that answers [`Noticed::Recheck`](crate::Noticed::Recheck).
    ///
    /// # Cancel safety
    ///
    /// Connections already told go on.
    pub async fn recheck_here(&self, user: Option<&UserId>) {
        self.shared.carry_out(&recheck(user)).await;
    }

    /// Tells the [hooks](crate::Hooks::notified) of all other nodes something, and waits until they have heard it (CTL-06).
    /// Nodes that come later hear what hooks [welcome](crate::Hooks::welcome) them with. Up to 1 MiB.
    ///
    /// # Errors
    ///
    /// 100 where another node cannot be reached, does not answer in time or does not understand it.
    ///
    /// # Cancel safety
    ///
    /// Whether it was told is unknown after a drop.
    pub async fn notify(&self, what: &'static str, data: Bytes) -> Result<(), ReplyError> {
        self.shared.metrics.act(Action::Notify);
        match &self.shared.cluster {
            Some(cluster) => cluster.notify(&self.shared, Notice { what: what.to_owned(), data }).await,
            None => Ok(()),
        }
    }

    /// Tells the meant connections something and waits, within the deadline for calls, until it is done.
    async fn order(&self, target: &Target, except: &[ClientId], what: Wanted) -> Result<(), ReplyError> {
        let order = Order { target: target.clone(), except: except.to_vec(), what };
        let Some(cluster) = &self.shared.cluster else {
            self.shared.carry_out(&order).await;
            return Ok(());
        };
        let is_of_one = target.client.is_some() || target.session.is_some();
        if is_of_one {
            // Where it is found, nobody else has it.
            return match self.shared.carry_out(&order).await {
                0 => cluster.order(&self.shared, &order).await,
                _ => Ok(()),
            };
        }
        tokio::join!(self.shared.carry_out(&order), cluster.order(&self.shared, &order)).1
    }

    /// The nodes of the cluster: this one, and as they last described themselves those that it hears of.
    pub async fn nodes(&self) -> Vec<NodeInfo> {
        let peers = self.shared.cluster.as_ref().map(Cluster::peers).unwrap_or_default();
        std::future::ready(std::iter::once(self.info()).chain(peers).collect()).await
    }

    /// This node.
    #[must_use]
    pub fn info(&self) -> NodeInfo {
        self.shared.info()
    }

    /// The channels of the cluster with their numbers of subscribers (API-31). Walks through all channels of all nodes:
    /// not for large deployments.
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    pub async fn channels(&self, pattern: &ChannelPattern) -> Result<Vec<(Channel, usize)>, ReplyError> {
        let here = self.shared.hub.channels(&|name| pattern.matches(name));
        let Some(cluster) = &self.shared.cluster else { return Ok(here) };
        let mut all: HashMap<Channel, usize> = here.into_iter().collect();
        for (channel, subscribers) in cluster.channels(&self.shared, pattern).await? {
            *all.entry(channel).or_default() += subscribers;
        }
        Ok(all.into_iter().collect())
    }

    /// The number of connections, accepted or not: what [`Stats::connections`] is, without counting the rest.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.registry.connections()
    }

    /// The number of connections that have not sent their connect command yet.
    #[must_use]
    pub fn half_open(&self) -> usize {
        self.shared.half_open.load(Ordering::Relaxed)
    }

    /// Everything that this node has counted since it began, and what it carries at the moment (section 12.2), for
    /// whatever shows metrics. Walks through all channels: not for every connection.
    #[must_use]
    pub fn metrics(&self) -> Vec<Sample> {
        self.shared.samples()
    }

    /// Everything that this node has measured since it began (section 12.2): nothing, without
    /// [`NodeConfig::measures`](crate::NodeConfig::measures). With [`metrics`](Self::metrics) it is what a
    /// [report](crate::prometheus::Report) is made of.
    #[must_use]
    pub fn distributions(&self) -> Vec<Distribution> {
        self.shared.metrics.distributions(self.shared.clock.instant())
    }

    /// Counts a connection that whoever accepts connections turned away, because there are as many as there may be
    /// (MET-10).
    pub fn turned_away(&self) {
        self.shared.metrics.connection_limit();
    }

    /// What this node carries. Walks through all channels: not for every connection.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }
}

impl Shared {
    /// Tells connections of this node something, and waits, within the deadline for calls, until it is done. Says how
    /// many were told.
    pub(crate) async fn carry_out(&self, order: &Order) -> usize {
        let Order { target, except, what } = order;
        let (done, mut undone): (Done, _) = mpsc::channel(1);
        let found =
            if target.all_users { self.registry.accepted() } else { self.registry.of_user(&target.user) };
        let mut told = 0;
        for conn in found {
            let meant = target.client.is_none_or(|client| client == conn.client)
                && target.session.is_none_or(|session| session == conn.session)
                && !except.contains(&conn.client);
            if meant {
                conn.wish(wish(what), target.labels.clone(), Some(done.clone()));
                told += 1;
            }
        }
        drop(done);
        let _ = tokio::time::timeout(self.call_timeout(), undone.recv()).await;
        told
    }

    pub(crate) fn info(&self) -> NodeInfo {
        let name = &self.config.name;
        let name = if name.is_empty() { self.id.to_string() } else { name.clone() };
        let mut info = NodeInfo::new(self.id, name, self.config.version.clone());
        info.stats = self.stats();
        info.uptime = self.clock.now().instant - self.started;
        info.metrics = Some(self.metrics.aggregate().get());
        info
    }

    pub(crate) fn samples(&self) -> Vec<Sample> {
        let Stats { clients, users, subscriptions, channels, .. } = self.stats();
        let nodes = 1 + self.cluster.as_ref().map_or(0, Cluster::size);
        let (version, polled) = (&self.config.version, self.poller.count());
        self.metrics.samples(&Present { clients, users, subscriptions, channels, nodes, polled, version })
    }

    fn stats(&self) -> Stats {
        let (channels, subscriptions) = self.hub.count();
        let mut stats = Stats::default();
        stats.connections = self.registry.connections();
        stats.clients = self.registry.clients();
        stats.users = self.registry.users();
        stats.subscriptions = subscriptions;
        stats.channels = channels;
        stats
    }
}

/// That connections of a user, or all, ask whether they may stay.
pub(crate) fn recheck(user: Option<&UserId>) -> Order {
    let target = user.map_or_else(Target::everybody, |user| Target::user(user.clone()));
    Order { target, except: Vec::new(), what: Wanted::Recheck }
}

/// What a connection is told.
fn wish(what: &Wanted) -> Wish {
    let op = match what.clone() {
        Wanted::Subscribe { channel, options } => {
            ServerOp::Subscribe { channel, granted: granted(*options, false) }
        }
        Wanted::Unsubscribe { channel, why } => ServerOp::Unsubscribe { channel, why },
        Wanted::Disconnect(why) => ServerOp::Disconnect(why),
        Wanted::Refresh(decision) => ServerOp::Refresh(refreshed(*decision)),
        Wanted::Message(data) => ServerOp::Message(data),
        Wanted::Recheck => return Wish::Recheck,
    };
    Wish::Op(op)
}
