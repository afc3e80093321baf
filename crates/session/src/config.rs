//! What a session is told when it begins.

use std::time::Duration;

use tourbillon_types::{ClientId, Direction, Disconnect, ErrorCode, NodeId, SessionId, Text};

/// Limits and times that all sessions of a node share.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionConfig {
    /// The version told in the connect result.
    pub version: Text,
    /// The node that holds the session, told to clients that reach it by emulation.
    pub node: NodeId,
    /// Time between pings; `None` or zero sends none.
    pub ping_interval: Option<Duration>,
    /// Time within which a pong must come; zero waits for none.
    pub pong_timeout: Duration,
    /// Time within which the client must have connected.
    pub stale_close_delay: Duration,
    /// How long an expired connection may still refresh.
    pub expired_close_delay: Duration,
    /// How long an expired subscription may still refresh.
    pub expired_sub_close_delay: Duration,
    /// The most channels, counting those being subscribed.
    pub channel_limit: usize,
    /// The longest channel name in commands, in bytes.
    pub channel_max_length: usize,
    /// How many commands may be worked on at once; at least 1.
    pub concurrency: usize,
    /// Whether the connect result tells the time.
    pub include_server_time: bool,
    /// How long an unsubscribe waits for a subscribe of the same channel that is under way (CMD-05).
    pub unsubscribe_wait: Duration,
    /// What unidirectional clients are told instead of an error that refuses their connect; the first entry of a code
    /// counts. Codes without an entry have the protocol's own (UNI-08).
    pub unidirectional_disconnects: Vec<(ErrorCode, Disconnect)>,
}

impl SessionConfig {
    /// Centrifugo's defaults for a node.
    #[must_use]
    pub fn new(node: NodeId) -> Self {
        Self {
            version: Text::new(),
            node,
            ping_interval: Some(Duration::from_secs(25)),
            pong_timeout: Duration::from_secs(8),
            stale_close_delay: Duration::from_secs(10),
            expired_close_delay: Duration::from_secs(25),
            expired_sub_close_delay: Duration::from_secs(25),
            channel_limit: 128,
            channel_max_length: 255,
            concurrency: 1,
            include_server_time: false,
            unsubscribe_wait: Duration::from_secs(5),
            unidirectional_disconnects: Vec::new(),
        }
    }
}

/// What is particular to one session.
#[derive(Clone, Copy, Debug)]
pub struct SessionInit {
    /// The public identifier.
    pub client: ClientId,
    /// The secret identifier.
    pub session: SessionId,
    /// Whether the client sends commands.
    pub direction: Direction,
    /// Whether the transport itself pings. The protocol's pings are off then (PING-04), but for unidirectional clients,
    /// who get both and answer the transport's only (UNI-03).
    pub native_ping: bool,
    /// Whether client frames come by emulation, so that session and node are told to the client.
    pub emulation: bool,
    /// Whether a refused connect of a unidirectional client is answered by an error, as a bidirectional one is
    /// (UNI-09). Its transport ends it then.
    pub connect_errors: bool,
}
