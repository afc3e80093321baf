//! Rules of a channel that do not depend on who asks.

use tourbillon_broker::HistoryPolicy;

/// Which payloads a channel takes (OPT-19).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DataFormat {
    /// Anything but nothing.
    #[default]
    NonEmpty,
    /// One JSON value.
    Json,
    /// One JSON object.
    JsonObject,
    /// Anything, nothing included.
    Binary,
}

/// Rules of a channel that do not depend on who asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelOptions {
    /// How the channel's stream is kept; `None` keeps none.
    pub history: Option<HistoryPolicy>,
    /// Whether publications may be sent as deltas without being asked one by one.
    pub delta_publish: bool,
    /// Which payloads the channel takes.
    pub data_format: DataFormat,
}
