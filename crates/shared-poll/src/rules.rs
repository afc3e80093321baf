//! How a channel is polled.

use std::time::Duration;

/// How a polled channel behaves (OPT-24). What is in force when somebody subscribes to a channel that nobody has counts
/// for as long as the channel is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollRules {
    /// Where versions come from.
    pub mode: PollMode,
    /// Time from the beginning of one cycle to that of the next (SP-07).
    pub refresh_interval: Duration,
    /// The most keys in one question; at least 1.
    pub refresh_batch_size: usize,
    /// The most keys that one connection tracks in one channel (SP-06).
    pub max_keys_per_connection: usize,
    /// How long the channel is kept once nobody has it (SP-15).
    pub shutdown_delay: Duration,
    /// How long a key goes on being tracked after its signature expired (SP-14).
    pub track_expired_extra_delay: Duration,
    /// Whether values may be published, too (SP-16).
    pub publish_enabled: bool,
    /// Whether values are kept: for those who come later, and for deltas (PRO-84).
    pub keep_latest_data: bool,
    /// Up to where the interval grows when the application needs longer than that for its answers (PRO-86); `None` if it
    /// does not.
    pub backpressure_max_interval: Option<Duration>,
}

impl Default for PollRules {
    fn default() -> Self {
        Self {
            mode: PollMode::Versionless,
            refresh_interval: Duration::from_secs(10),
            refresh_batch_size: 1000,
            max_keys_per_connection: 5000,
            shutdown_delay: Duration::from_secs(1),
            track_expired_extra_delay: Duration::from_secs(25),
            publish_enabled: false,
            keep_latest_data: false,
            backpressure_max_interval: None,
        }
    }
}

/// Where the versions of values come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PollMode {
    /// From the node, which gives a value that is not the one before the next number (SP-09).
    #[default]
    Versionless,
    /// From the application (SP-10).
    Versioned,
}
