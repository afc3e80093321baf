//! What nodes of a cluster say to each other, in bytes (`proto/control.proto`, CTL-02), and what they say of themselves.
//! Who sends it, and what becomes of it, is the node's affair.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use tourbillon_metrics::NodeMetrics;
use tourbillon_types::{NodeId, SessionId};

mod channels;
mod notices;
mod orders;
mod peers;

pub use channels::{CHANNELS, ChannelPattern, PatternError, decode_channels, encode_channels};
pub use notices::{NOTICE, Notice};
pub use orders::{ORDER, Order, Target, Wanted};
pub use peers::{Heard, Peers, SILENCE};

#[rustfmt::skip]
#[allow(missing_docs, dead_code, clippy::all, clippy::use_self, unreachable_pub, reason = "generated")]
#[allow(unused_qualifications, clippy::pedantic, clippy::nursery, reason = "generated")]
mod control {
    include!("generated/control.rs");
}

/// The question whether a frame can be brought to a session.
pub const EMULATION: &str = "emulation";

/// The most items of what another node counted; no release has as many.
const ITEMS: usize = 4096;

/// A node, as `info` shows it (API-30).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct NodeInfo {
    /// The node's identifier.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it carries.
    pub stats: Stats,
    /// How long it has been running.
    pub uptime: Duration,
    /// What it counted. `None`: it has not told yet.
    pub metrics: Option<Arc<NodeMetrics>>,
}

/// What a node carries at this moment, counted from the structures that hold it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections, accepted or not.
    pub connections: usize,
    /// Accepted connections.
    pub clients: usize,
    /// Users with accepted connections; those without a name count as one.
    pub users: usize,
    /// Subscriptions of all connections.
    pub subscriptions: usize,
    /// Channels with subscribers.
    pub channels: usize,
}

/// One message.
#[derive(Debug)]
pub struct Message {
    /// The node that sends it.
    pub from: NodeId,
    /// What it says.
    pub what: What,
}

/// What is said.
#[derive(Debug)]
pub enum What {
    /// It is there, and this is what it carries.
    Alive(Box<NodeInfo>),
    /// It leaves.
    Leaving,
    /// A question, which is answered with the same id.
    Question {
        /// Names the question among those of its sender.
        id: u64,
        /// What is asked.
        op: String,
        /// What belongs to it.
        data: Bytes,
    },
    /// An answer, or a part of one.
    Answer {
        /// The question's.
        id: u64,
        /// How it went; 0 for well.
        code: u32,
        /// What belongs to it.
        data: Bytes,
        /// Whether another part follows.
        more: bool,
    },
}

/// Why a message is not understood.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The bytes are no message.
    #[error("it is no control message: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// There is no sender in it.
    #[error("it does not say from which node it is")]
    Sender,
    /// A later release may know more.
    #[error("it says nothing that this release knows")]
    Unknown,
}

impl NodeInfo {
    /// A node of which no more is known.
    #[must_use]
    pub fn new(id: NodeId, name: String, version: String) -> Self {
        Self { id, name, version, stats: Stats::default(), uptime: Duration::ZERO, metrics: None }
    }
}

impl Message {
    /// The message in bytes.
    #[must_use]
    pub fn encode(self) -> Bytes {
        use control::command::What as Wire;
        let what = match self.what {
            What::Alive(info) => Wire::Node(control::Node {
                uid: info.id.to_string(),
                name: info.name,
                version: info.version,
                num_clients: capped(info.stats.clients),
                num_users: capped(info.stats.users),
                num_channels: capped(info.stats.channels),
                uptime: u32::try_from(info.uptime.as_secs()).unwrap_or(u32::MAX),
                num_subs: capped(info.stats.subscriptions),
                metrics: info.metrics.map(|metrics| control::Metrics {
                    interval: metrics.interval.as_secs_f64(),
                    items: metrics.items.clone(),
                }),
            }),
            What::Leaving => Wire::Shutdown(control::Shutdown {}),
            What::Question { id, op, data } => Wire::SurveyRequest(control::SurveyRequest { id, op, data }),
            What::Answer { id, code, data, more } => {
                Wire::SurveyResponse(control::SurveyResponse { id, code, data, more })
            }
        };
        control::Command { uid: self.from.to_string(), what: Some(what) }.encode_to_vec().into()
    }

    /// Reads a message.
    ///
    /// # Errors
    ///
    /// What is wrong with the bytes. A node passes over such a message, so that neighbouring releases mix.
    pub fn decode(bytes: Bytes) -> Result<Self, WireError> {
        use control::command::What as Wire;
        let command = control::Command::decode(bytes)?;
        let from: NodeId = command.uid.parse().map_err(|_| WireError::Sender)?;
        let what = match command.what.ok_or(WireError::Unknown)? {
            Wire::Node(node) => What::Alive(Box::new(NodeInfo {
                id: from,
                name: node.name,
                version: node.version,
                stats: Stats {
                    connections: sized(node.num_clients),
                    clients: sized(node.num_clients),
                    users: sized(node.num_users),
                    subscriptions: sized(node.num_subs),
                    channels: sized(node.num_channels),
                },
                uptime: Duration::from_secs(node.uptime.into()),
                metrics: node.metrics.map(counted),
            })),
            Wire::Shutdown(_) => What::Leaving,
            Wire::SurveyRequest(control::SurveyRequest { id, op, data }) => What::Question { id, op, data },
            Wire::SurveyResponse(control::SurveyResponse { id, code, data, more }) => {
                What::Answer { id, code, data, more }
            }
        };
        Ok(Self { from, what })
    }
}

/// A frame for a session of the node that is asked.
#[derive(Debug)]
pub struct Emulation {
    /// The session.
    pub session: SessionId,
    /// What came for it.
    pub frame: Bytes,
}

impl Emulation {
    /// The data of the question.
    #[must_use]
    pub fn encode(self) -> Bytes {
        let session = self.session.text().as_str().to_owned();
        control::Emulation { session, frame: self.frame }.encode_to_vec().into()
    }

    /// Reads such data; `None` if it is none.
    #[must_use]
    pub fn decode(bytes: Bytes) -> Option<Self> {
        let control::Emulation { session, frame } = control::Emulation::decode(bytes).ok()?;
        Some(Self { session: session.parse().ok()?, frame })
    }
}

fn counted(metrics: control::Metrics) -> Arc<NodeMetrics> {
    let interval = Duration::try_from_secs_f64(metrics.interval).unwrap_or_default();
    Arc::new(NodeMetrics::new(interval, metrics.items.into_iter().take(ITEMS).collect()))
}

fn capped(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn sized(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn round_trip(what: What) -> What {
        let from = NodeId::from_random([7; 16]);
        let message = Message::decode(Message { from, what }.encode()).expect("understood");
        assert_eq!(message.from, from);
        message.what
    }

    #[test]
    fn what_is_said_is_heard() {
        let info = NodeInfo {
            id: NodeId::from_random([7; 16]),
            name: "here".to_owned(),
            version: "1".to_owned(),
            stats: Stats { connections: 1, clients: 1, users: 2, subscriptions: 3, channels: 4 },
            uptime: Duration::from_secs(5),
            metrics: None,
        };
        let items = BTreeMap::from([("a.b".to_owned(), 1.5), ("c".to_owned(), 0.0)]);
        let metrics = Some(Arc::new(NodeMetrics::new(Duration::from_millis(1500), items)));
        for metrics in [None, metrics] {
            let info = Box::new(NodeInfo { metrics, ..info.clone() });
            assert!(matches!(round_trip(What::Alive(info.clone())), What::Alive(heard) if heard == info));
        }
        assert!(matches!(round_trip(What::Leaving), What::Leaving));
        let answer = What::Answer { id: 9, code: 2, data: Bytes::from_static(b"\0"), more: true };
        assert!(matches!(
            round_trip(answer),
            What::Answer { id: 9, code: 2, data, more: true } if data == b"\0"[..]
        ));
        let question = What::Question { id: 8, op: "x".to_owned(), data: Bytes::from_static(b"\0\xff") };
        assert!(matches!(
            round_trip(question),
            What::Question { id: 8, op, data } if op == "x" && data == b"\0\xff"[..]
        ));
    }

    #[test]
    fn what_a_later_release_says_is_no_damage() {
        let later = b"\x0a\x2400000000-0000-4000-8000-000000000000\xa2\x06\x01x";
        assert!(matches!(Message::decode(Bytes::from_static(later)), Err(WireError::Unknown)));
        assert!(matches!(Message::decode(Bytes::new()), Err(WireError::Sender)));
    }

    proptest! {
        #[test]
        fn frames_arrive_as_they_are(session: [u8; 16], frame: Vec<u8>) {
            let session = SessionId::from_random(session);
            let encoded = Emulation { session, frame: Bytes::from(frame.clone()) }.encode();
            let decoded = Emulation::decode(encoded).expect("understood");
            prop_assert_eq!(decoded.session, session);
            prop_assert_eq!(decoded.frame, frame);
        }

        #[test]
        fn no_bytes_do_harm(bytes: Vec<u8>) {
            let _ = Message::decode(Bytes::from(bytes.clone()));
            let _ = Emulation::decode(Bytes::from(bytes));
        }
    }
}
