//! Questions to the embedding program and its answers.
//!
//! A question can be made by anybody, so that a program's answers can be tested without a node. It may get another field
//! in any release: name the fields that you need, and `..` the others.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use tourbillon_broker::{HistoryQuery, PublishOptions, Published};
pub use tourbillon_recovery::RecoveryMode;
pub use tourbillon_session::Refusal;
use tourbillon_transport::KeptHeaders;
use tourbillon_types::{
    Channel, ClientId, Direction, Encoding, Instant, KeptPayload, MapPresence, Payload, Permissions,
    PushKinds, SessionId, StreamPosition, TagFilter, TagMatcher, Tags, Text, UserId,
};

use crate::TokenMark;
use crate::rights::{ClientRights, ClientTerms};
use crate::source::SubscriptionSource;

/// An accepted connection, as hooks see it. Shared, not copied.
#[derive(Clone)]
pub struct Client {
    /// Its public identifier.
    pub id: ClientId,
    /// Its secret identifier. Never logged.
    pub session: SessionId,
    /// Who it is.
    pub user: UserId,
    /// What is told of it to others, in publications, presence and joins.
    pub info: KeptPayload,
    /// What the program keeps about it; told to nobody.
    pub meta: KeptPayload,
    /// Its labels, and what the program decided about it.
    pub terms: ClientTerms,
    /// The transport's name.
    pub transport: &'static str,
    /// The encoding it speaks.
    pub encoding: Encoding,
    /// Whether it sends commands.
    pub direction: Direction,
    /// The peer's address, where there is one.
    pub peer: Option<SocketAddr>,
    /// Kinds of pushes that its transport leaves out.
    pub suppressed: PushKinds,
    /// The headers of its HTTP request that the node was told to keep
    /// (`NodeConfig::keep_headers` of the node). Never logged.
    pub headers: KeptHeaders,
    /// The headers that the client put into its first message, as far as the node was told to keep them
    /// (`NodeConfig::keep_emulated_headers` of the node, LIFE-09). Not to be trusted like real ones. Never logged.
    pub emulated_headers: KeptHeaders,
    /// What its token said of itself; `None` for a connection without a token, or whose token says nothing.
    pub token: Option<Box<TokenMark>>,
}

impl Client {
    /// A connection with a fresh secret, speaking JSON both ways, as tests of decorators start from.
    #[must_use]
    pub fn new(id: ClientId, user: UserId, transport: &'static str) -> Self {
        Self {
            id,
            session: SessionId::random(),
            user,
            info: KeptPayload::default(),
            meta: KeptPayload::default(),
            terms: ClientTerms::default(),
            transport,
            encoding: Encoding::Json,
            direction: Direction::Bidirectional,
            peer: None,
            suppressed: PushKinds::NONE,
            headers: KeptHeaders::default(),
            emulated_headers: KeptHeaders::default(),
            token: None,
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.id)
            .field("user", &self.user)
            .field("transport", &self.transport)
            .field("encoding", &self.encoding)
            .finish_non_exhaustive()
    }
}

/// Somebody wants to connect.
pub struct ConnectRequest {
    /// The identifier the connection will have.
    pub client: ClientId,
    /// The transport's name.
    pub transport: &'static str,
    /// The encoding it speaks.
    pub encoding: Encoding,
    /// Whether it sends commands.
    pub direction: Direction,
    /// The peer's address, where there is one.
    pub peer: Option<SocketAddr>,
    /// The headers of its HTTP request. Never logged.
    pub headers: HeaderMap,
    /// Headers that the client sent in its first message. Not to be trusted like real ones: they are a type of
    /// their own and never merged into `headers`. Never logged.
    pub emulated_headers: Vec<(String, String)>,
    /// The connection token; empty without one. Never logged.
    pub token: String,
    /// Data of the client.
    pub data: Payload,
    /// The kind of client it says to be.
    pub name: Text,
    /// The version it says to have.
    pub version: Text,
    /// The channels that the client asks to be subscribed to by the server (LIFE-11).
    pub channels: Vec<Channel>,
    /// The present, seconds since 1970 UTC: what expiry is measured by.
    pub unix_seconds: i64,
    /// The same moment on the node's monotonic clock: what rates are measured by.
    pub instant: Instant,
}

impl ConnectRequest {
    /// A request without token, headers or data, as decorators' tests start from.
    #[must_use]
    pub fn new(client: ClientId, transport: &'static str) -> Self {
        Self {
            client,
            transport,
            encoding: Encoding::Json,
            direction: Direction::Bidirectional,
            peer: None,
            headers: HeaderMap::new(),
            emulated_headers: Vec::new(),
            token: String::new(),
            data: Payload::empty(),
            name: Text::new(),
            version: Text::new(),
            channels: Vec::new(),
            unix_seconds: 0,
            instant: Instant::ZERO,
        }
    }
}

impl fmt::Debug for ConnectRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectRequest")
            .field("client", &self.client)
            .field("transport", &self.transport)
            .field("name", &self.name)
            .field("version", &self.version)
            .field("channels", &self.channels)
            .finish_non_exhaustive()
    }
}

/// A connection is accepted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectDecision {
    /// Who it is.
    pub user: UserId,
    /// When it expires, seconds since 1970 UTC; `None` for never.
    pub expire_at: Option<i64>,
    /// Whether the client is told to refresh before that (LIFE-02), instead of the server asking
    /// [`Hooks::refresh`](crate::Hooks::refresh) by itself (LIFE-03).
    pub client_side_refresh: bool,
    /// What is told of it to others.
    pub info: Payload,
    /// Data for the client.
    pub data: Payload,
    /// What the program keeps about it.
    pub meta: Payload,
    /// What its token said of itself, if that is to be remembered.
    pub token: Option<Box<TokenMark>>,
    /// Its labels (PRO-44); `None` for none.
    pub labels: Option<Arc<Tags>>,
    /// What the program decided about it, to find it with every request of [`Client`].
    pub rights: Option<ClientRights>,
    /// Channels that the server subscribes it to at once.
    pub subscriptions: Vec<(Channel, SubscriptionOptions)>,
    /// Whether it takes the place of the user's other connections, which end with 3504 (LIFE-10). The limit of
    /// connections of a user does not refuse it then. Means nothing for the user without a name.
    pub single_connection: bool,
    /// The program has nothing to say about who this is: nothing else here counts. A decorator may decide instead; if none
    /// does, the connection is refused with 3501.
    pub undecided: bool,
}

impl ConnectDecision {
    /// Accepts a user for as long as the connection lasts.
    #[must_use]
    pub fn new(user: UserId) -> Self {
        Self {
            user,
            expire_at: None,
            client_side_refresh: true,
            info: Payload::empty(),
            data: Payload::empty(),
            meta: Payload::empty(),
            token: None,
            labels: None,
            rights: None,
            subscriptions: Vec::new(),
            single_connection: false,
            undecided: false,
        }
    }
}

/// A client wants a channel.
#[derive(Clone)]
pub struct SubscribeRequest {
    /// Who asks.
    pub client: Arc<Client>,
    /// For which channel.
    pub channel: Channel,
    /// The subscription token; empty without one. Never logged.
    pub token: String,
    /// Data of the client.
    pub data: Payload,
    /// Whether it asks for a positioned subscription.
    pub positioned: bool,
    /// Whether it asks for a recoverable subscription.
    pub recoverable: bool,
    /// Whether it asks for join and leave pushes.
    pub join_leave: bool,
    /// The kind of subscription it asks for (SUBT-01..05).
    pub kind: i32,
    /// The filter on tags it asks for.
    pub filter: Option<Arc<TagFilter>>,
    /// The present, seconds since 1970 UTC.
    pub unix_seconds: i64,
}

impl SubscribeRequest {
    /// A plain request.
    #[must_use]
    pub fn new(client: Arc<Client>, channel: Channel) -> Self {
        Self {
            client,
            channel,
            token: String::new(),
            data: Payload::empty(),
            positioned: false,
            recoverable: false,
            join_leave: false,
            kind: 0,
            filter: None,
            unix_seconds: 0,
        }
    }
}

impl fmt::Debug for SubscribeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscribeRequest")
            .field("client", &self.client)
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}

/// How a subscription behaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "they are the options, independent of each other")]
pub struct SubscriptionOptions {
    /// When it expires, seconds since 1970 UTC; `None` for never.
    pub expire_at: Option<i64>,
    /// What is told of the subscriber to others in this channel.
    pub info: Payload,
    /// Data for the client.
    pub data: Payload,
    /// It has a position (REC-01): the client is told where it is, and gets everything from there or is told that it
    /// does not.
    pub positioned: bool,
    /// The client may recover what it missed (REC-02). Then it has a position, too.
    pub recoverable: bool,
    /// How it recovers (OPT-08).
    pub recovery_mode: RecoveryMode,
    /// It begins with the channel's latest publication without asking (REC-05). For [`RecoveryMode::Cache`].
    pub auto_cache_recover: bool,
    /// Its subscriber is counted among those present (OPT-01).
    pub presence: bool,
    /// Its beginning and its end are told to subscribers that listen to that (OPT-02).
    pub join_leave: bool,
    /// It listens to others' beginnings and ends (OPT-03).
    pub push_join_leave: bool,
    /// Where it catches up from, if it recovers and the client does not say where (API-22, REC-12).
    pub recover_since: Option<StreamPosition>,
    /// Its publications come as deltas if the client asks for that (OPT-10).
    pub allow_delta: bool,
    /// The client may have a filter on tags (OPT-12). One that asks for a filter otherwise is refused.
    pub allow_tags_filter: bool,
    /// Which publications the subscriber is let have (TF-04); `None` for all. A filter that the client may have besides
    /// can only make them fewer. It may not read the channel's history while it has the subscription.
    pub server_tags_filter: Option<Arc<TagMatcher>>,
    /// Pushes name the channel by a number if the client asks for that (COMP-01).
    pub allow_channel_compaction: bool,
    /// The node keeps the channel's latest publication, so that deltas come of publications outside a stream, too
    /// (DELTA-07).
    pub keep_latest_publication: bool,
    /// By how much the client is asked to debounce its publishing (DEB-01); whole milliseconds, zero for not at all.
    pub publish_debounce: Duration,
    /// In which keyed channels it shows itself besides (OPT-25, MAP-13); `None` in none. What is shown there is kept by
    /// the rules of those.
    pub map_presence: Option<Box<MapPresence>>,
    /// Whether the key of the client's id is removed from a keyed channel when the subscription ends (MAP-06).
    pub remove_client_on_unsubscribe: bool,
    /// What it lets the client do in the channel besides (PRO-41); requests tell it.
    pub allow: Permissions,
    /// It ends when the rights of its connection change and no longer [hold](crate::Rights::holds) it.
    pub revocable: bool,
}

/// A subscription is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscribeDecision {
    /// How it behaves.
    pub options: SubscriptionOptions,
    /// Whether the client is told to refresh before it expires, instead of the server asking
    /// [`Hooks::sub_refresh`](crate::Hooks::sub_refresh) by itself.
    pub client_side_refresh: bool,
    /// What its token said of itself. The node keeps it for as long as the subscription lasts, and asks
    /// [`Hooks::subscription_stays`](crate::Hooks::subscription_stays) by it.
    pub token: Option<Box<TokenMark>>,
    /// Where publications for it alone come from, beside those of the channel (PRX-50); `None` for nowhere.
    pub source: Option<SubscriptionSource>,
}

impl Default for SubscribeDecision {
    fn default() -> Self {
        Self { options: SubscriptionOptions::default(), client_side_refresh: true, token: None, source: None }
    }
}

/// A client wants to publish.
#[derive(Clone, Debug)]
pub struct PublishRequest {
    /// Who publishes.
    pub client: Arc<Client>,
    /// Into which channel.
    pub channel: Channel,
    /// What.
    pub data: Payload,
    /// Whether the client is subscribed to the channel.
    pub subscribed: bool,
    /// What its subscription lets it do.
    pub allow: Permissions,
}

impl PublishRequest {
    /// A publication by a client.
    #[must_use]
    pub const fn new(client: Arc<Client>, channel: Channel, data: Payload, subscribed: bool) -> Self {
        Self { client, channel, data, subscribed, allow: Permissions::NONE }
    }
}

/// A client wants to read a channel's history.
#[derive(Clone, Debug)]
pub struct HistoryRequest {
    /// Who asks.
    pub client: Arc<Client>,
    /// Of which channel.
    pub channel: Channel,
    /// What for; within the limit for clients already.
    pub query: HistoryQuery,
    /// Whether the client is subscribed to the channel.
    pub subscribed: bool,
    /// What its subscription lets it do.
    pub allow: Permissions,
}

impl HistoryRequest {
    /// A client's request.
    #[must_use]
    pub const fn new(client: Arc<Client>, channel: Channel, query: HistoryQuery, subscribed: bool) -> Self {
        Self { client, channel, query, subscribed, allow: Permissions::NONE }
    }
}

/// A client wants to know who is in a channel, or how many.
#[derive(Clone, Debug)]
pub struct PresenceRequest {
    /// Who asks.
    pub client: Arc<Client>,
    /// Of which channel.
    pub channel: Channel,
    /// Whether the client is subscribed to the channel.
    pub subscribed: bool,
    /// What its subscription lets it do.
    pub allow: Permissions,
}

impl PresenceRequest {
    /// A client's request.
    #[must_use]
    pub const fn new(client: Arc<Client>, channel: Channel, subscribed: bool) -> Self {
        Self { client, channel, subscribed, allow: Permissions::NONE }
    }
}

/// What becomes of a client's publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishDecision {
    /// The node publishes it. The client's info is added by the node.
    Publish {
        /// The data, if it is to differ from what the client sent.
        data: Option<Payload>,
        /// How it is published; `history` is filled from [`ChannelOptions`](crate::ChannelOptions) when `None`.
        options: Box<PublishOptions>,
        /// Nothing of `options` is filled from the channel's rules, but for who publishes.
        as_is: bool,
    },
    /// The program has published it already.
    Done(Published),
}

impl Default for PublishDecision {
    fn default() -> Self {
        Self::Publish { data: None, options: Box::default(), as_is: false }
    }
}

/// A client calls the program.
#[derive(Clone, Debug)]
pub struct RpcRequest {
    /// Who calls.
    pub client: Arc<Client>,
    /// The method; may be empty.
    pub method: Text,
    /// The argument.
    pub data: Payload,
}

impl RpcRequest {
    /// A call by a client.
    #[must_use]
    pub fn new(client: Arc<Client>, method: impl Into<Text>, data: Payload) -> Self {
        Self { client, method: method.into(), data }
    }
}

/// The answer of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RpcDecision {
    /// The result.
    pub data: Payload,
}

/// A client sends a message that expects no answer.
#[derive(Clone, Debug)]
pub struct MessageRequest {
    /// Who sends.
    pub client: Arc<Client>,
    /// What.
    pub data: Payload,
}

impl MessageRequest {
    /// A message by a client.
    #[must_use]
    pub const fn new(client: Arc<Client>, data: Payload) -> Self {
        Self { client, data }
    }
}

/// A connection is about to expire, or its client has a new token.
#[derive(Clone)]
pub struct RefreshRequest {
    /// Whose connection.
    pub client: Arc<Client>,
    /// The new token; empty when the server asks by itself. Never logged.
    pub token: String,
    /// The present, seconds since 1970 UTC.
    pub unix_seconds: i64,
}

impl RefreshRequest {
    /// A refresh.
    #[must_use]
    pub const fn new(client: Arc<Client>, token: String, unix_seconds: i64) -> Self {
        Self { client, token, unix_seconds }
    }
}

impl fmt::Debug for RefreshRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshRequest").field("client", &self.client).finish_non_exhaustive()
    }
}

/// A subscription is about to expire, or its client has a new token.
#[derive(Clone)]
pub struct SubRefreshRequest {
    /// Whose subscription.
    pub client: Arc<Client>,
    /// To which channel.
    pub channel: Channel,
    /// The new token; empty when the server asks by itself. Never logged.
    pub token: String,
    /// The present, seconds since 1970 UTC.
    pub unix_seconds: i64,
}

impl SubRefreshRequest {
    /// A refresh of a subscription.
    #[must_use]
    pub const fn new(client: Arc<Client>, channel: Channel, token: String, unix_seconds: i64) -> Self {
        Self { client, channel, token, unix_seconds }
    }
}

impl fmt::Debug for SubRefreshRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubRefreshRequest")
            .field("client", &self.client)
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}

/// How long what was refreshed goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefreshDecision {
    /// It expired: a connection ends with 3005, a subscription with 2501.
    pub expired: bool,
    /// When it expires next, seconds since 1970 UTC; `None` for never.
    pub expire_at: Option<i64>,
    /// What is told of it to others from now on; `None` leaves it.
    pub info: Option<Payload>,
    /// What the program keeps about it from now on; `None` leaves it. For connections.
    pub meta: Option<Payload>,
    /// What its new token said of itself; `None` leaves what is known.
    pub token: Option<Box<TokenMark>>,
    /// What the program decided about the connection from now on; `None` leaves it. Subscriptions that depend on it and
    /// are no longer held end with 2000. For connections.
    pub rights: Option<ClientRights>,
    /// What the subscription lets the client do from now on; `None` leaves it. For subscriptions.
    pub allow: Option<Permissions>,
    /// Which publications the subscriber is let have from now on (TF-04); `None` leaves it. For subscriptions.
    pub server_tags_filter: Option<Arc<TagMatcher>>,
}

impl RefreshDecision {
    /// Goes on until the given time, seconds since 1970 UTC; `None` for ever.
    #[must_use]
    pub const fn until(expire_at: Option<i64>) -> Self {
        Self {
            expired: false,
            expire_at,
            info: None,
            meta: None,
            token: None,
            rights: None,
            allow: None,
            server_tags_filter: None,
        }
    }
}
