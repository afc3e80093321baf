//! What a decorator leaves to the hooks behind it.

/// Hands the hooks that are named on to a field, as they are.
///
/// The defaults of [`Hooks`](tourbillon_node::Hooks) would answer in place of the hooks behind a decorator: each hook it
/// does not decide about has to be named.
macro_rules! forward {
    ($inner:ident: $($hook:ident)+) => {
        $($crate::forward::forward!(@ $inner $hook);)+
    };
    (@ $inner:ident connect) => {
        $crate::forward::forward!(# $inner connect ConnectRequest, Result<tourbillon_node::ConnectDecision, tourbillon_node::Refusal>);
    };
    (@ $inner:ident subscribe) => {
        $crate::forward::forward!(# $inner subscribe SubscribeRequest, Result<tourbillon_node::SubscribeDecision, tourbillon_node::Refusal>);
    };
    (@ $inner:ident history) => {
        $crate::forward::forward!(# $inner history HistoryRequest, Result<(), tourbillon_node::Refusal>);
    };
    (@ $inner:ident presence) => {
        $crate::forward::forward!(# $inner presence PresenceRequest, Result<(), tourbillon_node::Refusal>);
    };
    (@ $inner:ident publish) => {
        $crate::forward::forward!(# $inner publish PublishRequest, Result<tourbillon_node::PublishDecision, tourbillon_node::Refusal>);
    };
    (@ $inner:ident map_publish) => {
        $crate::forward::forward!(# $inner map_publish MapPublishRequest, Result<tourbillon_node::MapPublishDecision, tourbillon_node::Refusal>);
    };
    (@ $inner:ident map_remove) => {
        $crate::forward::forward!(# $inner map_remove MapRemoveRequest, Result<tourbillon_node::MapRemoveDecision, tourbillon_node::Refusal>);
    };
    (@ $inner:ident track) => {
        $crate::forward::forward!(# $inner track TrackRequest, Result<tourbillon_node::hooks::TrackDecision, tourbillon_node::Refusal>);
    };
    (@ $inner:ident rpc) => {
        $crate::forward::forward!(# $inner rpc RpcRequest, Result<tourbillon_node::RpcDecision, tourbillon_node::Refusal>);
    };
    (@ $inner:ident message) => {
        $crate::forward::forward!(# $inner message MessageRequest, Result<(), tourbillon_types::Disconnect>);
    };
    (@ $inner:ident refresh) => {
        $crate::forward::forward!(# $inner refresh RefreshRequest, Result<tourbillon_node::RefreshDecision, tourbillon_node::Refusal>);
    };
    (@ $inner:ident sub_refresh) => {
        $crate::forward::forward!(# $inner sub_refresh SubRefreshRequest, Result<tourbillon_node::RefreshDecision, tourbillon_node::Refusal>);
    };
    (# $inner:ident $hook:ident $request:ident, $answer:ty) => {
        // The future of the hook itself: one around it would be larger by the request.
        fn $hook(&self, request: tourbillon_node::$request) -> impl Future<Output = $answer> + Send {
            self.$inner.$hook(request)
        }
    };
    (@ $inner:ident cache_empty) => {
        async fn cache_empty(
            &self,
            channel: &tourbillon_types::Channel,
        ) -> Result<bool, tourbillon_node::Refusal> {
            self.$inner.cache_empty(channel).await
        }
    };
    (@ $inner:ident channel_options) => {
        fn channel_options(
            &self,
            channel: &str,
        ) -> Result<tourbillon_node::ChannelOptions, tourbillon_types::ReplyError> {
            self.$inner.channel_options(channel)
        }
    };
    (@ $inner:ident command) => {
        fn command(
            &self,
            client: &tourbillon_node::Client,
            command: tourbillon_node::ClientCommand<'_>,
            now: tourbillon_types::Now,
        ) -> Result<Option<tourbillon_node::hooks::Judgement>, tourbillon_node::Refusal> {
            self.$inner.command(client, command, now)
        }
    };
    (@ $inner:ident erred) => {
        fn erred(
            &self,
            client: &tourbillon_node::Client,
            error: &tourbillon_types::ReplyError,
            now: tourbillon_types::Now,
        ) -> Result<(), tourbillon_types::Disconnect> {
            self.$inner.erred(client, error, now)
        }
    };
    (@ $inner:ident stays) => {
        fn stays(
            &self,
            client: &tourbillon_node::Client,
            now: tourbillon_types::Now,
        ) -> Result<(), tourbillon_types::Disconnect> {
            self.$inner.stays(client, now)
        }
    };
    (@ $inner:ident subscription_stays) => {
        fn subscription_stays(
            &self,
            client: &tourbillon_node::Client,
            channel: &tourbillon_types::Channel,
            token: &tourbillon_node::TokenMark,
            now: tourbillon_types::Now,
        ) -> Result<(), tourbillon_types::Unsubscribe> {
            self.$inner.subscription_stays(client, channel, token, now)
        }
    };
    (@ $inner:ident tick) => {
        fn tick(&self, now: tourbillon_types::Now) {
            self.$inner.tick(now);
        }
    };
    (@ $inner:ident notified) => {
        fn notified(&self, what: &str, data: &[u8]) -> tourbillon_node::Noticed {
            self.$inner.notified(what, data)
        }
    };
    (@ $inner:ident welcome) => {
        fn welcome(&self) -> Vec<(&'static str, bytes::Bytes)> {
            self.$inner.welcome()
        }
    };
    (@ $inner:ident answered) => {
        fn answered(&self, client: &tourbillon_node::Client, after: std::time::Duration) {
            self.$inner.answered(client, after);
        }
    };
    (@ $inner:ident unsubscribed) => {
        async fn unsubscribed(
            &self,
            client: &tourbillon_node::Client,
            channel: &tourbillon_types::Channel,
            why: &tourbillon_types::Unsubscribe,
        ) {
            self.$inner.unsubscribed(client, channel, why).await;
        }
    };
    (@ $inner:ident disconnected) => {
        async fn disconnected(&self, client: &tourbillon_node::Client, why: &tourbillon_types::Disconnect) {
            self.$inner.disconnected(client, why).await;
        }
    };
}

pub(crate) use forward;
