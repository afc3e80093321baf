//! The object-safe mirror of [`Hooks`], which a node holds.

use std::sync::Arc;

use tourbillon_broker::BoxFuture;
use tourbillon_types::{Channel, Disconnect, ReplyError, Unsubscribe};

use super::{
    ChannelOptions, Client, ConnectDecision, ConnectRequest, Hooks, MessageRequest, PublishDecision,
    PublishRequest, RefreshDecision, RefreshRequest, Refusal, RpcDecision, RpcRequest, SubRefreshRequest,
    SubscribeDecision, SubscribeRequest,
};

/// [`Hooks`] behind a pointer. Every `Hooks` is one; the futures own what they need, so that a connection can
/// hold them beside itself.
pub trait DynHooks: Send + Sync + 'static {
    /// See [`Hooks::connect`].
    fn connect(
        self: Arc<Self>,
        request: ConnectRequest,
    ) -> BoxFuture<'static, Result<ConnectDecision, Refusal>>;
    /// See [`Hooks::subscribe`].
    fn subscribe(
        self: Arc<Self>,
        request: SubscribeRequest,
    ) -> BoxFuture<'static, Result<SubscribeDecision, Refusal>>;
    /// See [`Hooks::publish`].
    fn publish(
        self: Arc<Self>,
        request: PublishRequest,
    ) -> BoxFuture<'static, Result<PublishDecision, Refusal>>;
    /// See [`Hooks::rpc`].
    fn rpc(self: Arc<Self>, request: RpcRequest) -> BoxFuture<'static, Result<RpcDecision, Refusal>>;
    /// See [`Hooks::message`].
    fn message(self: Arc<Self>, request: MessageRequest) -> BoxFuture<'static, Result<(), Disconnect>>;
    /// See [`Hooks::refresh`].
    fn refresh(
        self: Arc<Self>,
        request: RefreshRequest,
    ) -> BoxFuture<'static, Result<RefreshDecision, Refusal>>;
    /// See [`Hooks::sub_refresh`].
    fn sub_refresh(
        self: Arc<Self>,
        request: SubRefreshRequest,
    ) -> BoxFuture<'static, Result<RefreshDecision, Refusal>>;
    /// See [`Hooks::channel_options`].
    fn channel_options(&self, channel: &str) -> Result<ChannelOptions, ReplyError>;
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
    fn connect(
        self: Arc<Self>,
        request: ConnectRequest,
    ) -> BoxFuture<'static, Result<ConnectDecision, Refusal>> {
        Box::pin(async move { Hooks::connect(&*self, request).await })
    }

    fn subscribe(
        self: Arc<Self>,
        request: SubscribeRequest,
    ) -> BoxFuture<'static, Result<SubscribeDecision, Refusal>> {
        Box::pin(async move { Hooks::subscribe(&*self, request).await })
    }

    fn publish(
        self: Arc<Self>,
        request: PublishRequest,
    ) -> BoxFuture<'static, Result<PublishDecision, Refusal>> {
        Box::pin(async move { Hooks::publish(&*self, request).await })
    }

    fn rpc(self: Arc<Self>, request: RpcRequest) -> BoxFuture<'static, Result<RpcDecision, Refusal>> {
        Box::pin(async move { Hooks::rpc(&*self, request).await })
    }

    fn message(self: Arc<Self>, request: MessageRequest) -> BoxFuture<'static, Result<(), Disconnect>> {
        Box::pin(async move { Hooks::message(&*self, request).await })
    }

    fn refresh(
        self: Arc<Self>,
        request: RefreshRequest,
    ) -> BoxFuture<'static, Result<RefreshDecision, Refusal>> {
        Box::pin(async move { Hooks::refresh(&*self, request).await })
    }

    fn sub_refresh(
        self: Arc<Self>,
        request: SubRefreshRequest,
    ) -> BoxFuture<'static, Result<RefreshDecision, Refusal>> {
        Box::pin(async move { Hooks::sub_refresh(&*self, request).await })
    }

    fn channel_options(&self, channel: &str) -> Result<ChannelOptions, ReplyError> {
        Hooks::channel_options(self, channel)
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
