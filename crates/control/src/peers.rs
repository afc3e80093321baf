//! The other nodes, as far as they are heard of (CTL-03).

use std::collections::HashMap;
use std::time::Duration;

use tourbillon_types::{Instant, NodeId};

use crate::NodeInfo;

/// After how long a node that says nothing is taken for gone.
pub const SILENCE: Duration = Duration::from_secs(7);

/// The most nodes that are known. More than this are no cluster but somebody who makes up names.
const MOST: usize = 4096;

/// What is known of the other nodes of a cluster.
#[derive(Debug, Default)]
pub struct Peers(HashMap<NodeId, Peer>);

#[derive(Debug)]
struct Peer {
    info: NodeInfo,
    heard: Instant,
}

/// What hearing of a node was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The first that is heard of it.
    First,
    /// It was known.
    Again,
    /// Nothing: as many nodes are known as may be.
    Surplus,
}

impl Peers {
    /// Whether a node is known.
    #[must_use]
    pub fn has(&self, node: NodeId) -> bool {
        self.0.contains_key(&node)
    }

    /// How many are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no other node is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their names.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeId> {
        self.0.keys().copied().collect()
    }

    /// All, as they last described themselves.
    #[must_use]
    pub fn infos(&self) -> Vec<NodeInfo> {
        self.0.values().map(|peer| peer.info.clone()).collect()
    }

    /// Notes that a node is alive. What it counted stays as it was where it says nothing of it.
    pub fn hear(&mut self, now: Instant, node: NodeId, mut info: NodeInfo) -> Heard {
        if let Some(known) = self.0.get_mut(&node) {
            info.metrics = info.metrics.or_else(|| known.info.metrics.take());
            *known = Peer { info, heard: now };
            return Heard::Again;
        }
        if self.0.len() >= MOST {
            return Heard::Surplus;
        }
        self.0.insert(node, Peer { info, heard: now });
        Heard::First
    }

    /// Forgets a node, which has left.
    pub fn leave(&mut self, node: NodeId) {
        self.0.remove(&node);
    }

    /// Forgets those that have been [silent](SILENCE) for too long.
    pub fn expire(&mut self, now: Instant) -> Vec<NodeId> {
        self.0.extract_if(|_, peer| now - peer.heard >= SILENCE).map(|(node, _)| node).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tourbillon_metrics::NodeMetrics;

    use super::*;
    use crate::Stats;

    fn info(node: NodeId, metrics: Option<Arc<NodeMetrics>>) -> NodeInfo {
        let (name, version) = (String::new(), String::new());
        NodeInfo { id: node, name, version, stats: Stats::default(), uptime: Duration::ZERO, metrics }
    }

    fn node(number: u128) -> NodeId {
        NodeId::from_random(number.to_be_bytes())
    }

    #[test]
    fn a_node_is_known_until_it_leaves_or_falls_silent() {
        let mut peers = Peers::default();
        let at = |seconds: u64| Instant::from_nanos(seconds * 1_000_000_000);
        assert_eq!(peers.hear(at(0), node(1), info(node(1), None)), Heard::First);
        assert_eq!(peers.hear(at(0), node(2), info(node(2), None)), Heard::First);
        assert_eq!(peers.hear(at(3), node(2), info(node(2), None)), Heard::Again);
        assert_eq!((peers.expire(at(6)), peers.len()), (Vec::new(), 2));
        assert_eq!((peers.expire(at(7)), peers.has(node(1))), (vec![node(1)], false));
        peers.leave(node(2));
        assert!(peers.is_empty());
    }

    #[test]
    fn what_a_node_counted_stays_until_it_says_more() {
        let mut peers = Peers::default();
        let counted = Arc::new(NodeMetrics::default());
        peers.hear(Instant::from_nanos(0), node(1), info(node(1), Some(counted.clone())));
        peers.hear(Instant::from_nanos(1), node(1), info(node(1), None));
        let [known] = peers.infos().try_into().expect("one node");
        assert!(known.metrics.is_some_and(|metrics| Arc::ptr_eq(&metrics, &counted)));
    }

    #[test]
    fn names_that_are_made_up_find_an_end() {
        let mut peers = Peers::default();
        let now = Instant::from_nanos(0);
        for number in 0..MOST as u128 {
            assert_eq!(peers.hear(now, node(number), info(node(number), None)), Heard::First);
        }
        assert_eq!(peers.hear(now, node(u128::MAX), info(node(u128::MAX), None)), Heard::Surplus);
        assert_eq!(peers.hear(now, node(0), info(node(0), None)), Heard::Again);
        assert_eq!(peers.len(), MOST);
    }
}
