//! Rules of a channel that do not depend on who asks.

use std::num::NonZeroUsize;
use std::time::Duration;

use tourbillon_broker::HistoryPolicy;
use tourbillon_protocol::DataFormat;
use tourbillon_types::SubscriptionKind;

use tourbillon_shared_poll::PollRules;

use crate::map::MapRules;
use crate::request::{RecoveryMode, SubscriptionOptions};

/// How the publications of a channel are collected before they are delivered (PRO-64).
///
/// A batch is delivered when it has `max_size` publications or is `max_delay` old, whichever comes first. It is
/// delivered earlier, too, when a subscription of the channel begins or ends or a join or leave is told, so that nobody
/// gets what is not his and nothing overtakes it; when it holds 256 KiB; and before positions are checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Batching {
    /// The most publications of a batch; `None` for any number.
    pub max_size: Option<NonZeroUsize>,
    /// How long a batch waits for more after its first publication; `None` for ever.
    pub max_delay: Option<Duration>,
    /// Whether only the newest publication of a batch is delivered. Positions move over the others.
    pub flush_latest: bool,
}

/// What becomes of publications of a channel for which there is no room in a connection's queue, because its peer does
/// not read them as fast as they are made.
///
/// A subscription with a position loses nothing without being told, whatever the policy: in place of drops it ends with
/// "insufficient state" and recovers when its client subscribes again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OverflowPolicy {
    /// The connection ends with 3008.
    #[default]
    Disconnect,
    /// The oldest waiting publications of such channels make room, for whatever needs it. A publication for which that
    /// does not make enough, since the rest of the queue may not be dropped, is not delivered.
    DropOldest,
    /// A publication takes the place of the one of its channel that still waits. The newest one is never dropped: if
    /// there is no room even so, the connection ends with 3008.
    KeepLatest,
}

/// Rules of a channel that do not depend on who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "they are the options, independent of each other")]
pub struct ChannelOptions {
    /// What kind of subscription the channel has.
    pub kind: SubscriptionKind,
    /// The rules of a channel with keys. A [keyed](SubscriptionKind::is_map) channel without them is not available: who
    /// asks for it gets 108.
    pub map: Option<MapRules>,
    /// The rules of a polled channel. One without them is not available: who asks for it gets 108.
    pub poll: Option<PollRules>,
    /// How the channel's stream is kept; `None` keeps none.
    pub history: Option<HistoryPolicy>,
    /// How long the position of a stream that is only read outlives its last use (HID-92), kept or not. Default 30
    /// days.
    pub history_meta_ttl: Duration,
    /// Whether subscriptions have a position (OPT-06).
    pub force_positioning: bool,
    /// Whether subscriptions recover (OPT-07).
    pub force_recovery: bool,
    /// How subscriptions recover (OPT-08).
    pub recovery_mode: RecoveryMode,
    /// Whether the latest publication comes without being asked for (OPT-09). For [`RecoveryMode::Cache`].
    pub auto_cache_recover: bool,
    /// Whether it is kept who is in the channel, and may be asked (OPT-01).
    pub presence: bool,
    /// Whether beginnings and ends of subscriptions are told to those who listen (OPT-02).
    pub join_leave: bool,
    /// Whether every subscriber listens (OPT-03).
    pub force_push_join_leave: bool,
    /// Whether publications may be sent as deltas without being asked one by one.
    pub delta_publish: bool,
    /// Whether subscribers may negotiate deltas (OPT-10).
    pub allow_delta: bool,
    /// Whether subscribers may have filters on tags (OPT-12).
    pub allow_tags_filter: bool,
    /// Whether subscribers may ask for a number in place of the channel's name (COMP-01).
    pub allow_channel_compaction: bool,
    /// Whether the node keeps the latest publication, for deltas where no stream does (DELTA-07).
    pub keep_latest_publication: bool,
    /// By how much clients are asked to debounce their publishing (DEB-01); zero for not at all.
    pub publish_debounce: Duration,
    /// Which payloads the channel takes.
    pub data_format: DataFormat,
    /// How publications are collected; `None` delivers each at once.
    pub batching: Option<Batching>,
    /// What becomes of publications for which a connection has no room.
    pub overflow: OverflowPolicy,
}

impl ChannelOptions {
    /// How long positions are kept unless a channel's rules say otherwise: 720 hours (`channel.history_meta_ttl`).
    pub const HISTORY_META_TTL: Duration = Duration::from_secs(720 * 3600);

    /// How a subscription behaves that nobody wants otherwise.
    #[must_use]
    pub fn subscription(&self) -> SubscriptionOptions {
        SubscriptionOptions {
            positioned: self.force_positioning,
            recoverable: self.force_recovery,
            recovery_mode: self.recovery_mode,
            auto_cache_recover: self.auto_cache_recover,
            presence: self.presence,
            join_leave: self.join_leave,
            push_join_leave: self.force_push_join_leave,
            allow_delta: self.allow_delta,
            allow_tags_filter: self.allow_tags_filter,
            allow_channel_compaction: self.allow_channel_compaction,
            keep_latest_publication: self.keep_latest_publication,
            publish_debounce: self.publish_debounce,
            remove_client_on_unsubscribe: self.map.is_some_and(|map| map.remove_client_on_unsubscribe),
            ..SubscriptionOptions::default()
        }
    }
}

impl Default for ChannelOptions {
    fn default() -> Self {
        Self {
            kind: SubscriptionKind::Stream,
            map: None,
            poll: None,
            history: None,
            history_meta_ttl: Self::HISTORY_META_TTL,
            force_positioning: false,
            force_recovery: false,
            recovery_mode: RecoveryMode::Stream,
            auto_cache_recover: false,
            presence: false,
            join_leave: false,
            force_push_join_leave: false,
            delta_publish: false,
            allow_delta: false,
            allow_tags_filter: false,
            allow_channel_compaction: false,
            keep_latest_publication: false,
            publish_debounce: Duration::ZERO,
            data_format: DataFormat::default(),
            batching: None,
            overflow: OverflowPolicy::Disconnect,
        }
    }
}
