//! What can be asked, and what is answered.

use std::borrow::Cow;
use std::sync::Arc;

use tourbillon_node::{
    HistoryQuery, MapChanged, MapStats, Member, NodeInfo, Page, PresenceStats, Published, SharedPollUpdate,
    Target,
};
use tourbillon_types::{
    Channel, ClientId, Disconnect, KeyMode, MapPage, MapQuery, Payload, ReplyError, StreamPosition,
    TagMatcher, Tags, UserId,
};

use crate::explain::{Explain, Explanation};

/// Something a backend asks of a node.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ApiCommand {
    /// Publish into a channel (API-20).
    Publish(Publish),
    /// Publish into several channels (API-21).
    Broadcast(Broadcast),
    /// Subscribe a user's connections (API-22).
    Subscribe(Box<Subscribe>),
    /// End a subscription of a user's connections (API-23).
    Unsubscribe(Unsubscribe),
    /// End a user's connections (API-24).
    Disconnect(DisconnectUser),
    /// Change when a user's connections expire (API-25).
    Refresh(Refresh),
    /// The nodes (API-30).
    Info,
    /// The channels (API-31).
    Channels(Channels),
    /// Several commands (API-33).
    Batch(Batch),
    /// A method of the API's extension point, where nothing is registered (API-32).
    Rpc(Rpc),
    /// Read a channel's history (API-28).
    History(History),
    /// Forget a channel's publications (API-29).
    HistoryRemove(Channel),
    /// Who is in a channel (API-26).
    Presence(Channel),
    /// How many are in a channel (API-27).
    PresenceStats(Channel),
    /// Why somebody may do something, or may not (ours).
    Explain(Box<Explain>),
    /// Block a user (PRO-34).
    BlockUser(BlockUser),
    /// End that.
    UnblockUser(UserId),
    /// Revoke a token (PRO-35).
    RevokeToken(RevokeToken),
    /// Revoke older tokens of a user (PRO-36).
    InvalidateUserTokens(InvalidateUserTokens),
    /// Set a key of a keyed channel (API-34).
    MapPublish(Box<MapPublish>),
    /// Remove a key of a keyed channel (API-35).
    MapRemove(MapRemove),
    /// Read a keyed channel's state (API-36).
    MapReadState(MapReadState),
    /// Read a keyed channel's changes (API-37).
    MapReadStream(History),
    /// How large a keyed channel is (API-38).
    MapStats(Channel),
    /// Forget all of a keyed channel (API-39).
    MapClear(Channel),
    /// Publish a value of a key of a polled channel (API-40).
    SharedPollPublish(Box<SharedPollPublish>),
    /// A command that can be read and is refused: why.
    Refused(ApiError),
}

/// What is published, wherever it goes.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Content {
    /// The data.
    pub data: Payload,
    /// Whether the channel's stream leaves it out (PUBS-03).
    pub skip_history: bool,
    /// Labels.
    pub tags: Option<Arc<Tags>>,
    /// A second publication with the same key has no effect (PUBS-01).
    pub idempotency_key: String,
    /// Whether subscribers may get a delta (PUBS-04).
    pub delta: bool,
    /// A version not above the stream's latest has no effect (PUBS-02); 0 for none.
    pub version: u64,
    /// Versions of different epochs are not compared.
    pub version_epoch: String,
}

/// Publish into a channel.
#[derive(Clone, Debug)]
pub struct Publish {
    /// The channel.
    pub channel: Channel,
    /// What.
    pub content: Content,
}

/// Publish into several channels.
#[derive(Clone, Debug)]
pub struct Broadcast {
    /// The channels.
    pub channels: Vec<Channel>,
    /// What.
    pub content: Content,
}

/// Subscribe a user's connections.
#[derive(Clone, Debug)]
pub struct Subscribe {
    /// Whose.
    pub target: Target,
    /// To which channel.
    pub channel: Channel,
    /// What is told of the subscriber to others in the channel.
    pub info: Payload,
    /// Data for the client.
    pub data: Payload,
    /// When the subscription expires, seconds since 1970 UTC; `None` for never.
    pub expire_at: Option<i64>,
    /// Which publications the subscriber is let have (TF-04); `None` for all.
    pub server_tags_filter: Option<Arc<TagMatcher>>,
    /// Where it catches up from, if it recovers (REC-12).
    pub recover_since: Option<StreamPosition>,
    /// Options of the channel that this subscription has otherwise.
    pub overrides: Overrides,
}

/// Options of a channel that one subscription has otherwise; `None` leaves the channel's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overrides {
    /// `presence`
    pub presence: Option<bool>,
    /// `join_leave`
    pub join_leave: Option<bool>,
    /// `force_push_join_leave`
    pub force_push_join_leave: Option<bool>,
    /// `force_recovery`
    pub force_recovery: Option<bool>,
    /// `force_positioning`
    pub force_positioning: Option<bool>,
}

/// End a subscription of a user's connections.
#[derive(Clone, Debug)]
pub struct Unsubscribe {
    /// Whose.
    pub target: Target,
    /// Of which channel.
    pub channel: Channel,
}

/// End a user's connections.
#[derive(Clone, Debug)]
pub struct DisconnectUser {
    /// Whose.
    pub target: Target,
    /// Why.
    pub why: Disconnect,
    /// Connections that are spared.
    pub whitelist: Vec<ClientId>,
}

/// Change when a user's connections expire.
#[derive(Clone, Debug)]
pub struct Refresh {
    /// Whose.
    pub target: Target,
    /// They are expired now.
    pub expired: bool,
    /// When they expire, seconds since 1970 UTC; `None` for never.
    pub expire_at: Option<i64>,
    /// What is told of them to others from now on; `None` leaves it.
    pub info: Option<Payload>,
}

/// Block a user.
#[derive(Clone, Debug)]
pub struct BlockUser {
    /// Whom.
    pub user: UserId,
    /// Until when, seconds since 1970 UTC; `None` for ever.
    pub expire_at: Option<i64>,
}

/// Revoke a token.
#[derive(Clone, Debug)]
pub struct RevokeToken {
    /// Its identifier, `jti`.
    pub uid: String,
    /// Until when, seconds since 1970 UTC; `None` for ever.
    pub expire_at: Option<i64>,
}

/// Revoke older tokens of a user.
#[derive(Clone, Debug)]
pub struct InvalidateUserTokens {
    /// Whose.
    pub user: UserId,
    /// Those of subscriptions to this channel; `None` for those of connections.
    pub channel: Option<Channel>,
    /// Those issued before, by `iat` in seconds since 1970 UTC; `None` for now.
    pub issued_before: Option<i64>,
    /// Until when, seconds since 1970 UTC; `None` for ever.
    pub expire_at: Option<i64>,
}

/// The channels.
#[derive(Clone, Debug, Default)]
pub struct Channels {
    /// Which: a pattern with `*`, `?`, `[a-z]` and `{a,b}`. Empty for all.
    pub pattern: String,
}

/// A method of the API's extension point.
#[derive(Clone, Debug, Default)]
pub struct Rpc {
    /// Its name.
    pub method: String,
}

/// Read a channel's history.
#[derive(Clone, Debug)]
pub struct History {
    /// The channel.
    pub channel: Channel,
    /// Which part of it. Without a limit, all (HID-72).
    pub query: HistoryQuery,
}

/// Set a key of a keyed channel.
#[derive(Clone, Debug)]
pub struct MapPublish {
    /// The channel.
    pub channel: Channel,
    /// The key.
    pub key: Arc<str>,
    /// Its value, and how it is set; nothing skips a keyed channel's history.
    pub content: Content,
    /// On which condition.
    pub mode: KeyMode,
}

/// Remove a key of a keyed channel.
#[derive(Clone, Debug)]
pub struct MapRemove {
    /// The channel.
    pub channel: Channel,
    /// The key.
    pub key: Arc<str>,
    /// A second change with the same key of idempotency has no effect.
    pub idempotency_key: String,
}

/// Read a keyed channel's state.
#[derive(Clone, Debug)]
pub struct MapReadState {
    /// The channel.
    pub channel: Channel,
    /// Which part of it.
    pub query: MapQuery,
    /// Where the channel stood when the page before was read: in another epoch that page is worth nothing.
    pub revision: Option<StreamPosition>,
}

/// Publish a value of a key of a polled channel.
#[derive(Clone, Debug)]
pub struct SharedPollPublish {
    /// The channel.
    pub channel: Channel,
    /// The key, its value and version.
    pub update: SharedPollUpdate,
}

/// Several commands.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The commands, or why one cannot be read.
    pub commands: Vec<Result<ApiCommand, ApiError>>,
    /// Whether they may be carried out at the same time.
    pub parallel: bool,
}

/// The answer to an [`ApiCommand`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ApiReply {
    /// To [`ApiCommand::Publish`].
    Publish(Published),
    /// To [`ApiCommand::Broadcast`], in the order of the channels.
    Broadcast(Vec<Result<Published, ApiError>>),
    /// To [`ApiCommand::Subscribe`].
    Subscribe,
    /// To [`ApiCommand::Unsubscribe`].
    Unsubscribe,
    /// To [`ApiCommand::Disconnect`].
    Disconnect,
    /// To [`ApiCommand::Refresh`].
    Refresh,
    /// To [`ApiCommand::Info`].
    Info(Vec<NodeInfo>),
    /// To [`ApiCommand::Channels`]: names and numbers of subscribers.
    Channels(Vec<(Channel, usize)>),
    /// To [`ApiCommand::History`].
    History(Page),
    /// To [`ApiCommand::HistoryRemove`].
    HistoryRemove,
    /// To [`ApiCommand::Presence`].
    Presence(Vec<Member>),
    /// To [`ApiCommand::PresenceStats`].
    PresenceStats(PresenceStats),
    /// To [`ApiCommand::Explain`].
    Explain(Box<Explanation>),
    /// To [`ApiCommand::BlockUser`].
    BlockUser,
    /// To [`ApiCommand::UnblockUser`].
    UnblockUser,
    /// To [`ApiCommand::RevokeToken`].
    RevokeToken,
    /// To [`ApiCommand::InvalidateUserTokens`].
    InvalidateUserTokens,
    /// To [`ApiCommand::MapPublish`].
    MapPublish(MapChanged),
    /// To [`ApiCommand::MapRemove`].
    MapRemove(MapChanged),
    /// To [`ApiCommand::MapReadState`].
    MapReadState(MapPage),
    /// To [`ApiCommand::MapReadStream`].
    MapReadStream(Page),
    /// To [`ApiCommand::MapStats`].
    MapStats(MapStats),
    /// To [`ApiCommand::MapClear`].
    MapClear,
    /// To [`ApiCommand::SharedPollPublish`].
    SharedPollPublish,
    /// To [`ApiCommand::Batch`], in the order of the commands.
    Batch(Vec<Result<Self, ApiError>>),
}

/// Why a command failed (PUBS-06).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code})")]
pub struct ApiError {
    /// What went wrong, as one of the constants' codes.
    pub code: u32,
    /// Text for people; callers must not match on it.
    pub message: Cow<'static, str>,
}

impl ApiError {
    /// The server failed; the caller may try again.
    pub const INTERNAL: Self = Self::new(100, "internal server error");
    /// The channel's namespace does not exist.
    pub const UNKNOWN_CHANNEL: Self = Self::new(102, "unknown channel");
    /// No such method.
    pub const NOT_FOUND: Self = Self::new(104, "not found");
    /// There is no room for more of this.
    pub const LIMIT_EXCEEDED: Self = Self::new(106, "limit exceeded");
    /// The command contradicts itself or the rules of the channel.
    pub const BAD_REQUEST: Self = Self::new(107, "bad request");
    /// The feature is not enabled.
    pub const NOT_AVAILABLE: Self = Self::new(108, "not available");
    /// The position is not part of the stream any more.
    pub const UNRECOVERABLE_POSITION: Self = Self::new(112, "unrecoverable position");
    /// Another change came before (HID-79: not what 113 means to clients).
    pub const CONFLICT: Self = Self::new(113, "conflict");

    const fn new(code: u32, message: &'static str) -> Self {
        Self { code, message: Cow::Borrowed(message) }
    }

    /// The same error with another text, such as one that names the offending field.
    #[must_use]
    pub fn with_message(self, message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), ..self }
    }
}

impl From<ReplyError> for ApiError {
    fn from(error: ReplyError) -> Self {
        Self { code: error.code.0, message: error.message }
    }
}
