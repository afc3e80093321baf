//! How a node behaves.

use std::time::Duration;

use http::HeaderName;
use tourbillon_metrics::Measures;
use tourbillon_types::{Disconnect, ErrorCode};

use crate::BuildError;

/// How a node behaves. Defaults are Centrifugo's (options.md, `client.*`), except where noted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NodeConfig {
    /// The node's name in `info`. Empty: the node's identifier.
    pub name: String,
    /// The version told to clients and in `info`.
    pub version: String,
    /// Time between pings; `None` sends none (PING-01). Default 25 s.
    pub ping_interval: Option<Duration>,
    /// Time within which a pong must come; shorter than `ping_interval` (PING-02). Default 8 s.
    pub pong_timeout: Duration,
    /// Time within which a connection must connect successfully (LIFE-01). Default 10 s.
    pub stale_close_delay: Duration,
    /// How long an expired connection may still refresh (LIFE-02). Default 25 s.
    pub expired_close_delay: Duration,
    /// How long an expired subscription may still refresh (LIFE-04). Default 25 s.
    pub expired_sub_close_delay: Duration,
    /// The most channels of one connection (LIM-03). Default 128.
    pub channel_limit: usize,
    /// The longest channel name in commands of clients, in bytes (CH-01). Not of channels that a client names as it
    /// connects: which of them it has is the application's to say. Default 255.
    pub channel_max_length: usize,
    /// The most bytes waiting for one connection before it is closed as slow (LIFE-07). Default 1 MiB.
    pub queue_max_size: usize,
    /// How long messages are collected before they are written, to write more with one system call (PRO-63); `None`
    /// writes at once. A queue that grows long is written before. Default `None`.
    pub write_delay: Option<Duration>,
    /// Whether replies do not wait for the end of `write_delay` (PRO-63). What was queued before them is written with
    /// them: they do not overtake it. Default no.
    pub reply_without_queue: bool,
    /// How many commands of one connection may be worked on at once (LIFE-06). Default 1.
    pub concurrency: usize,
    /// The most connections of one named user on this node; `None` for any number (LIM-04). Default `None`.
    pub user_connection_limit: Option<usize>,
    /// The longest command, in bytes. Default 65,536.
    pub message_size_limit: usize,
    /// Whether the connect result tells the server's time (CMD-02). Default no.
    pub connect_include_server_time: bool,
    /// How long it is counted what `info` tells of each node (OBS-13). Default 60 s.
    pub info_metrics_aggregate_interval: Duration,
    /// What is measured beside what is counted (12.2), for [`Node::distributions`](crate::Node::distributions). `None`
    /// measures nothing, and saves a look at the clock for every command and three for every publication. Default
    /// `None`.
    pub measures: Option<Measures>,
    /// Connections are told apart in metrics by these of their labels, too, as `app_<label>` (PRO-44). Their values have to
    /// be few. Default none.
    pub metrics_client_labels: Vec<String>,
    /// How often entries of presence are renewed (`client.presence_update_interval`). Default 27 s.
    pub presence_update_interval: Duration,
    /// The most publications that a client may read at once (CMD-10). Default 300.
    pub history_max_publication_limit: usize,
    /// The most publications that are recovered; who missed more is told that it did (HID-29). Default 300.
    pub recovery_max_publication_limit: usize,
    /// How long after a position was known to be good it is compared with the broker's (REC-09). Default 40 s.
    pub channel_position_check_delay: Duration,
    /// A publication that took longer than this from its publisher has lost its subscribers' positions (REC-10);
    /// `None` lets it take any time. Default `None`.
    pub channel_position_max_time_lag: Option<Duration>,
    /// Time within which a [hook](crate::Hooks) or the broker must answer. Default 10 s. Not an option of
    /// Centrifugo, whose proxies have timeouts of their own.
    pub call_timeout: Duration,
    /// How many questions about polled channels the application is asked at once; at least 1 (SP-07). Default 64.
    pub shared_poll_concurrency: usize,
    /// Time within which it must answer one of them. Default 30 s.
    pub shared_poll_call_timeout: Duration,
    /// Time within which a peer must take what is written to it (WS-06). Default 1 s.
    pub write_timeout: Duration,
    /// Time within which a peer must answer a close (WS-07). Default 5 s.
    pub close_timeout: Duration,
    /// Headers of a connection's HTTP request that stay available to hooks after `connect`. Each costs memory
    /// for as long as the connection lasts. Default none.
    pub keep_headers: Vec<HeaderName>,
    /// Headers that a client puts into its connect command that stay available likewise (LIFE-09). Default none.
    pub keep_emulated_headers: Vec<HeaderName>,
    /// What unidirectional clients are told instead of an error that refuses their connect; the first entry of a code
    /// counts. Default none: codes without an entry have the protocol's own (UNI-08).
    pub unidirectional_disconnects: Vec<(ErrorCode, Disconnect)>,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            version: concat!(env!("CARGO_PKG_VERSION"), " Tourbillon").to_owned(),
            ping_interval: Some(Duration::from_secs(25)),
            pong_timeout: Duration::from_secs(8),
            stale_close_delay: Duration::from_secs(10),
            expired_close_delay: Duration::from_secs(25),
            expired_sub_close_delay: Duration::from_secs(25),
            channel_limit: 128,
            channel_max_length: 255,
            queue_max_size: 1024 * 1024,
            write_delay: None,
            reply_without_queue: false,
            concurrency: 1,
            user_connection_limit: None,
            message_size_limit: 65_536,
            connect_include_server_time: false,
            info_metrics_aggregate_interval: Duration::from_secs(60),
            measures: None,
            metrics_client_labels: Vec::new(),
            presence_update_interval: Duration::from_secs(27),
            history_max_publication_limit: 300,
            recovery_max_publication_limit: 300,
            channel_position_check_delay: Duration::from_secs(40),
            channel_position_max_time_lag: None,
            call_timeout: Duration::from_secs(10),
            shared_poll_concurrency: 64,
            shared_poll_call_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(1),
            close_timeout: Duration::from_secs(5),
            keep_headers: Vec::new(),
            keep_emulated_headers: Vec::new(),
            unidirectional_disconnects: Vec::new(),
        }
    }
}

impl NodeConfig {
    /// The longest `write_delay`: beyond it, what waits looks to its clients like a server that has stopped.
    pub const MAX_WRITE_DELAY: Duration = Duration::from_secs(1);

    /// Up to this many bytes, a queue has no reason to be written before a delay is over.
    pub(crate) fn comfortable_queue(&self) -> usize {
        const COMFORTABLE: usize = 64 * 1024;
        if self.write_delay.is_some() { self.queue_max_size.min(COMFORTABLE) } else { self.queue_max_size }
    }

    /// Refuses values that contradict each other.
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        let problem = |option, problem| Err(BuildError::Config { option, problem });
        if self.ping_interval.is_some_and(|interval| interval <= self.pong_timeout) {
            return problem("ping_interval", "must be longer than pong_timeout (PING-05)");
        }
        if self.ping_interval.is_some_and(|interval| interval < Duration::from_secs(1)) {
            return problem("ping_interval", "must be at least a second, which is the protocol's unit");
        }
        if self.write_delay.is_some_and(|delay| delay.is_zero() || delay > Self::MAX_WRITE_DELAY) {
            return problem("write_delay", "must be more than nothing and at most a second");
        }
        if self.presence_update_interval < Duration::from_secs(1) {
            return problem("presence_update_interval", "must be at least a second");
        }
        if self.info_metrics_aggregate_interval < Duration::from_secs(1) {
            return problem("info_metrics_aggregate_interval", "must be at least a second");
        }
        if self.channel_position_check_delay < Duration::from_secs(1) {
            return problem("channel_position_check_delay", "must be at least a second");
        }
        if self.queue_max_size == 0 || self.message_size_limit == 0 || self.channel_max_length == 0 {
            return problem("queue_max_size, message_size_limit, channel_max_length", "must not be zero");
        }
        Ok(())
    }
}
