//! How a connection speaks: its encoding and its direction.

use std::fmt;

/// The encoding of the client protocol on one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Encoding {
    /// One JSON object a message.
    #[default]
    Json,
    /// Protocol Buffers, each message prefixed by its length as a varint.
    Protobuf,
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "json",
            Self::Protobuf => "protobuf",
        })
    }
}

/// Whether the client sends commands after its connect request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// The client sends commands; pushes are wrapped in replies.
    #[default]
    Bidirectional,
    /// The client only listens; pushes are sent bare.
    Unidirectional,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_both_directions_are_what_a_client_gets_unasked() {
        assert_eq!(Encoding::default(), Encoding::Json);
        assert_eq!(Direction::default(), Direction::Bidirectional);
        assert_eq!(
            (Encoding::Json.to_string(), Encoding::Protobuf.to_string()),
            ("json".into(), "protobuf".into())
        );
    }
}
