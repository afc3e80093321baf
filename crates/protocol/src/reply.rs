//! What the server sends: replies and pushes.

use std::sync::Arc;

use tourbillon_types::{
    Channel, ClientInfo, Disconnect, Payload, Publication, PushKinds, ReplyError, StreamPosition, Text,
    Unsubscribe,
};

/// The answer to a command (PROTO-02).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The number of the command answered.
    pub id: u32,
    /// The answer.
    pub result: Result<ReplyResult, ReplyError>,
}

/// The successful answer to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplyResult {
    /// To `connect`.
    Connect(Box<ConnectResult>),
    /// To `subscribe`.
    Subscribe(Box<SubscribeResult>),
    /// To `unsubscribe`.
    Unsubscribe,
    /// To `publish`.
    Publish,
    /// To `presence`.
    Presence(PresenceResult),
    /// To `presence_stats`.
    PresenceStats(PresenceStatsResult),
    /// To `history`.
    History(HistoryResult),
    /// To `ping`.
    Ping,
    /// To `rpc`.
    Rpc(RpcResult),
    /// To `refresh`.
    Refresh(RefreshResult),
    /// To `sub_refresh`.
    SubRefresh(SubRefreshResult),
}

/// The answer to `connect` (CMD-02), and the first push of a unidirectional connection (PUSH-07).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectResult {
    /// The connection's public identifier.
    pub client: String,
    /// The server's version.
    pub version: Text,
    /// Whether the connection expires unless the client refreshes it.
    pub expires: bool,
    /// Seconds until then.
    pub ttl: u32,
    /// Data of the application.
    pub data: Payload,
    /// Server-side subscriptions, by channel.
    pub subs: Vec<(Channel, SubscribeResult)>,
    /// Seconds between the server's pings; 0 for none.
    pub ping: u32,
    /// Whether the server expects pongs.
    pub pong: bool,
    /// The connection's secret, for emulation and unidirectional transports.
    pub session: String,
    /// The node that holds the connection, for emulation.
    pub node: String,
    /// The server's time, milliseconds since 1970 UTC; 0 when not told.
    pub time: i64,
    /// Features the server enabled (DICT-01).
    pub flag: i64,
    /// The compression dictionary of the connection (DICT-01).
    pub dict: Option<Dictionary>,
}

/// A compression dictionary (DICT-01).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dictionary {
    /// Names the content.
    pub id: String,
    /// The content, for Protobuf connections.
    pub data: Payload,
    /// The content in base64, for JSON connections.
    pub data_b64: String,
}

/// The answer to `subscribe` (CMD-04).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscribeResult {
    /// Whether the subscription expires unless the client refreshes it.
    pub expires: bool,
    /// Seconds until then.
    pub ttl: u32,
    /// Whether the client may recover in this channel.
    pub recoverable: bool,
    /// Where the stream stands, or what was recovered from (HID-27).
    pub position: StreamPosition,
    /// What the client missed.
    pub publications: Vec<Arc<Publication>>,
    /// Whether the client now has everything.
    pub recovered: bool,
    /// Whether the subscription tracks its position.
    pub positioned: bool,
    /// Data of the application.
    pub data: Payload,
    /// Whether the request asked to recover (HID-28).
    pub was_recovering: bool,
    /// Whether publications may come as deltas.
    pub delta: bool,
    /// The number that stands for the channel in pushes (COMP-01); 0 for none.
    pub id: i64,
    /// The kind of subscription.
    pub kind: i32,
    /// The phase of a keyed subscription.
    pub phase: i32,
    /// Where the next page starts.
    pub cursor: String,
    /// A page of a keyed channel's state.
    pub state: Vec<Arc<Publication>>,
    /// Milliseconds by which the client is asked to debounce its publishing (DEB-01).
    pub publish_debounce: u32,
}

/// Who is in a channel (CMD-08), by client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PresenceResult {
    /// The clients.
    pub presence: Vec<(String, Arc<ClientInfo>)>,
}

/// How many are in a channel (CMD-09).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PresenceStatsResult {
    /// The number of connections.
    pub num_clients: u32,
    /// The number of distinct users.
    pub num_users: u32,
}

/// What a channel's stream holds (CMD-10).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryResult {
    /// The publications.
    pub publications: Vec<Arc<Publication>>,
    /// The stream's top.
    pub position: StreamPosition,
}

/// The answer of an RPC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RpcResult {
    /// The data.
    pub data: Payload,
}

/// The answer to `refresh` (CMD-14), and the push of a refresh by the server (PUSH-06).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefreshResult {
    /// The connection's public identifier; empty in practice.
    pub client: String,
    /// The server's version; empty in practice.
    pub version: String,
    /// Whether the connection expires.
    pub expires: bool,
    /// Seconds until then.
    pub ttl: u32,
}

/// The answer to `sub_refresh` (CMD-15, CMD-16).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubRefreshResult {
    /// Whether the subscription expires.
    pub expires: bool,
    /// Seconds until then.
    pub ttl: u32,
    /// Current values of the keys just tracked.
    pub items: Vec<Arc<Publication>>,
}

/// A message that answers no command (PROTO-03).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// The channel it belongs to; `None` where it concerns the connection.
    pub channel: Option<Channel>,
    /// The number that stands for the channel (COMP-01). When not 0 it is sent instead of the name.
    pub id: i64,
    /// What happened.
    pub event: PushEvent,
}

/// What a [`Push`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushEvent {
    /// A publication (PUSH-01).
    Publication(Arc<Publication>),
    /// Somebody came (PUSH-02).
    Join(Arc<ClientInfo>),
    /// Somebody left (PUSH-02).
    Leave(Arc<ClientInfo>),
    /// The subscription ended (PUSH-04).
    Unsubscribe(Unsubscribe),
    /// A message outside any channel (PUSH-05).
    Message(Payload),
    /// The server subscribed the connection (PUSH-03).
    Subscribe(SubscribePush),
    /// The connection is accepted; unidirectional only (PUSH-07).
    Connect(Box<ConnectResult>),
    /// The connection ends (PUSH-08).
    Disconnect(Disconnect),
    /// The connection's expiry changed (PUSH-06).
    Refresh(RefreshResult),
}

impl PushEvent {
    /// Of what kind it is; of none if it cannot be left out.
    #[must_use]
    pub const fn kind(&self) -> PushKinds {
        match self {
            Self::Publication(_) => PushKinds::PUBLICATION,
            Self::Join(_) => PushKinds::JOIN,
            Self::Leave(_) => PushKinds::LEAVE,
            Self::Unsubscribe(_) => PushKinds::UNSUBSCRIBE,
            Self::Message(_) => PushKinds::MESSAGE,
            Self::Subscribe(_) => PushKinds::SUBSCRIBE,
            Self::Connect(_) => PushKinds::CONNECT,
            Self::Disconnect(_) => PushKinds::DISCONNECT,
            Self::Refresh(_) => PushKinds::NONE,
        }
    }
}

/// A subscription made by the server (PUSH-03).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscribePush {
    /// Whether the client may recover in this channel.
    pub recoverable: bool,
    /// Where the stream stands.
    pub position: StreamPosition,
    /// Whether the subscription tracks its position.
    pub positioned: bool,
    /// Data of the application.
    pub data: Payload,
}
