//! Metrics of which each value counts: durations and sizes, as histograms and summaries.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::RwLock;
use tourbillon_types::Instant;

use crate::{Form, Histogram, NAMESPACE};

/// Labels with their values, by the labels' names.
pub type Labels = Vec<(&'static str, Cow<'static, str>)>;

/// What values are measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unit {
    /// Told in seconds, kept in nanoseconds.
    Seconds,
    /// How many.
    Number,
}

/// One such metric: what its distributions have in common.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DistributionFamily {
    /// The part of the server that it is about.
    pub subsystem: &'static str,
    /// Its name within the subsystem.
    pub name: &'static str,
    /// What it measures.
    pub help: &'static str,
    /// What values are measured in.
    pub unit: Unit,
    /// Of a classic histogram, in whole units: nanoseconds where the unit is the second. Exact where they have two
    /// digits.
    pub bounds: &'static [u64],
    /// Whether there is a summary under the metric's name; its histogram has a name of its own then.
    pub summarized: bool,
}

impl DistributionFamily {
    /// Durations, as a summary and as a histogram. `bounds` in nanoseconds.
    #[must_use]
    pub const fn summarized(
        subsystem: &'static str,
        name: &'static str,
        help: &'static str,
        bounds: &'static [u64],
    ) -> Self {
        Self { subsystem, name, help, unit: Unit::Seconds, bounds, summarized: true }
    }

    /// Durations, as a histogram. `bounds` in nanoseconds.
    #[must_use]
    pub const fn durations(
        subsystem: &'static str,
        name: &'static str,
        help: &'static str,
        bounds: &'static [u64],
    ) -> Self {
        Self { subsystem, name, help, unit: Unit::Seconds, bounds, summarized: false }
    }

    /// Numbers of something, as a histogram.
    #[must_use]
    pub const fn numbers(
        subsystem: &'static str,
        name: &'static str,
        help: &'static str,
        bounds: &'static [u64],
    ) -> Self {
        Self { subsystem, name, help, unit: Unit::Number, bounds, summarized: false }
    }

    /// The full name, as Prometheus has it.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{NAMESPACE}_{}_{}", self.subsystem, self.name)
    }

    /// That of its histogram.
    #[must_use]
    pub fn histogram_name(&self) -> String {
        let name = self.full_name();
        if self.summarized { name + "_histogram" } else { name }
    }
}

/// How the values of a metric are spread, for one combination of labels.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Distribution {
    /// The metric's full name.
    pub name: String,
    /// What it measures.
    pub help: &'static str,
    /// Labels with their values, by the labels' names.
    pub labels: Labels,
    /// How many values there were since the start.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// How they are spread.
    pub shape: Shape,
}

impl Distribution {
    /// What somebody else measured: how many values there were, their sum, and how they are spread. Labels must come by
    /// their names.
    #[must_use]
    pub fn new(family: &DistributionFamily, labels: Labels, (count, sum): (u64, f64), shape: Shape) -> Self {
        let name = match shape {
            Shape::Summary(_) => family.full_name(),
            Shape::Classic(_) | Shape::Native { .. } => family.histogram_name(),
        };
        Self { name, help: family.help, labels, count, sum, shape }
    }
}

/// How values are spread.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Shape {
    /// Quantiles and their values; not a number where there was none lately.
    Summary(Vec<(f64, f64)>),
    /// Bounds, and how many values are not above each.
    Classic(Vec<(f64, u64)>),
    /// A native histogram.
    Native {
        /// A bucket's bound is 2 to the power of `index / 2^schema`.
        schema: i32,
        /// How many values were zero.
        zero: u64,
        /// Indices and counts of those that are not empty, by their index.
        buckets: Vec<(i32, u64)>,
    },
}

/// What is measured beside what is counted. It takes looks at the clock, one for a command and three for a publication.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Measures {
    /// How it is kept.
    pub form: Form,
    /// Whether it is measured how much subscribers recover (MET-25).
    pub recovered_publications: bool,
}

impl Measures {
    /// Durations, kept in this form.
    #[must_use]
    pub const fn new(form: Form) -> Self {
        Self { form, recovered_publications: false }
    }
}

/// Histograms of one metric by a label with few values, each of which takes memory once it is used.
#[derive(Debug)]
pub(crate) struct Slots<const N: usize>([OnceLock<Histogram>; N]);

impl<const N: usize> Slots<N> {
    pub(crate) const fn new() -> Self {
        Self([const { OnceLock::new() }; N])
    }

    pub(crate) fn get(
        &self,
        at: usize,
        family: &'static DistributionFamily,
        form: Form,
    ) -> Option<&Histogram> {
        Some(self.0.get(at)?.get_or_init(|| Histogram::new(family, form)))
    }

    pub(crate) fn read(&self, now: Instant, labels: impl Fn(usize) -> Labels, into: &mut Vec<Distribution>) {
        for (at, slot) in self.0.iter().enumerate() {
            if let Some(histogram) = slot.get() {
                histogram.read(now, &labels(at), into);
            }
        }
    }
}

/// The most combinations of labels of one metric that are told apart. Those beyond are not counted.
const COMBINATIONS: usize = 1024;

/// Histograms of one metric by labels `K`.
pub struct Timings<K> {
    family: &'static DistributionFamily,
    form: Form,
    histograms: RwLock<BTreeMap<K, Arc<Histogram>>>,
}

impl<K: Ord + Clone> Timings<K> {
    /// Without values.
    #[must_use]
    pub const fn new(family: &'static DistributionFamily, form: Form) -> Self {
        Self { family, form, histograms: RwLock::new(BTreeMap::new()) }
    }

    /// The histogram for some labels. `None`: there are too many.
    pub fn of(&self, key: &K) -> Option<Arc<Histogram>> {
        if let Some(histogram) = self.histograms.read().get(key) {
            return Some(Arc::clone(histogram));
        }
        let mut histograms = self.histograms.write();
        if histograms.len() >= COMBINATIONS && !histograms.contains_key(key) {
            return None;
        }
        let new = || Arc::new(Histogram::new(self.family, self.form));
        Some(Arc::clone(histograms.entry(key.clone()).or_insert_with(new)))
    }

    /// Counts a duration.
    pub fn observe(&self, key: &K, duration: Duration) {
        if let Some(histogram) = self.of(key) {
            histogram.observe(duration);
        }
    }

    /// All of them. Nothing is held while they are read.
    pub fn read(&self, now: Instant, labels: impl Fn(&K) -> Labels, into: &mut Vec<Distribution>) {
        let all: Vec<_> =
            self.histograms.read().iter().map(|(key, all)| (key.clone(), Arc::clone(all))).collect();
        for (key, histogram) in all {
            histogram.read(now, &labels(&key), into);
        }
    }
}

impl<K> fmt::Debug for Timings<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timings").field("family", self.family).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static FAMILY: DistributionFamily = DistributionFamily::durations("test", "durations", "Some.", &[1_000]);

    #[test]
    fn combinations_of_labels_are_bounded() {
        let timings = Timings::new(&FAMILY, Form::Classic);
        (0..2_000_u32).for_each(|key| timings.observe(&key, Duration::ZERO));
        timings.observe(&3, Duration::from_secs(1));
        let mut all = Vec::new();
        timings.read(Instant::ZERO, |key| vec![("key", key.to_string().into())], &mut all);
        assert_eq!((all.len(), all[3].count, all[3].sum), (COMBINATIONS, 2, 1.0));
    }
}
