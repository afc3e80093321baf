//! What a client sends: commands.

use tourbillon_types::{Encoding, Payload, StreamPosition, TagFilter, Text};

/// One command of a client (PROTO-01).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The client's number for this command, echoed in the reply. 0 where no reply is expected.
    pub id: u32,
    /// What is asked for.
    pub request: Request,
}

/// What a [`Command`] asks for. Where a command carried several requests, the first of the protocol's order was
/// taken: connect, ping, subscribe, unsubscribe, publish, presence, presence_stats, history, rpc, send, refresh,
/// sub_refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// No request at all and id 0: the answer to a server's ping (PING-02).
    Pong,
    /// No request, but an id: always a bad request.
    Empty,
    /// Introduces the client; must come first.
    Connect(Box<Connect>),
    /// Asks for a channel's publications.
    Subscribe(Box<Subscribe>),
    /// Gives a channel up.
    Unsubscribe(Unsubscribe),
    /// Publishes into a channel.
    Publish(Publish),
    /// Who is in a channel.
    Presence(Presence),
    /// How many are in a channel.
    PresenceStats(PresenceStats),
    /// What a channel's stream holds.
    History(History),
    /// A ping by the client (CMD-11).
    Ping,
    /// A message without an answer (CMD-13).
    Send(Send),
    /// A call answered by the application.
    Rpc(Rpc),
    /// A new connection token.
    Refresh(Refresh),
    /// A new subscription token, or what tracked keys are to be.
    SubRefresh(Box<SubRefresh>),
}

/// The name of a request, for metrics and logs.
impl Request {
    /// The protocol's name of the request.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pong => "pong",
            Self::Empty => "unknown",
            Self::Connect(_) => "connect",
            Self::Subscribe(_) => "subscribe",
            Self::Unsubscribe(_) => "unsubscribe",
            Self::Publish(_) => "publish",
            Self::Presence(_) => "presence",
            Self::PresenceStats(_) => "presence_stats",
            Self::History(_) => "history",
            Self::Ping => "ping",
            Self::Send(_) => "send",
            Self::Rpc(_) => "rpc",
            Self::Refresh(_) => "refresh",
            Self::SubRefresh(_) => "sub_refresh",
        }
    }
}

/// The first request of a connection (CMD-01).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Connect {
    /// The connection token. Never logged.
    pub token: String,
    /// Data for the application.
    pub data: Payload,
    /// Server-side subscriptions the client wants to recover, by channel.
    pub subs: Vec<(String, Subscribe)>,
    /// The kind of client, such as `js`.
    pub name: Text,
    /// The client's version.
    pub version: Text,
    /// Headers that the client cannot set on its HTTP request (LIFE-09). Never logged.
    pub headers: Vec<(String, String)>,
    /// Features the client supports; bit 0 is dictionary compression (DICT-01).
    pub flag: i64,
    /// The application context the connection claims to belong to (PROF-01).
    pub profile: String,
    /// The compression dictionary the client holds (DICT-01).
    pub dict: String,
}

impl std::fmt::Debug for Connect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connect")
            .field("token", &Redacted(self.token.len()))
            .field("data", &self.data)
            .field("subs", &self.subs)
            .field("name", &self.name)
            .field("version", &self.version)
            .field("headers", &Redacted(self.headers.len()))
            .field("flag", &self.flag)
            .finish_non_exhaustive()
    }
}

struct Redacted(usize);

impl std::fmt::Debug for Redacted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<{}>", self.0)
    }
}

/// A request for a channel (CMD-03).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Subscribe {
    /// The channel.
    pub channel: String,
    /// The subscription token. Never logged.
    pub token: String,
    /// Whether the client wants what it missed since `position`.
    pub recover: bool,
    /// Where the client stopped.
    pub position: StreamPosition,
    /// Data for the application.
    pub data: Payload,
    /// Asks for a positioned subscription.
    pub positioned: bool,
    /// Asks for a recoverable subscription.
    pub recoverable: bool,
    /// Asks for join and leave pushes.
    pub join_leave: bool,
    /// The delta format the client understands; only `fossil` exists.
    pub delta: String,
    /// The filter on tags.
    pub filter: Option<Box<TagFilter>>,
    /// Bit 0: channel compaction; bit 1: reject when not recovered (HID-26).
    pub flag: i64,
    /// The kind of subscription (SUBT-01..05).
    pub kind: i32,
    /// The phase of a keyed subscription.
    pub phase: i32,
    /// Where the next page of a keyed subscription starts.
    pub cursor: String,
    /// The size of a page.
    pub limit: i32,
    /// Whether pages ascend.
    pub asc: bool,
}

impl std::fmt::Debug for Subscribe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscribe")
            .field("channel", &self.channel)
            .field("token", &Redacted(self.token.len()))
            .field("recover", &self.recover)
            .field("position", &self.position)
            .field("flag", &self.flag)
            .finish_non_exhaustive()
    }
}

/// Gives a channel up (CMD-05).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unsubscribe {
    /// The channel.
    pub channel: String,
}

/// Publishes into a channel (CMD-06, CMD-07).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publish {
    /// The channel.
    pub channel: String,
    /// The data.
    pub data: Payload,
    /// 0 for a stream, 1 for a keyed channel.
    pub kind: i32,
    /// The key, in keyed channels.
    pub key: String,
    /// Whether the key is removed.
    pub removed: bool,
}

/// Who is in a channel (CMD-08).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// The channel.
    pub channel: String,
}

/// How many are in a channel (CMD-09).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PresenceStats {
    /// The channel.
    pub channel: String,
}

/// What a channel's stream holds (CMD-10).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The channel.
    pub channel: String,
    /// How many publications; 0 asks for the position only.
    pub limit: i32,
    /// Where to start.
    pub since: Option<StreamPosition>,
    /// Newest first.
    pub reverse: bool,
}

/// A message without an answer (CMD-13).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Send {
    /// The data.
    pub data: Payload,
}

/// A call answered by the application (CMD-12).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rpc {
    /// The data.
    pub data: Payload,
    /// The method; may be empty.
    pub method: Text,
}

/// A new connection token (CMD-14).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Refresh {
    /// The token. Never logged.
    pub token: String,
}

impl std::fmt::Debug for Refresh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Refresh").field("token", &Redacted(self.token.len())).finish()
    }
}

/// A new subscription token (CMD-15), or keys to track (CMD-16) or forget (CMD-17).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SubRefresh {
    /// The channel.
    pub channel: String,
    /// The token. Never logged.
    pub token: String,
    /// 0 refresh, 1 track, 2 untrack.
    pub kind: i32,
    /// Signed batches of keys to track.
    pub track: Vec<TrackBatch>,
    /// Keys to forget.
    pub untrack: Vec<String>,
}

impl std::fmt::Debug for SubRefresh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SubRefresh")
            .field("channel", &self.channel)
            .field("token", &Redacted(self.token.len()))
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// Keys to track, signed by the backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrackBatch {
    /// The backend's signature over the keys in this order.
    pub signature: String,
    /// The keys and the versions that the client holds.
    pub items: Vec<KeyedItem>,
}

/// A key and the version of it that the client holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyedItem {
    /// The key.
    pub key: String,
    /// The version; 0 for none.
    pub version: u64,
}

/// A client message that reaches its node through the emulation endpoint (PROTO-04).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmulationRequest {
    /// The node that holds the session.
    pub node: String,
    /// The session's secret.
    pub session: String,
    /// Encoded commands, as a frame of the session's encoding.
    pub data: bytes::Bytes,
    /// The encoding that the request itself came in.
    pub encoding: Encoding,
}
