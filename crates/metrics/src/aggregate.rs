//! What was counted over a while, as `info` tells it (API-30, OBS-13).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tourbillon_types::Instant;

use crate::{Sample, SampleKind};

/// What a node counted over its last interval.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct NodeMetrics {
    /// How long it was counted.
    pub interval: Duration,
    /// By name, such as `centrifugo.node.messages_sent_count.type.publication`: by how much a counter grew, or what a
    /// gauge shows. A name is that of the metric, in its parts, with each label and its value behind, by the labels'
    /// names.
    pub items: BTreeMap<String, f64>,
}

impl NodeMetrics {
    /// What was counted over a while.
    #[must_use]
    pub const fn new(interval: Duration, items: BTreeMap<String, f64>) -> Self {
        Self { interval, items }
    }
}

/// What was counted last.
#[derive(Debug, Default)]
pub struct Latest(Mutex<Arc<NodeMetrics>>);

impl Latest {
    /// What was counted last.
    #[must_use]
    pub fn get(&self) -> Arc<NodeMetrics> {
        self.0.lock().clone()
    }
}

/// Makes what was counted since the start into what was counted in each interval.
#[derive(Debug)]
pub struct Aggregator {
    interval: Duration,
    due: Instant,
    totals: HashMap<String, f64>,
}

impl Aggregator {
    /// Begins with these samples, which are told until the first interval is over.
    #[must_use]
    pub fn new(interval: Duration, now: Instant, samples: Vec<Sample>, latest: &Latest) -> Self {
        let mut aggregator = Self { interval, due: now, totals: HashMap::new() };
        aggregator.advance(now, || samples, latest);
        aggregator
    }

    /// Ends an interval, if it is time.
    pub fn advance(&mut self, now: Instant, samples: impl FnOnce() -> Vec<Sample>, latest: &Latest) {
        if now < self.due {
            return;
        }
        self.due = now + self.interval;
        let items = samples().into_iter().map(|sample| self.item(&sample)).collect();
        *latest.0.lock() = Arc::new(NodeMetrics::new(self.interval, items));
    }

    fn item(&mut self, sample: &Sample) -> (String, f64) {
        let name = sample.item();
        let value = match sample.family.kind {
            SampleKind::Gauge => sample.value,
            SampleKind::Counter => {
                let before = self.totals.insert(name.clone(), sample.value);
                sample.value - before.unwrap_or_default()
            }
        };
        (name, value)
    }
}
