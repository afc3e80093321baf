//! Carrying commands out.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::stream::{self, StreamExt};
use tourbillon_node::{ChannelPattern, Node, PublishOptions, Published, RefreshDecision};
use tourbillon_types::{Channel, SubscriptionKind, Unsubscribe, UserId};
use tower_service::Service;

use crate::command::{
    ApiCommand, ApiError, ApiReply, Batch, BlockUser, Broadcast, Channels, Content, DisconnectUser, History,
    InvalidateUserTokens, Publish, Refresh, RevokeToken, Subscribe,
};
use crate::explain::Explains;
use crate::metrics::{ApiMetrics, Begun, Protocol};
use crate::revoke::Revoke;

/// How many parts of a broadcast or a parallel batch are under way at once (LIM-12).
const PARALLEL: usize = 1024;

/// Into which channels something is published (HID-75).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kinds {
    /// Those of stream subscriptions; others are an error.
    Streams,
    /// Whatever their subscriptions are.
    All,
}

/// Carries [`ApiCommand`]s out on a node.
#[derive(Clone)]
pub struct ApiService {
    pub(crate) node: Node,
    explains: Option<Arc<dyn Explains>>,
    revoke: Option<Arc<dyn Revoke>>,
    metrics: Option<Arc<ApiMetrics>>,
    protocol: Protocol,
}

impl fmt::Debug for ApiService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiService").field("node", &self.node).finish_non_exhaustive()
    }
}

pub(crate) type Answer = Result<ApiReply, ApiError>;

pub(crate) fn bad(message: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError::BAD_REQUEST.with_message(message)
}

/// What is asked for is not there yet.
pub(crate) fn absent(what: &str) -> ApiError {
    ApiError::NOT_AVAILABLE.with_message(format!("not available: {what} is not implemented in this version"))
}

pub(crate) fn named(channel: &Channel) -> Result<(), ApiError> {
    if channel.is_empty() { Err(bad("channel is required")) } else { Ok(()) }
}

fn named_user(user: &UserId) -> Result<(), ApiError> {
    if user.is_anonymous() { Err(bad("user is required")) } else { Ok(()) }
}

impl ApiService {
    /// A service on this node.
    #[must_use]
    pub const fn new(node: Node) -> Self {
        Self { node, explains: None, revoke: None, metrics: None, protocol: Protocol::Http }
    }

    /// Has questions about permissions answered by whoever decides. Without it, `explain` is not available (108).
    #[must_use]
    pub fn with_explanations(mut self, explains: Arc<dyn Explains>) -> Self {
        self.explains = Some(explains);
        self
    }

    /// Lets this block users and revoke tokens. Without it, those methods are not available (108).
    #[must_use]
    pub fn with_revocations(mut self, revoke: Arc<dyn Revoke>) -> Self {
        self.revoke = Some(revoke);
        self
    }

    /// Has commands counted, and how long they take measured. Without it, nothing is, and no clock is looked at.
    #[must_use]
    pub fn with_metrics(mut self, metrics: Arc<ApiMetrics>) -> Self {
        self.metrics = Some(metrics);
        self
    }

    /// Counts commands as those of this protocol; HTTP is the default.
    #[must_use]
    pub const fn over(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// Carries one command out.
    ///
    /// # Errors
    ///
    /// The command's [`ApiError`]. Errors of parts of a broadcast or a batch are among its replies.
    ///
    /// # Cancel safety
    ///
    /// What has been begun may take effect.
    pub async fn execute(&self, command: ApiCommand) -> Answer {
        match command {
            ApiCommand::Batch(batch) => {
                let begun = self.metrics.as_ref().map(|metrics| metrics.begin_batch());
                let answer = Ok(ApiReply::Batch(self.batch(batch).await));
                self.end(begun, &answer);
                answer
            }
            other => self.execute_one(other).await,
        }
    }

    async fn execute_one(&self, command: ApiCommand) -> Answer {
        let begun = self.metrics.as_ref().map(|metrics| metrics.begin(&command));
        let answer = self.carry_out(command).await;
        self.end(begun, &answer);
        answer
    }

    fn end(&self, begun: Option<Begun>, answer: &Answer) {
        if let (Some(metrics), Some(begun)) = (&self.metrics, begun) {
            metrics.end(self.protocol, begun, answer.as_ref().err());
        }
    }

    async fn carry_out(&self, command: ApiCommand) -> Answer {
        match command {
            ApiCommand::Publish(Publish { channel, content }) => {
                self.publish(&channel, &content, Kinds::Streams).await.map(ApiReply::Publish)
            }
            ApiCommand::Broadcast(broadcast) => self.broadcast(broadcast).await.map(ApiReply::Broadcast),
            ApiCommand::Subscribe(subscribe) => self.subscribe(*subscribe).await,
            ApiCommand::Unsubscribe(command) => {
                // Without a channel it is told all the same, of a channel without a name (HID-70).
                if !command.channel.is_empty() {
                    self.check_channel(&command.channel)?;
                }
                self.node.unsubscribe(&command.target, command.channel, Unsubscribe::SERVER).await?;
                Ok(ApiReply::Unsubscribe)
            }
            ApiCommand::Disconnect(DisconnectUser { target, why, whitelist }) => {
                self.node.disconnect(&target, why, &whitelist).await?;
                Ok(ApiReply::Disconnect)
            }
            ApiCommand::Refresh(Refresh { target, expired, expire_at, info }) => {
                let mut decision = RefreshDecision::until(expire_at);
                decision.expired = expired;
                decision.info = info;
                self.node.refresh(&target, decision).await?;
                Ok(ApiReply::Refresh)
            }
            ApiCommand::Info => Ok(ApiReply::Info(self.node.nodes().await)),
            ApiCommand::Channels(channels) => self.channels(&channels).await,
            ApiCommand::Batch(_) => Err(bad("a batch cannot hold a batch")),
            ApiCommand::Rpc(rpc) if rpc.method.is_empty() => Err(bad("method is required")),
            ApiCommand::Rpc(_) => Err(ApiError::NOT_FOUND),
            ApiCommand::History(History { channel, query }) => {
                named(&channel)?;
                Ok(ApiReply::History(self.node.history(&channel, &query).await?))
            }
            ApiCommand::HistoryRemove(channel) => {
                named(&channel)?;
                self.node.remove_history(&channel).await?;
                Ok(ApiReply::HistoryRemove)
            }
            ApiCommand::Presence(channel) => {
                named(&channel)?;
                Ok(ApiReply::Presence(self.node.presence(&channel).await?))
            }
            ApiCommand::PresenceStats(channel) => {
                named(&channel)?;
                Ok(ApiReply::PresenceStats(self.node.presence_stats(&channel).await?))
            }
            ApiCommand::Explain(query) => {
                named(&query.channel)?;
                let Some(explains) = &self.explains else { return Err(ApiError::NOT_AVAILABLE) };
                Ok(ApiReply::Explain(Box::new(explains.explain(*query).await?)))
            }
            ApiCommand::BlockUser(BlockUser { user, expire_at }) => {
                named_user(&user)?;
                self.revoke()?.block_user(user, expire_at).await?;
                Ok(ApiReply::BlockUser)
            }
            ApiCommand::UnblockUser(user) => {
                named_user(&user)?;
                self.revoke()?.unblock_user(user).await?;
                Ok(ApiReply::UnblockUser)
            }
            ApiCommand::RevokeToken(RevokeToken { uid, .. }) if uid.is_empty() => Err(bad("uid is required")),
            ApiCommand::RevokeToken(RevokeToken { uid, expire_at }) => {
                self.revoke()?.revoke_token(uid, expire_at).await?;
                Ok(ApiReply::RevokeToken)
            }
            ApiCommand::InvalidateUserTokens(command) => {
                let InvalidateUserTokens { user, channel, issued_before, expire_at } = command;
                named_user(&user)?;
                self.revoke()?.invalidate_user_tokens(user, channel, issued_before, expire_at).await?;
                Ok(ApiReply::InvalidateUserTokens)
            }
            keyed => self.keyed(keyed).await,
        }
    }

    fn revoke(&self) -> Result<&dyn Revoke, ApiError> {
        self.revoke.as_deref().ok_or(ApiError::NOT_AVAILABLE)
    }

    fn check_channel(&self, channel: &Channel) -> Result<(), ApiError> {
        named(channel)?;
        self.node.channel_options(channel)?;
        Ok(())
    }

    async fn publish(
        &self,
        channel: &Channel,
        content: &Content,
        kinds: Kinds,
    ) -> Result<Published, ApiError> {
        named(channel)?;
        let rules = self.node.channel_options(channel)?;
        if kinds == Kinds::Streams && rules.kind != SubscriptionKind::Stream {
            return Err(bad("the channel has no stream subscriptions"));
        }
        if !rules.data_format.accepts(&content.data) {
            return Err(bad("data does not have the format of the channel"));
        }
        // Nothing compares versions where none are kept.
        if rules.history.is_none() && (content.version != 0 || !content.version_epoch.is_empty()) {
            return Err(ApiError::NOT_AVAILABLE
                .with_message("not available: version needs a channel that keeps history"));
        }
        let mut options = PublishOptions::default();
        options.tags.clone_from(&content.tags);
        options.history = rules.history.filter(|_| !content.skip_history);
        options.idempotency_key.clone_from(&content.idempotency_key);
        options.delta = rules.delta_publish || content.delta;
        options.version = content.version;
        options.version_epoch.clone_from(&content.version_epoch);
        self.node.publish(channel.clone(), content.data.clone(), options).await.map_err(|error| {
            tracing::error!(%error, "publishing for the API failed");
            error.to_reply_error().into()
        })
    }

    async fn broadcast(&self, broadcast: Broadcast) -> Result<Vec<Result<Published, ApiError>>, ApiError> {
        if broadcast.channels.is_empty() {
            return Err(bad("channels are required"));
        }
        let Broadcast { channels, content } = broadcast;
        let content = &content;
        let parts = stream::iter(channels)
            .map(|channel| async move { self.publish(&channel, content, Kinds::All).await });
        Ok(parts.buffered(PARALLEL).collect().await)
    }

    async fn subscribe(&self, command: Subscribe) -> Answer {
        let Subscribe { target, channel, info, data, expire_at, server_tags_filter, .. } = command;
        let Subscribe { recover_since, overrides, .. } = command;
        named(&channel)?;
        let mut options = self.node.channel_options(&channel)?.subscription();
        options.presence = overrides.presence.unwrap_or(options.presence);
        options.join_leave = overrides.join_leave.unwrap_or(options.join_leave);
        options.push_join_leave = overrides.force_push_join_leave.unwrap_or(options.push_join_leave);
        options.recoverable = overrides.force_recovery.unwrap_or(options.recoverable);
        options.positioned = overrides.force_positioning.unwrap_or(options.positioned);
        options.expire_at = expire_at;
        options.info = info;
        options.data = data;
        options.recover_since = recover_since;
        options.server_tags_filter = server_tags_filter;
        self.node.subscribe(&target, channel, options).await?;
        Ok(ApiReply::Subscribe)
    }

    async fn channels(&self, channels: &Channels) -> Answer {
        let pattern = ChannelPattern::new(&channels.pattern).map_err(|error| bad(error.to_string()))?;
        Ok(ApiReply::Channels(self.node.channels(&pattern).await?))
    }

    async fn batch(&self, batch: Batch) -> Vec<Answer> {
        let at_once = if batch.parallel { PARALLEL } else { 1 };
        let parts = stream::iter(batch.commands).map(|command| async {
            match command {
                Ok(command) => self.execute_one(command).await,
                Err(error) => Err(error),
            }
        });
        parts.buffered(at_once).collect().await
    }
}

impl Service<ApiCommand> for ApiService {
    type Response = ApiReply;
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ApiError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, command: ApiCommand) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { service.execute(command).await })
    }
}
