//! Namespaces as a decorator.

use std::time::Duration;

use tourbillon_auth::{InvalidToken, Overrides};
use tourbillon_node::{
    ChannelOptions, Client, ClientCommand, ConnectDecision, ConnectRequest, HistoryRequest, Hooks,
    MessageRequest, PresenceRequest, PublishDecision, PublishRequest, RefreshDecision, RefreshRequest,
    Refusal, RpcDecision, RpcRequest, SubRefreshRequest, SubscribeDecision, SubscribeRequest,
};
use tourbillon_types::{Channel, Disconnect, Now, ReplyError, Unsubscribe};

use crate::ladder::{Asked, Attributes, PublishQuery, ReadQuery, SubscribeQuery, TokenCheck};
use crate::{Decision, Live, Namespaces, Rule};

/// Decides about subscriptions and publications by the rules of namespaces, and leaves the rest to `H`.
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

    /// Notes what was decided and makes an answer of it.
    fn settle(
        &self,
        action: &'static str,
        decision: Decision,
        client: &Client,
        channel: &Channel,
    ) -> Result<Rule, Refusal> {
        log(action, &decision, client, channel);
        self.namespaces.with(|namespaces| namespaces.answer(decision))
    }
}

impl<H: Hooks> Hooks for Namespaced<H> {
    async fn connect(&self, request: ConnectRequest) -> Result<ConnectDecision, Refusal> {
        self.inner.connect(request).await
    }

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
        let by = self.settle("subscribe", decision, &request.client, &request.channel)?;
        let mut granted = SubscribeDecision::default();
        granted.options = self.namespaces.with(|namespaces| {
            let asked = Asked::from(&request);
            namespaces.subscription_options(
                &request.channel,
                &request.client.user,
                Attributes::from(&*request.client),
                asked,
                Overrides::default(),
            )
        })?;
        granted.options.revocable = by == Rule::Capabilities;
        Ok(granted)
    }

    async fn history(&self, request: HistoryRequest) -> Result<(), Refusal> {
        let HistoryRequest { client, channel, subscribed, allow, .. } = &request;
        let attributes = Attributes::from(&**client).with_allow(*allow);
        let query = ReadQuery { channel, user: &client.user, attributes, subscribed: *subscribed };
        let decision = self.namespaces.with(|namespaces| namespaces.check_history(&query));
        self.settle("history", decision, client, channel).map(drop)
    }

    async fn presence(&self, request: PresenceRequest) -> Result<(), Refusal> {
        let PresenceRequest { client, channel, subscribed, allow, .. } = &request;
        let attributes = Attributes::from(&**client).with_allow(*allow);
        let query = ReadQuery { channel, user: &client.user, attributes, subscribed: *subscribed };
        let decision = self.namespaces.with(|namespaces| namespaces.check_presence(&query));
        self.settle("presence", decision, client, channel).map(drop)
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
        self.settle("publish", decision, &request.client, &request.channel)?;
        Ok(PublishDecision::default())
    }

    async fn rpc(&self, request: RpcRequest) -> Result<RpcDecision, Refusal> {
        self.inner.rpc(request).await
    }

    async fn message(&self, request: MessageRequest) -> Result<(), Disconnect> {
        self.inner.message(request).await
    }

    async fn refresh(&self, request: RefreshRequest) -> Result<RefreshDecision, Refusal> {
        self.inner.refresh(request).await
    }

    async fn sub_refresh(&self, request: SubRefreshRequest) -> Result<RefreshDecision, Refusal> {
        self.inner.sub_refresh(request).await
    }

    fn channel_options(&self, channel: &str) -> Result<ChannelOptions, ReplyError> {
        self.namespaces.with(|namespaces| namespaces.channel_options(channel))
    }

    fn command(&self, client: &Client, command: ClientCommand<'_>, now: Now) -> Result<(), Refusal> {
        self.inner.command(client, command, now)
    }

    fn erred(&self, client: &Client, error: &ReplyError, now: Now) -> Result<(), Disconnect> {
        self.inner.erred(client, error, now)
    }

    fn stays(&self, client: &Client, now: Now) -> Result<(), Disconnect> {
        self.inner.stays(client, now)
    }

    fn tick(&self, now: Now) {
        self.inner.tick(now);
    }

    fn answered(&self, client: &Client, after: Duration) {
        self.inner.answered(client, after);
    }

    async fn unsubscribed(&self, client: &Client, channel: &Channel, why: &Unsubscribe) {
        self.inner.unsubscribed(client, channel, why).await;
    }

    async fn disconnected(&self, client: &Client, why: &Disconnect) {
        self.inner.disconnected(client, why).await;
    }
}

/// Tells operators why a request was refused. At a level that is off by default, since clients can cause it.
pub(crate) fn log(action: &'static str, decision: &Decision, client: &Client, channel: &Channel) {
    if !decision.is_allowed()
        && let Some(step) = decision.deciding()
    {
        tracing::debug!(action, client = %client.id, user = %client.user, %channel, why = %step, "refused");
    }
}
