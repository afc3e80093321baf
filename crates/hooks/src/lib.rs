//! What the embedding program decides: who may connect, subscribe, publish, and what an RPC answers.
//!
//! A program implements [`Hooks`] as it likes; every method has a default. The defaults let anybody connect
//! without a name and refuse everything else, so a forgotten method never opens a door. [`AllowAll`] is the
//! opposite, for experiments. Decorators hold an inner `Hooks` and decide some questions themselves; a question that
//! one does not pass on has the default, not the inner answer.
//!
//! ```
//! use tourbillon_hooks::{Hooks, Refusal, SubscribeDecision, SubscribeRequest};
//! use tourbillon_types::ReplyError;
//!
//! /// Everybody has a channel of their own, and no other.
//! struct OwnChannel;
//!
//! impl Hooks for OwnChannel {
//!     async fn subscribe(&self, request: SubscribeRequest) -> Result<SubscribeDecision, Refusal> {
//!         match request.channel.as_str().strip_prefix("own:") {
//!             Some(user) if user == request.client.user.as_str() => Ok(SubscribeDecision::default()),
//!             _ => Err(ReplyError::PERMISSION_DENIED.into()),
//!         }
//!     }
//! }
//! ```
//!
//! Every call has a deadline (`NodeConfig::call_timeout` of the node); a call that misses
//! it is dropped where it stands and the client gets error 100, so an implementation must tolerate being dropped
//! at any `.await`.

mod channel;
mod command;
mod dynamic;
mod map;
mod notice;
mod poll;
pub mod pool;
mod request;
mod rights;
mod source;

use std::future::{Future, ready};
use std::time::Duration;

use bytes::Bytes;

pub use channel::{Batching, ChannelOptions, OverflowPolicy};
pub use command::{ClientCommand, Judgement};
pub use dynamic::DynHooks;
pub use map::{
    MapPublishDecision, MapPublishRequest, MapRemoveDecision, MapRemoveOptions, MapRemoveRequest, MapRules,
};
pub use notice::Noticed;
pub use poll::{SignedKeys, TrackDecision, TrackRequest};
pub use request::{
    Client, ConnectDecision, ConnectRequest, HistoryRequest, MessageRequest, PresenceRequest,
    PublishDecision, PublishRequest, RecoveryMode, RefreshDecision, RefreshRequest, Refusal, RpcDecision,
    RpcRequest, SubRefreshRequest, SubscribeDecision, SubscribeRequest, SubscriptionOptions,
};
pub use rights::{ClientRights, ClientTerms, Rights};
pub use source::{Source, SubscriptionSource};
pub use tourbillon_protocol::DataFormat;
pub use tourbillon_shared_poll::{self as shared_poll, PollMode, PollRules};
pub use tourbillon_transport::KeptHeaders;
use tourbillon_types::{Channel, Disconnect, Now, ReplyError, Unsubscribe, UserId};
pub use tourbillon_types::{SubscriptionKind, TokenMark};

pub use crate::pool::HookCall;

/// The decisions a node leaves to its program.
pub trait Hooks: Send + Sync + 'static {
    /// Decides about a connection. Default: anybody may connect, without a name.
    fn connect(
        &self,
        request: ConnectRequest,
    ) -> impl Future<Output = Result<ConnectDecision, Refusal>> + Send {
        let _ = request;
        ready(Ok(ConnectDecision::new(UserId::anonymous())))
    }

    /// Decides about a subscription that a client asks for. Default: refused with 103.
    fn subscribe(
        &self,
        request: SubscribeRequest,
    ) -> impl Future<Output = Result<SubscribeDecision, Refusal>> + Send {
        let _ = request;
        ready(Err(ReplyError::PERMISSION_DENIED.into()))
    }

    /// Decides about a publication by a client. Default: refused with 103.
    fn publish(
        &self,
        request: PublishRequest,
    ) -> impl Future<Output = Result<PublishDecision, Refusal>> + Send {
        let _ = request;
        ready(Err(ReplyError::PERMISSION_DENIED.into()))
    }

    /// Decides about a key that a client wants to set (MAP-32). Asked whatever kind the channel is of. Default: refused
    /// with 103.
    fn map_publish(
        &self,
        request: MapPublishRequest,
    ) -> impl Future<Output = Result<MapPublishDecision, Refusal>> + Send {
        let _ = request;
        ready(Err(ReplyError::PERMISSION_DENIED.into()))
    }

    /// Decides about a key that a client wants to remove (MAP-32). Asked whatever kind the channel is of. Default: refused
    /// with 103.
    fn map_remove(
        &self,
        request: MapRemoveRequest,
    ) -> impl Future<Output = Result<MapRemoveDecision, Refusal>> + Send {
        let _ = request;
        ready(Err(ReplyError::PERMISSION_DENIED.into()))
    }

    /// Decides about keys that a client wants to track in a polled channel (SP-03). Default: refused with 103.
    fn track(&self, request: TrackRequest) -> impl Future<Output = Result<TrackDecision, Refusal>> + Send {
        let _ = request;
        ready(Err(ReplyError::PERMISSION_DENIED.into()))
    }

    /// Decides whether a client may read a channel's history. Asked only where the engine keeps streams and the
    /// channel one (OPT-04); otherwise the client gets 108. Default: refused with 103.
    fn history(&self, request: HistoryRequest) -> impl Future<Output = Result<(), Refusal>> + Send {
        let _ = request;
        ready(Err(ReplyError::PERMISSION_DENIED.into()))
    }

    /// Decides whether a client may know who is in a channel, or how many. Asked only where the engine and the
    /// channel keep it (OPT-01); otherwise the client gets 108. Default: refused with 103.
    fn presence(&self, request: PresenceRequest) -> impl Future<Output = Result<(), Refusal>> + Send {
        let _ = request;
        ready(Err(ReplyError::PERMISSION_DENIED.into()))
    }

    /// Answers a call. Default: error 108, not available.
    fn rpc(&self, request: RpcRequest) -> impl Future<Output = Result<RpcDecision, Refusal>> + Send {
        let _ = request;
        ready(Err(ReplyError::NOT_AVAILABLE.into()))
    }

    /// Takes a message that expects no answer (CMD-13). Default: disconnect 3508.
    fn message(&self, request: MessageRequest) -> impl Future<Output = Result<(), Disconnect>> + Send {
        let _ = request;
        ready(Err(Disconnect::NOT_AVAILABLE))
    }

    /// Decides how long an expiring connection goes on. An empty token means that the server refreshes by itself
    /// (LIFE-03). Default: error 108.
    fn refresh(
        &self,
        request: RefreshRequest,
    ) -> impl Future<Output = Result<RefreshDecision, Refusal>> + Send {
        let _ = request;
        ready(Err(ReplyError::NOT_AVAILABLE.into()))
    }

    /// Decides how long an expiring subscription goes on. Default: error 108.
    fn sub_refresh(
        &self,
        request: SubRefreshRequest,
    ) -> impl Future<Output = Result<RefreshDecision, Refusal>> + Send {
        let _ = request;
        ready(Err(ReplyError::NOT_AVAILABLE.into()))
    }

    /// Somebody subscribes to a channel that gives its latest publication to whoever comes
    /// ([`RecoveryMode::Cache`]), and it has none (REC-13): it was never published into, or that was too long ago. The
    /// program may publish what there is to know, and says whether it did: the subscriber then begins with that. Asked by
    /// each subscription that finds the channel empty, so many of them may come at once. Default: it did not.
    ///
    /// # Errors
    ///
    /// Why the subscription does not come about.
    fn cache_empty(&self, channel: &Channel) -> impl Future<Output = Result<bool, Refusal>> + Send {
        let _ = channel;
        ready(Ok(false))
    }

    /// The rules of a channel that do not depend on who asks. Called often: it must be quick. Default: the
    /// default options for every channel.
    ///
    /// # Errors
    ///
    /// 102 for a channel of an unknown namespace.
    fn channel_options(&self, channel: &str) -> Result<ChannelOptions, ReplyError> {
        let _ = channel;
        Ok(ChannelOptions::default())
    }

    /// A client sent a command: asked before anything is done for it, so that refusing costs next to nothing. A
    /// refused command is answered by the error, or ends the connection. Not asked about pongs and messages, which
    /// have no answer, nor about the first command, which is [`connect`](Self::connect)'s. Called from the
    /// connection's own task, which waits: it must not block. Where it cannot be said at once, a future is to say it: the
    /// command waits for that, and so do those that come after it. Default: every command is worked on.
    ///
    /// # Errors
    ///
    /// Why the command is refused.
    fn command(
        &self,
        client: &Client,
        command: ClientCommand<'_>,
        now: Now,
    ) -> Result<Option<Judgement>, Refusal> {
        let _ = (client, command, now);
        Ok(None)
    }

    /// A command of a client is about to be answered by an error. Called like [`command`](Self::command). Default:
    /// nothing follows from it.
    ///
    /// # Errors
    ///
    /// Why the connection ends after this answer.
    fn erred(&self, client: &Client, error: &ReplyError, now: Now) -> Result<(), Disconnect> {
        let _ = (client, error, now);
        Ok(())
    }

    /// Whether a connection that was accepted may stay: asked when it is, and again by
    /// `Node::recheck`. Called like [`command`](Self::command). Default: it may.
    ///
    /// # Errors
    ///
    /// Why the connection ends.
    fn stays(&self, client: &Client, now: Now) -> Result<(), Disconnect> {
        let _ = (client, now);
        Ok(())
    }

    /// Whether a subscription that came by a token may stay: asked when it begins, when it has another token, and again
    /// by `Node::recheck`. `token` is what that token said of itself; subscriptions without one are not asked about.
    /// Called like [`command`](Self::command). Default: it may.
    ///
    /// # Errors
    ///
    /// Why the subscription ends.
    fn subscription_stays(
        &self,
        client: &Client,
        channel: &Channel,
        token: &TokenMark,
        now: Now,
    ) -> Result<(), Unsubscribe> {
        let _ = (client, channel, token, now);
        Ok(())
    }

    /// The node's timing wheel went on, about a second after the last time: the moment to forget what is over. It must
    /// not block. Default: nothing.
    fn tick(&self, now: Now) {
        let _ = now;
    }

    /// Another node of the cluster tells something (`Node::notify`). It must not block. Default: nothing is understood.
    fn notified(&self, what: &str, data: &[u8]) -> Noticed {
        let _ = (what, data);
        Noticed::NotUnderstood
    }

    /// A node has come into the cluster, or back into it: what it is to be told, each as by `Node::notify`. It must not
    /// block. Default: nothing.
    fn welcome(&self) -> Vec<(&'static str, Bytes)> {
        Vec::new()
    }

    /// A client answered a ping, `after` it was sent (PING-03): what its latency is. Called from the connection's
    /// own task, which waits: it must not block. Default: nothing.
    fn answered(&self, client: &Client, after: Duration) {
        let _ = (client, after);
    }

    /// A subscription ended. Default: nothing.
    fn unsubscribed(
        &self,
        client: &Client,
        channel: &Channel,
        why: &Unsubscribe,
    ) -> impl Future<Output = ()> + Send {
        let _ = (client, channel, why);
        ready(())
    }

    /// An accepted connection ended. Called once for every connection that was accepted. Default: nothing.
    fn disconnected(&self, client: &Client, why: &Disconnect) -> impl Future<Output = ()> + Send {
        let _ = (client, why);
        ready(())
    }
}

/// Lets everybody connect, subscribe, publish and track keys. For experiments and tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAll;

impl Hooks for AllowAll {
    async fn subscribe(&self, _: SubscribeRequest) -> Result<SubscribeDecision, Refusal> {
        Ok(SubscribeDecision::default())
    }

    async fn publish(&self, _: PublishRequest) -> Result<PublishDecision, Refusal> {
        Ok(PublishDecision::default())
    }

    async fn map_publish(&self, _: MapPublishRequest) -> Result<MapPublishDecision, Refusal> {
        Ok(MapPublishDecision::default())
    }

    async fn map_remove(&self, _: MapRemoveRequest) -> Result<MapRemoveDecision, Refusal> {
        Ok(MapRemoveDecision::default())
    }

    async fn track(&self, _: TrackRequest) -> Result<TrackDecision, Refusal> {
        Ok(TrackDecision::default())
    }

    async fn history(&self, _: HistoryRequest) -> Result<(), Refusal> {
        Ok(())
    }

    async fn presence(&self, _: PresenceRequest) -> Result<(), Refusal> {
        Ok(())
    }
}

/// The defaults of every method: anybody may connect, without a name, and nothing else is allowed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Defaults;

impl Hooks for Defaults {}
