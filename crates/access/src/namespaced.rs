//! Namespaces as a decorator.

use tourbillon_auth::{InvalidToken, Overrides};
use tourbillon_node::hooks::{TrackDecision, TrackRequest};
use tourbillon_node::{
    ChannelOptions, Client, HistoryRequest, Hooks, MapPublishDecision, MapPublishRequest, MapRemoveDecision,
    MapRemoveRequest, PresenceRequest, PublishDecision, PublishRequest, Refusal, SubscribeDecision,
    SubscribeRequest,
};
use tourbillon_types::{Channel, ReplyError};

use crate::forward::forward;
use crate::ladder::{Asked, Asking, Attributes, PublishQuery, ReadQuery, SubscribeQuery, TokenCheck};
use crate::polled::TrackQuery;
use crate::{Decision, Live, MapChange, MapChangeQuery, Namespaces, Rule};

/// Decides about subscriptions and publications by the rules of namespaces, and leaves the rest to `H`: also those that a
/// namespace leaves to somebody else ([`ChannelProxies`](crate::ChannelProxies)).
///
/// It knows no tokens: a subscription that comes with one is refused with 103, unless
/// [`Tokens`](crate::Tokens) stands before it.
#[derive(Clone, Debug)]
pub struct Namespaced<H> {
    namespaces: Live<Namespaces>,
    inner: H,
}

impl<H> Namespaced<H> {
    /// Puts rules before `inner`.
    pub fn new(namespaces: impl Into<Live<Namespaces>>, inner: H) -> Self {
        Self { namespaces: namespaces.into(), inner }
    }
}

impl<H: Hooks> Hooks for Namespaced<H> {
    async fn subscribe(&self, request: SubscribeRequest) -> Result<SubscribeDecision, Refusal> {
        let unreadable = TokenCheck::Invalid(InvalidToken::NoKey);
        let token = if request.token.is_empty() { TokenCheck::Absent } else { unreadable };
        let query = SubscribeQuery {
            channel: &request.channel,
            user: &request.client.user,
            attributes: Attributes::from(&*request.client),
            kind: request.kind,
            token,
        };
        let decision = self.namespaces.with(|namespaces| namespaces.check_subscribe(&query));
        let by = settle(&self.namespaces, "subscribe", decision, &request.client, &request.channel)?;
        if by.asks() {
            return self.inner.subscribe(request).await;
        }
        let mut granted = SubscribeDecision::default();
        (granted.options, granted.client_side_refresh) = self.namespaces.with(|namespaces| {
            let rules = namespaces.find(&request.channel)?.rules;
            let attributes = Attributes::from(&*request.client);
            let who = Asking::new(&request.channel, &request.client.user, attributes, true);
            let options = namespaces.options_by(rules, who, Asked::from(&request), Overrides::default());
            Ok::<_, ReplyError>((options, rules.proxies.sub_refresh.is_none()))
        })?;
        granted.options.revocable = by == Rule::Capabilities;
        Ok(granted)
    }

    async fn history(&self, request: HistoryRequest) -> Result<(), Refusal> {
        let HistoryRequest { client, channel, subscribed, allow, .. } = &request;
        let attributes = Attributes::from(&**client).with_allow(*allow);
        let query = ReadQuery { channel, user: &client.user, attributes, subscribed: *subscribed };
        let decision = self.namespaces.with(|namespaces| namespaces.check_history(&query));
        settle(&self.namespaces, "history", decision, client, channel).map(drop)
    }

    async fn presence(&self, request: PresenceRequest) -> Result<(), Refusal> {
        let PresenceRequest { client, channel, subscribed, allow, .. } = &request;
        let attributes = Attributes::from(&**client).with_allow(*allow);
        let query = ReadQuery { channel, user: &client.user, attributes, subscribed: *subscribed };
        let decision = self.namespaces.with(|namespaces| namespaces.check_presence(&query));
        settle(&self.namespaces, "presence", decision, client, channel).map(drop)
    }

    async fn track(&self, request: TrackRequest) -> Result<TrackDecision, Refusal> {
        let TrackRequest { client, channel, batches, unix_seconds } = &request;
        let query = TrackQuery { channel, user: &client.user, batches, unix_seconds: *unix_seconds };
        let (decision, expire_at) = self.namespaces.with(|namespaces| namespaces.check_track(&query));
        settle(&self.namespaces, "track", decision, client, channel)?;
        Ok(TrackDecision { expire_at })
    }

    async fn publish(&self, request: PublishRequest) -> Result<PublishDecision, Refusal> {
        let query = PublishQuery {
            channel: &request.channel,
            user: &request.client.user,
            attributes: Attributes::from(&*request.client).with_allow(request.allow),
            subscribed: request.subscribed,
            data: &request.data,
        };
        let decision = self.namespaces.with(|namespaces| namespaces.check_publish(&query));
        let by = settle(&self.namespaces, "publish", decision, &request.client, &request.channel)?;
        if by.asks() {
            return self.inner.publish(request).await;
        }
        Ok(PublishDecision::default())
    }

    async fn map_publish(&self, request: MapPublishRequest) -> Result<MapPublishDecision, Refusal> {
        let MapPublishRequest { client, channel, data, subscribed, allow, .. } = &request;
        let attributes = Attributes::from(&**client).with_allow(*allow);
        let change = MapChange::Publish(data);
        let query =
            MapChangeQuery { channel, user: &client.user, attributes, subscribed: *subscribed, change };
        let decision = self.namespaces.with(|namespaces| namespaces.check_map_change(&query));
        if settle(&self.namespaces, "map_publish", decision, client, channel)?.asks() {
            return self.inner.map_publish(request).await;
        }
        let key = self.namespaces.with(|namespaces| namespaces.client_key(channel, client));
        Ok(MapPublishDecision::Publish { key, data: None, options: Box::default() })
    }

    async fn map_remove(&self, request: MapRemoveRequest) -> Result<MapRemoveDecision, Refusal> {
        let MapRemoveRequest { client, channel, subscribed, allow, .. } = &request;
        let attributes = Attributes::from(&**client).with_allow(*allow);
        let change = MapChange::Remove;
        let query =
            MapChangeQuery { channel, user: &client.user, attributes, subscribed: *subscribed, change };
        let decision = self.namespaces.with(|namespaces| namespaces.check_map_change(&query));
        if settle(&self.namespaces, "map_remove", decision, client, channel)?.asks() {
            return self.inner.map_remove(request).await;
        }
        let key = self.namespaces.with(|namespaces| namespaces.client_key(channel, client));
        Ok(MapRemoveDecision::Remove { key, options: Box::default() })
    }

    fn channel_options(&self, channel: &str) -> Result<ChannelOptions, ReplyError> {
        self.namespaces.with(|namespaces| namespaces.channel_options(channel))
    }

    forward!(inner: connect rpc message cache_empty refresh sub_refresh command erred stays subscription_stays tick notified welcome answered unsubscribed disconnected);
}

/// Whether clients refresh their subscriptions of a channel themselves (SUBT-16).
pub(crate) fn client_refreshes(namespaces: &Live<Namespaces>, channel: &str) -> bool {
    namespaces.with(|namespaces| {
        namespaces.find(channel).is_ok_and(|resolved| resolved.rules.proxies.sub_refresh.is_none())
    })
}

/// Notes what was decided and makes an answer of it.
pub(crate) fn settle(
    namespaces: &Live<Namespaces>,
    action: &'static str,
    decision: Decision,
    client: &Client,
    channel: &Channel,
) -> Result<Rule, Refusal> {
    log(action, &decision, client, channel);
    namespaces.with(|namespaces| namespaces.answer(decision))
}

/// Tells operators why a request was refused. At a level that is off by default, since clients can cause it.
fn log(action: &'static str, decision: &Decision, client: &Client, channel: &Channel) {
    if !decision.is_allowed()
        && let Some(step) = decision.deciding()
    {
        tracing::debug!(action, client = %client.id, user = %client.user, %channel, why = %step, "refused");
    }
}
