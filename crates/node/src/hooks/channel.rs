//! Rules of a channel that do not depend on who asks.

use tourbillon_broker::HistoryPolicy;
use tourbillon_protocol::is_json;
use tourbillon_types::Payload;

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

impl DataFormat {
    /// Whether a channel of this format takes a payload.
    #[must_use]
    pub fn accepts(self, data: &Payload) -> bool {
        match self {
            Self::NonEmpty => !data.is_empty(),
            Self::Json => is_json(data),
            Self::JsonObject => starts_object(data) && is_json(data),
            Self::Binary => true,
        }
    }
}

fn starts_object(data: &Payload) -> bool {
    data.bytes().iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
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
