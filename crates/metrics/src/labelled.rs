//! Connections by the labels that the application gave them (PRO-44).

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tourbillon_types::Tags;

use crate::samples::Samples;
use crate::{Kind, OTHER};

/// The most combinations of labels and kinds that are told apart: labels are the application's own. Those beyond count
/// under a value that says so.
const COMBINATIONS: usize = 1024;

/// What of a connection's labels is told, and how many connections have which.
pub(crate) struct Labelled {
    /// The keys, and the names under which they are told; both in order.
    names: Vec<(String, &'static str)>,
    counts: Mutex<BTreeMap<Key, (u64, u64)>>,
}

/// A kind as a byte, and the values of the labels that are told.
type Key = (u8, Vec<String>);

impl Labelled {
    /// `None` without keys: nothing is told apart.
    pub(crate) fn new(keys: &[String]) -> Option<Self> {
        let mut keys = keys.to_vec();
        keys.sort_unstable();
        keys.dedup();
        // Names of labels live as long as the process, as those of all metrics.
        let name = |key: String| {
            let name: &'static str = Box::leak(format!("app_{key}").into_boxed_str());
            (key, name)
        };
        let names: Vec<_> = keys.into_iter().map(name).collect();
        (!names.is_empty()).then(|| Self { names, counts: Mutex::default() })
    }

    fn key(&self, kind: Kind, labels: Option<&Tags>) -> Key {
        let value = |key: &str| labels.and_then(|labels| labels.get(key)).cloned().unwrap_or_default();
        (kind.to_byte(), self.names.iter().map(|(key, _)| value(key)).collect())
    }

    /// Changes the numbers of connections that begun and ended. What begins under the last name ends there.
    fn count(&self, kind: Kind, labels: Option<&Tags>, change: impl FnOnce(&mut (u64, u64))) {
        let mut key = self.key(kind, labels);
        let mut counts = self.counts.lock();
        if counts.len() >= COMBINATIONS && !counts.contains_key(&key) {
            key.1.fill(OTHER.to_owned());
        }
        change(counts.entry(key).or_default());
    }

    pub(crate) fn begun(&self, kind: Kind, labels: Option<&Tags>) {
        self.count(kind, labels, |(begun, _)| *begun += 1);
    }

    pub(crate) fn ended(&self, kind: Kind, labels: Option<&Tags>) {
        self.count(kind, labels, |(_, ended)| *ended += 1);
    }

    /// Tells how many began and how many are there, of each kind.
    pub(crate) fn samples(&self, transport: impl Fn(u8) -> &'static str, samples: &mut Samples) {
        let counts: Vec<_> = self.counts.lock().iter().map(|(key, counts)| (key.clone(), *counts)).collect();
        for ((kind, values), (begun, ended)) in counts {
            let kind = Kind::from_byte(kind);
            let names = self.names.iter().map(|(_, name)| *name);
            let own = names.zip(values.into_iter().map(Into::into)).collect();
            samples.connections(own, kind, transport(kind.transport), (begun, begun.saturating_sub(ended)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combinations_are_bounded_and_every_connection_ends_where_it_began() {
        let labelled = Labelled::new(&["tier".to_owned(), "tier".to_owned()]).expect("a key");
        let tier = |number: u32| Tags::from([("tier".to_owned(), number.to_string())]);
        let kind = Kind::new(0, crate::Named::default());
        (0..2_000).for_each(|number| labelled.begun(kind, Some(&tier(number))));
        labelled.begun(kind, None);
        (0..2_000).for_each(|number| labelled.ended(kind, Some(&tier(number))));
        let counts = labelled.counts.lock();
        assert_eq!(counts.len(), COMBINATIONS + 1);
        let other = counts.get(&(kind.to_byte(), vec![OTHER.to_owned()]));
        assert_eq!(other, Some(&(977, 976)), "the one without labels is still there");
        assert_eq!(counts.values().map(|(begun, _)| begun).sum::<u64>(), 2_001);
        assert!(Labelled::new(&[]).is_none());
    }
}
