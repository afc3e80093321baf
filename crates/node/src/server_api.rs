//! What the server side can want of a node: publish, and change connections.

use std::sync::atomic::Ordering;

use tokio::sync::mpsc;
use tourbillon_broker::{BrokerError, Publish, PublishOptions, Published};
use tourbillon_session::ServerOp;
use tourbillon_types::{Channel, ClientId, Disconnect, Payload, ReplyError, SessionId, Unsubscribe, UserId};

use crate::Node;
use crate::calls::{granted, refreshed};
use crate::cluster::Cluster;
use crate::conn::{Done, Wish};
use crate::hooks::{ChannelOptions, RefreshDecision, SubscriptionOptions};
use crate::shared::Shared;
use tourbillon_control::{NodeInfo, Stats};
use tourbillon_metrics::{Present, Sample};

/// Which connections are meant: those of a user, or one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// The user; the empty one means connections without a name, not all (HID-71).
    pub user: UserId,
    /// Only this connection of the user.
    pub client: Option<ClientId>,
    /// Only the connection with this secret.
    pub session: Option<SessionId>,
}

impl Target {
    /// All connections of a user.
    #[must_use]
    pub const fn user(user: UserId) -> Self {
        Self { user, client: None, session: None }
    }
}

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

    /// Subscribes connections to a channel (API-22). Returns when they are subscribed: what is published from then
    /// on reaches them.
    ///
    /// # Errors
    ///
    /// None while a node stands alone; a cluster's can be unreachable.
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
        let granted = granted(options, false);
        self.tell(target, &[], || ServerOp::Subscribe { channel: channel.clone(), granted: granted.clone() })
            .await;
        Ok(())
    }

    /// Ends subscriptions of connections (API-23). Each is told, subscribed or not (HID-70).
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
        self.tell(target, &[], || ServerOp::Unsubscribe { channel: channel.clone(), why: why.clone() }).await;
        Ok(())
    }

    /// Ends connections (API-24), but for those in `except`.
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
        self.tell(target, except, || ServerOp::Disconnect(why.clone())).await;
        Ok(())
    }

    /// Changes when connections expire (API-25).
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    ///
    /// # Cancel safety
    ///
    /// Connections already told go on.
    pub async fn refresh(&self, target: &Target, decision: RefreshDecision) -> Result<(), ReplyError> {
        let refreshed = refreshed(decision);
        self.tell(target, &[], || ServerOp::Refresh(refreshed.clone())).await;
        Ok(())
    }

    /// Sends connections data that belongs to no channel (PUSH-05). Returns when it is queued for them.
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    ///
    /// # Cancel safety
    ///
    /// Connections already told go on.
    pub async fn send(&self, target: &Target, data: Payload) -> Result<(), ReplyError> {
        self.tell(target, &[], || ServerOp::Message(data.clone())).await;
        Ok(())
    }

    /// Tells the meant connections something and waits, within the deadline for calls, until it is done.
    async fn tell(&self, target: &Target, except: &[ClientId], op: impl Fn() -> ServerOp) {
        let (done, mut undone): (Done, _) = mpsc::channel(1);
        for conn in self.shared.registry.of_user(&target.user) {
            let meant = target.client.is_none_or(|client| client == conn.client)
                && target.session.is_none_or(|session| session == conn.session)
                && !except.contains(&conn.client);
            if meant {
                conn.tell(op(), Some(done.clone()));
            }
        }
        drop(done);
        let _ = tokio::time::timeout(self.shared.config.call_timeout, undone.recv()).await;
    }

    /// Has every connection of a user, or of all users, ask [`Hooks::stays`](crate::Hooks::stays) whether it may stay,
    /// and waits, within the deadline for calls, until they have. What makes `stays` answer otherwise must be in force
    /// before.
    ///
    /// # Cancel safety
    ///
    /// Connections already told go on.
    pub async fn recheck(&self, user: Option<&UserId>) {
        let (done, mut undone): (Done, _) = mpsc::channel(1);
        let registry = &self.shared.registry;
        for conn in user.map_or_else(|| registry.all(), |user| registry.of_user(user)) {
            conn.wish(Wish::Recheck, Some(done.clone()));
        }
        drop(done);
        let _ = tokio::time::timeout(self.shared.config.call_timeout, undone.recv()).await;
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

    /// The channels of the cluster with their numbers of subscribers, as far as `matches` takes their names
    /// (API-31).
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    pub async fn channels(
        &self,
        matches: &(dyn Fn(&str) -> bool + Send + Sync),
    ) -> Result<Vec<(Channel, usize)>, ReplyError> {
        std::future::ready(Ok(self.shared.hub.channels(matches))).await
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

    /// What this node carries. Walks through all channels: not for every connection.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }
}

impl Shared {
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
        let version = &self.config.version;
        self.metrics.samples(&Present { clients, users, subscriptions, channels, nodes, version })
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
