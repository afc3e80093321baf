//! Questions that a session cannot answer itself, and their answers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tourbillon_protocol::command;
use tourbillon_protocol::reply::{HistoryResult, PresenceResult, PresenceStatsResult};
use tourbillon_recovery::{RecoveryMode, Resumed};
use tourbillon_types::{
    Channel, Disconnect, Epoch, HistoryQuery, MapPage, MapPresence, MapQuery, PageSizes, Payload,
    Permissions, Publication, ReplyError, StreamPosition, TagMatcher, TokenMark,
};

use crate::poll::{TrackCall, Tracked};

/// Names a [`Call`] within its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u32);

/// A question to the driver. Each is answered exactly once by [`Input::Answer`](crate::Input::Answer), unless the
/// session closes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Who is this, and what is it subscribed to from the start?
    Connect(Box<command::Connect>),
    /// May it have this channel? If so, it is attached to the hub with its gate closed.
    Subscribe(Box<command::Subscribe>),
    /// Attach it to this channel, as the server decided: its gate is closed until [`Output::Open`](crate::Output).
    Attach {
        /// The channel.
        channel: Channel,
        /// What the server granted.
        granted: Granted,
    },
    /// What is needed for a keyed channel.
    Map(Box<MapCall>),
    /// May it set or remove this key? If so, it is done.
    MapPublish {
        /// The channel.
        channel: Channel,
        /// The key as the client has it; may be empty.
        key: String,
        /// Its new value; `None` removes it.
        data: Option<Payload>,
        /// What is told of the publisher in this channel, if it is subscribed.
        channel_info: Option<Payload>,
        /// Whether it is subscribed.
        subscribed: bool,
        /// What its subscription lets it do.
        allow: Permissions,
    },
    /// May it publish this? If so, it is published.
    Publish {
        /// The channel.
        channel: Channel,
        /// The data.
        data: Payload,
        /// What is told of the publisher in this channel, if it is subscribed.
        channel_info: Option<Payload>,
        /// Whether it is subscribed.
        subscribed: bool,
        /// What its subscription lets it do.
        allow: Permissions,
    },
    /// What was published in this channel?
    History {
        /// The question.
        command: Box<command::History>,
        /// Whether it is subscribed.
        subscribed: bool,
        /// What its subscription lets it do.
        allow: Permissions,
    },
    /// Who is in this channel?
    Presence {
        /// The channel.
        channel: Channel,
        /// Whether it is subscribed.
        subscribed: bool,
        /// What its subscription lets it do.
        allow: Permissions,
    },
    /// How many are in this channel?
    PresenceStats {
        /// The channel.
        channel: Channel,
        /// Whether it is subscribed.
        subscribed: bool,
        /// What its subscription lets it do.
        allow: Permissions,
    },
    /// What does the application answer?
    Rpc(command::Rpc),
    /// Take this message.
    Message(Payload),
    /// How long does the connection go on? An empty token: the server asks by itself.
    Refresh {
        /// The new token.
        token: String,
    },
    /// May it track these keys of a polled channel? If so, it does, and nothing of them is sent before
    /// [`Output::Tracked`](crate::Output).
    Track(Box<TrackCall>),
    /// How long does the subscription go on? An empty token: the server asks by itself.
    SubRefresh {
        /// The channel.
        channel: Channel,
        /// The new token.
        token: String,
    },
}

/// The answer to a [`Call`] of the same kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Call::Track`].
    Track(Result<Tracked, Refusal>),
    /// To [`Call::Connect`].
    Connect(Result<Accepted, Refusal>),
    /// To [`Call::Subscribe`] and [`Call::Attach`].
    Subscribe(Result<Granted, Refusal>),
    /// To [`Call::Map`].
    Map(Result<MapAnswer, Refusal>),
    /// To [`Call::Publish`] and [`Call::MapPublish`].
    Publish(Result<(), Refusal>),
    /// To [`Call::History`].
    History(Result<HistoryResult, Refusal>),
    /// To [`Call::Presence`].
    Presence(Result<PresenceResult, Refusal>),
    /// To [`Call::PresenceStats`].
    PresenceStats(Result<PresenceStatsResult, Refusal>),
    /// To [`Call::Rpc`].
    Rpc(Result<Payload, Refusal>),
    /// To [`Call::Message`].
    Message(Result<(), Disconnect>),
    /// To [`Call::Refresh`] and [`Call::SubRefresh`].
    Refresh(Result<Refreshed, Refusal>),
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The command is answered by an error.
    Error(ReplyError),
    /// The connection ends.
    Disconnect(Disconnect),
}

impl From<ReplyError> for Refusal {
    fn from(error: ReplyError) -> Self {
        Self::Error(error)
    }
}

impl From<Disconnect> for Refusal {
    fn from(disconnect: Disconnect) -> Self {
        Self::Disconnect(disconnect)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => write!(f, "error: {error}"),
            Self::Disconnect(disconnect) => write!(f, "disconnect: {disconnect}"),
        }
    }
}

/// A connection was accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// When it expires, seconds since 1970 UTC; `None` for never.
    pub expire_at: Option<i64>,
    /// Whether the client refreshes it.
    pub client_side_refresh: bool,
    /// Data for the client.
    pub data: Payload,
    /// Channels it was attached to, gates closed.
    pub subscriptions: Vec<(Channel, Granted)>,
}

/// A channel was granted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are options, independent of each other")]
pub struct Granted {
    /// When the subscription expires, seconds since 1970 UTC; `None` for never.
    pub expire_at: Option<i64>,
    /// Whether the client refreshes it.
    pub client_side_refresh: bool,
    /// What is told of the subscriber to others in the channel.
    pub info: Payload,
    /// Data for the client.
    pub data: Payload,
    /// Whether the subscription tracks its position.
    pub positioned: bool,
    /// Whether the client may recover. Then it has a position, too.
    pub recoverable: bool,
    /// What it lets the client do in the channel besides (PRO-41).
    pub allow: Permissions,
    /// To what the versions of a polled channel's values belong; `None` for channels of other kinds (SP-02).
    pub polled: Option<Box<Epoch>>,
    /// Whether it depends on the rights of the connection: see [`Session::revocable`](crate::Session::revocable).
    pub revocable: bool,
    /// Whether publications may come as deltas (DELTA-01): both sides want them.
    pub delta: bool,
    /// Which publications the server lets the subscriber have (TF-04); `None` for all.
    pub server_tags_filter: Option<Arc<TagMatcher>>,
    /// The number that stands for the channel in pushes (COMP-01); 0 for none.
    pub id: i64,
    /// Milliseconds by which the client is asked to debounce its publishing (DEB-01).
    pub publish_debounce: u32,
    /// Whether the latest publication is kept for deltas where the stream keeps none (DELTA-07). This and what follows
    /// is the driver's: a session hands it on.
    pub keep_latest_publication: bool,
    /// How it recovers.
    pub recovery_mode: RecoveryMode,
    /// Whether the latest publication comes without being asked for.
    pub auto_cache_recover: bool,
    /// Whether the subscriber is counted among those present.
    pub presence: bool,
    /// Whether its beginning and end are told to those who listen.
    pub join_leave: bool,
    /// Whether it listens.
    pub push_join_leave: bool,
    /// What few subscriptions have.
    pub further: Option<Box<Further>>,
    /// Whether recovery was asked for. A client that asked is told so even where nothing can be recovered (HID-28).
    pub recovering: bool,
    /// Where it begins, if it has a position.
    pub resumed: Option<Box<Resumed>>,
}

/// What few subscriptions have. A session hands it on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Further {
    /// Where a subscription that the server makes catches up from, if the client does not say.
    pub recover_since: Option<StreamPosition>,
    /// In which keyed channels it shows itself.
    pub map_presence: MapPresence,
    /// Whether the key of the client's id is removed when it ends.
    pub remove_client_on_unsubscribe: bool,
    /// What the token that it came by said of itself.
    pub token: Option<Box<TokenMark>>,
}

/// What is needed for a keyed channel (features MAP).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapCall {
    /// May it have this channel? Nothing is attached.
    Grant(Box<command::Subscribe>),
    /// A page of the state.
    State {
        /// The channel.
        channel: Channel,
        /// Which page.
        query: MapQuery,
        /// What of it the client gets, and how.
        show: MapShow,
    },
    /// A part of the stream.
    Stream {
        /// The channel.
        channel: Channel,
        /// Which part.
        query: HistoryQuery,
        /// What of it the client gets, and how.
        show: MapShow,
    },
    /// Attach it to the hub, gate closed, and find what it missed since a place.
    Attach(Box<MapAttach>),
}

/// How a connection gets into a keyed channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapAttach {
    /// The channel.
    pub channel: Channel,
    /// What it was granted.
    pub granted: Granted,
    /// What it has; `None` for a channel without a stream.
    pub since: Option<StreamPosition>,
    /// Whether it comes back, and asks for what it missed.
    pub recovers: bool,
    /// Whether it takes deltas.
    pub delta: bool,
    /// Whether it takes a number for the channel's name.
    pub compact: bool,
    /// Which publications it wants.
    pub filter: Option<Arc<TagMatcher>>,
}

/// What of a keyed channel a client gets, and how it looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapShow {
    /// Only entries that were set at this place or before it: those after it come with the stream (MAP-22).
    pub up_to: Option<u64>,
    /// Only what the server lets it have.
    pub server: Option<Arc<TagMatcher>>,
    /// Only what it wants.
    pub client: Option<Arc<TagMatcher>>,
    /// In the form that deltas can be applied to (HID-08).
    pub delta: bool,
}

/// The answer to a [`MapCall`] of the same kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapAnswer {
    /// To [`MapCall::Grant`].
    Granted(Box<MapGranted>),
    /// To [`MapCall::State`].
    State(Box<MapPage>),
    /// To [`MapCall::Stream`].
    Stream(Box<MapChanges>),
    /// To [`MapCall::Attach`].
    Attached(Box<Granted>),
}

/// A part of a keyed channel's stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapChanges {
    /// What the client gets of it.
    pub publications: Vec<Arc<Publication>>,
    /// The offsets of the first and the last publication of the part, whether the client gets them or not.
    pub offsets: Option<(u64, u64)>,
    /// Where the stream stands.
    pub position: StreamPosition,
}

/// A keyed channel was granted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapGranted {
    /// As any channel is.
    pub granted: Granted,
    /// How it is loaded.
    pub terms: MapTerms,
    /// The client's filter in the form in which it is evaluated.
    pub filter: Option<Arc<TagMatcher>>,
}

/// How a keyed channel is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MapTerms {
    /// Whether it has a stream to catch up with.
    pub positioned: bool,
    /// Whether its name may be replaced by a number (COMP-01).
    pub compact: bool,
    /// How large its pages are.
    pub pages: PageSizes,
    /// Within this time of its first page it has to be live; `None` for any time (MAP-12).
    pub catch_up: Option<Duration>,
}

/// How long what was refreshed goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refreshed {
    /// It expired.
    pub expired: bool,
    /// When it expires next, seconds since 1970 UTC; `None` for never.
    pub expire_at: Option<i64>,
    /// What is told of it to others from now on; `None` leaves it. For subscriptions; the driver keeps that of
    /// connections.
    pub info: Option<Payload>,
    /// What the subscription lets the client do from now on; `None` leaves it. For subscriptions.
    pub allow: Option<Permissions>,
    /// Which publications the server lets the subscriber have from now on (TF-04); `None` leaves it. For subscriptions.
    pub server_tags_filter: Option<Arc<TagMatcher>>,
}
