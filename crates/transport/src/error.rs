//! What can go wrong with one connection.

use std::io;

use tourbillon_types::Disconnect;

/// Why a connection can carry no more frames.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The peer broke the transport's own protocol. The transport has told the peer in its own way already or
    /// will do so on close.
    #[error("peer broke the transport protocol: {0}")]
    Protocol(&'static str),
    /// A message of the peer exceeds the limit.
    #[error("message exceeds the limit of {limit} bytes")]
    MessageTooLarge {
        /// The limit that it exceeds, in bytes.
        limit: usize,
    },
    /// The operating system reports the connection broken.
    #[error("connection broken")]
    Io(#[from] io::Error),
    /// A message cannot be carried by this connection, such as binary data on a text transport.
    #[error("message cannot be carried")]
    Inappropriate,
}

impl TransportError {
    /// The disconnect code that this error ends a connection with, as metrics count it.
    #[must_use]
    pub const fn disconnect(&self) -> Disconnect {
        match self {
            Self::Protocol(_) | Self::MessageTooLarge { .. } => Disconnect::BAD_REQUEST,
            Self::Io(_) => Disconnect::CONNECTION_CLOSED,
            Self::Inappropriate => Disconnect::INAPPROPRIATE_PROTOCOL,
        }
    }
}
