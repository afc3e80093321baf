//! The object-safe mirror of [`Hooks`], which a node holds.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tourbillon_broker::BoxFuture;
use tourbillon_types::{Channel, Disconnect, Now, ReplyError, Unsubscribe};

use crate::pool::{HookCall, Pool};
use crate::{
    ChannelOptions, Client, ClientCommand, ConnectDecision, ConnectRequest, HistoryRequest, Hooks, Judgement,
    MapPublishDecision, MapPublishRequest, MapRemoveDecision, MapRemoveRequest, MessageRequest, Noticed,
    PresenceRequest, PublishDecision, PublishRequest, RefreshDecision, RefreshRequest, Refusal, RpcDecision,
    RpcRequest, SubRefreshRequest, SubscribeDecision, SubscribeRequest, TokenMark, TrackDecision,
    TrackRequest,
};

thread_local! {
    static CONNECT: Pool<Result<ConnectDecision, Refusal>> = const { RefCell::new(Vec::new()) };
    static SUBSCRIBE: Pool<Result<SubscribeDecision, Refusal>> = const { RefCell::new(Vec::new()) };
    static PUBLISH: Pool<Result<PublishDecision, Refusal>> = const { RefCell::new(Vec::new()) };
    static MAP_PUBLISH: Pool<Result<MapPublishDecision, Refusal>> = const { RefCell::new(Vec::new()) };
    static MAP_REMOVE: Pool<Result<MapRemoveDecision, Refusal>> = const { RefCell::new(Vec::new()) };
    static TRACK: Pool<Result<TrackDecision, Refusal>> = const { RefCell::new(Vec::new()) };
    static PERMIT: Pool<Result<(), Refusal>> = const { RefCell::new(Vec::new()) };
    static RPC: Pool<Result<RpcDecision, Refusal>> = const { RefCell::new(Vec::new()) };
    static MESSAGE: Pool<Result<(), Disconnect>> = const { RefCell::new(Vec::new()) };
    static REFRESH: Pool<Result<RefreshDecision, Refusal>> = const { RefCell::new(Vec::new()) };
    static CACHE_EMPTY: Pool<Result<bool, Refusal>> = const { RefCell::new(Vec::new()) };
    static SUB_REFRESH: Pool<Result<RefreshDecision, Refusal>> = const { RefCell::new(Vec::new()) };
}

/// [`Hooks`] behind a pointer. Every `Hooks` is one; the futures own what they need, so that a connection can
/// hold them beside itself.
pub trait DynHooks: Send + Sync + 'static {
    /// See [`Hooks::connect`].
    fn connect(self: Arc<Self>, request: ConnectRequest) -> HookCall<Result<ConnectDecision, Refusal>>;
    /// See [`Hooks::subscribe`].
    fn subscribe(self: Arc<Self>, request: SubscribeRequest) -> HookCall<Result<SubscribeDecision, Refusal>>;
    /// See [`Hooks::publish`].
    fn publish(self: Arc<Self>, request: PublishRequest) -> HookCall<Result<PublishDecision, Refusal>>;
    /// See [`Hooks::map_publish`].
    fn map_publish(
        self: Arc<Self>,
        request: MapPublishRequest,
    ) -> HookCall<Result<MapPublishDecision, Refusal>>;
    /// See [`Hooks::map_remove`].
    fn map_remove(self: Arc<Self>, request: MapRemoveRequest)
    -> HookCall<Result<MapRemoveDecision, Refusal>>;
    /// See [`Hooks::track`].
    fn track(self: Arc<Self>, request: TrackRequest) -> HookCall<Result<TrackDecision, Refusal>>;
    /// See [`Hooks::history`].
    fn history(self: Arc<Self>, request: HistoryRequest) -> HookCall<Result<(), Refusal>>;
    /// See [`Hooks::presence`].
    fn presence(self: Arc<Self>, request: PresenceRequest) -> HookCall<Result<(), Refusal>>;
    /// See [`Hooks::rpc`].
    fn rpc(self: Arc<Self>, request: RpcRequest) -> HookCall<Result<RpcDecision, Refusal>>;
    /// See [`Hooks::message`].
    fn message(self: Arc<Self>, request: MessageRequest) -> HookCall<Result<(), Disconnect>>;
    /// See [`Hooks::refresh`].
    fn refresh(self: Arc<Self>, request: RefreshRequest) -> HookCall<Result<RefreshDecision, Refusal>>;
    /// See [`Hooks::sub_refresh`].
    fn sub_refresh(self: Arc<Self>, request: SubRefreshRequest)
    -> HookCall<Result<RefreshDecision, Refusal>>;
    /// See [`Hooks::cache_empty`].
    fn cache_empty(self: Arc<Self>, channel: Channel) -> HookCall<Result<bool, Refusal>>;
    /// See [`Hooks::channel_options`].
    fn channel_options(&self, channel: &str) -> Result<ChannelOptions, ReplyError>;
    /// See [`Hooks::command`].
    fn command(
        &self,
        client: &Client,
        command: ClientCommand<'_>,
        now: Now,
    ) -> Result<Option<Judgement>, Refusal>;
    /// See [`Hooks::erred`].
    fn erred(&self, client: &Client, error: &ReplyError, now: Now) -> Result<(), Disconnect>;
    /// See [`Hooks::stays`].
    fn stays(&self, client: &Client, now: Now) -> Result<(), Disconnect>;
    /// See [`Hooks::subscription_stays`].
    fn subscription_stays(
        &self,
        client: &Client,
        channel: &Channel,
        token: &TokenMark,
        now: Now,
    ) -> Result<(), Unsubscribe>;
    /// See [`Hooks::tick`].
    fn tick(&self, now: Now);
    /// See [`Hooks::notified`].
    fn notified(&self, what: &str, data: &[u8]) -> Noticed;
    /// See [`Hooks::welcome`].
    fn welcome(&self) -> Vec<(&'static str, Bytes)>;
    /// See [`Hooks::answered`].
    fn answered(&self, client: &Client, after: Duration);
    /// See [`Hooks::unsubscribed`].
    fn unsubscribed(
        self: Arc<Self>,
        client: Arc<Client>,
        channel: Channel,
        why: Unsubscribe,
    ) -> BoxFuture<'static, ()>;
    /// See [`Hooks::disconnected`].
    fn disconnected(self: Arc<Self>, client: Arc<Client>, why: Disconnect) -> BoxFuture<'static, ()>;
}

impl<H: Hooks> DynHooks for H {
    fn connect(self: Arc<Self>, request: ConnectRequest) -> HookCall<Result<ConnectDecision, Refusal>> {
        HookCall::new(&CONNECT, async move { Hooks::connect(&*self, request).await })
    }

    fn subscribe(self: Arc<Self>, request: SubscribeRequest) -> HookCall<Result<SubscribeDecision, Refusal>> {
        HookCall::new(&SUBSCRIBE, async move { Hooks::subscribe(&*self, request).await })
    }

    fn publish(self: Arc<Self>, request: PublishRequest) -> HookCall<Result<PublishDecision, Refusal>> {
        HookCall::new(&PUBLISH, async move { Hooks::publish(&*self, request).await })
    }

    fn map_publish(
        self: Arc<Self>,
        request: MapPublishRequest,
    ) -> HookCall<Result<MapPublishDecision, Refusal>> {
        HookCall::new(&MAP_PUBLISH, async move { Hooks::map_publish(&*self, request).await })
    }

    fn map_remove(
        self: Arc<Self>,
        request: MapRemoveRequest,
    ) -> HookCall<Result<MapRemoveDecision, Refusal>> {
        HookCall::new(&MAP_REMOVE, async move { Hooks::map_remove(&*self, request).await })
    }

    fn track(self: Arc<Self>, request: TrackRequest) -> HookCall<Result<TrackDecision, Refusal>> {
        HookCall::new(&TRACK, async move { Hooks::track(&*self, request).await })
    }

    fn history(self: Arc<Self>, request: HistoryRequest) -> HookCall<Result<(), Refusal>> {
        HookCall::new(&PERMIT, async move { Hooks::history(&*self, request).await })
    }

    fn presence(self: Arc<Self>, request: PresenceRequest) -> HookCall<Result<(), Refusal>> {
        HookCall::new(&PERMIT, async move { Hooks::presence(&*self, request).await })
    }

    fn rpc(self: Arc<Self>, request: RpcRequest) -> HookCall<Result<RpcDecision, Refusal>> {
        HookCall::new(&RPC, async move { Hooks::rpc(&*self, request).await })
    }

    fn message(self: Arc<Self>, request: MessageRequest) -> HookCall<Result<(), Disconnect>> {
        HookCall::new(&MESSAGE, async move { Hooks::message(&*self, request).await })
    }

    fn refresh(self: Arc<Self>, request: RefreshRequest) -> HookCall<Result<RefreshDecision, Refusal>> {
        HookCall::new(&REFRESH, async move { Hooks::refresh(&*self, request).await })
    }

    fn sub_refresh(
        self: Arc<Self>,
        request: SubRefreshRequest,
    ) -> HookCall<Result<RefreshDecision, Refusal>> {
        HookCall::new(&SUB_REFRESH, async move { Hooks::sub_refresh(&*self, request).await })
    }

    fn cache_empty(self: Arc<Self>, channel: Channel) -> HookCall<Result<bool, Refusal>> {
        HookCall::new(&CACHE_EMPTY, async move { Hooks::cache_empty(&*self, &channel).await })
    }

    fn channel_options(&self, channel: &str) -> Result<ChannelOptions, ReplyError> {
        Hooks::channel_options(self, channel)
    }

    fn command(
        &self,
        client: &Client,
        command: ClientCommand<'_>,
        now: Now,
    ) -> Result<Option<Judgement>, Refusal> {
        Hooks::command(self, client, command, now)
    }

    fn erred(&self, client: &Client, error: &ReplyError, now: Now) -> Result<(), Disconnect> {
        Hooks::erred(self, client, error, now)
    }

    fn stays(&self, client: &Client, now: Now) -> Result<(), Disconnect> {
        Hooks::stays(self, client, now)
    }

    fn subscription_stays(
        &self,
        client: &Client,
        channel: &Channel,
        token: &TokenMark,
        now: Now,
    ) -> Result<(), Unsubscribe> {
        Hooks::subscription_stays(self, client, channel, token, now)
    }

    fn tick(&self, now: Now) {
        Hooks::tick(self, now);
    }

    fn notified(&self, what: &str, data: &[u8]) -> Noticed {
        Hooks::notified(self, what, data)
    }

    fn welcome(&self) -> Vec<(&'static str, Bytes)> {
        Hooks::welcome(self)
    }

    fn answered(&self, client: &Client, after: Duration) {
        Hooks::answered(self, client, after);
    }

    fn unsubscribed(
        self: Arc<Self>,
        client: Arc<Client>,
        channel: Channel,
        why: Unsubscribe,
    ) -> BoxFuture<'static, ()> {
        Box::pin(async move { Hooks::unsubscribed(&*self, &client, &channel, &why).await })
    }

    fn disconnected(self: Arc<Self>, client: Arc<Client>, why: Disconnect) -> BoxFuture<'static, ()> {
        Box::pin(async move { Hooks::disconnected(&*self, &client, &why).await })
    }
}
