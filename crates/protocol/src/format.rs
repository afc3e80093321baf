//! What payloads are.

use tourbillon_types::Payload;

use crate::is_json;

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
