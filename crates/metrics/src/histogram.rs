//! How values are spread: counted into fine buckets, from which all forms are made in which that is told.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tourbillon_types::Instant;

use crate::distribution::{Distribution, DistributionFamily, Labels, Shape, Unit};

/// How the spread of values is kept, and told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// Histograms with the bounds of their metric, and summaries beside those that Centrifugo has as summaries too. Kept
    /// to two decimal digits: bounds are exact, quantiles to 5 %.
    #[default]
    Classic,
    /// Native histograms of Prometheus, whose buckets grow by a twelfth; no summaries (OBS-02).
    Native,
}

/// Decimal: up to here every number has a bucket of its own.
const EXACT: u64 = 100;

/// Decimal: buckets of a power of ten, of which the first two digits are told apart.
const DIGITS: u64 = 90;

/// Decimal: powers of ten from 100 on, which as nanoseconds is up to 100 s. What is above is counted together.
const DECADES: u32 = 9;

/// Native: eight buckets to a power of two, as a growth of at most 1.1 asks for.
const SCHEMA: i32 = 3;

/// Native: the first and the last bucket that are kept: from a nanosecond to half a million.
const LOWEST: i32 = -240;
const HIGHEST: i32 = 152;

/// Native: more buckets than these are told with half the resolution.
const NATIVE_LIMIT: usize = 200;

/// Upper bounds of the eight buckets between a half and 1, but for the last.
const EIGHTHS: [f64; 7] = [
    0.545_253_866_332_628_8,
    0.594_603_557_501_360_5,
    0.648_419_777_325_504_8,
    0.707_106_781_186_547_5,
    0.771_105_412_703_970_4,
    0.840_896_415_253_714_4,
    0.917_004_043_204_671_1,
];

/// Quantiles are those of so long a time.
const WINDOW: Duration = Duration::from_secs(600);

/// In steps of this.
const STEP: Duration = Duration::from_secs(120);

/// What summaries tell (12.2).
const QUANTILES: [f64; 3] = [0.5, 0.99, 0.999];

/// Counts values of one metric for one combination of labels. Takes two atomic additions for a value and no lock;
/// holds up to 8 KB.
#[derive(Debug)]
pub struct Histogram {
    family: &'static DistributionFamily,
    form: Form,
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
    window: Mutex<Window>,
}

/// What was counted when it was looked at before.
#[derive(Debug, Default)]
struct Window(VecDeque<(Instant, Vec<(usize, u64)>)>);

impl Histogram {
    /// Without values.
    #[must_use]
    pub fn new(family: &'static DistributionFamily, form: Form) -> Self {
        let buckets = match form {
            // One more for what is above.
            Form::Classic => EXACT + 2 + u64::from(DECADES) * DIGITS,
            // One more for zero.
            Form::Native => u64::from(LOWEST.abs_diff(HIGHEST)) + 2,
        };
        Self {
            family,
            form,
            counts: (0..buckets).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
            window: Mutex::default(),
        }
    }

    /// Counts a duration, of a metric in seconds.
    pub fn observe(&self, duration: Duration) {
        self.count(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Counts a value in the metric's whole units: nanoseconds where it is in seconds.
    pub fn count(&self, value: u64) {
        let at = match self.form {
            Form::Classic => decimal(value),
            Form::Native => native(self.family.unit.of(value)),
        };
        if let Some(bucket) = self.counts.get(at.min(self.counts.len() - 1)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// What was counted, under these labels. Quantiles are those of the last ten minutes, or of the time since it was
    /// asked the last time, if that is longer ago.
    pub fn read(&self, now: Instant, labels: &Labels, into: &mut Vec<Distribution>) {
        let counts: Vec<u64> = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let count = counts.iter().sum();
        let sum = self.family.unit.of(self.sum.load(Ordering::Relaxed));
        let mut put = |name, shape| {
            into.push(Distribution {
                name,
                help: self.family.help,
                labels: labels.clone(),
                count,
                sum,
                shape,
            });
        };
        if self.form == Form::Native {
            let (schema, zero, buckets) = native_buckets(&counts);
            return put(self.family.histogram_name(), Shape::Native { schema, zero, buckets });
        }
        if self.family.summarized {
            let quantiles = self.quantiles(now, &counts);
            put(self.family.full_name(), Shape::Summary(quantiles));
        }
        put(self.family.histogram_name(), Shape::Classic(self.classic(&counts)));
    }

    /// How many values are not above each bound.
    fn classic(&self, counts: &[u64]) -> Vec<(f64, u64)> {
        let (mut at, mut below) = (0, 0);
        let bounds = self.family.bounds.iter();
        bounds
            .map(|bound| {
                let behind = decimal(*bound) + 1;
                below += counts.get(at..behind).unwrap_or_default().iter().sum::<u64>();
                at = behind;
                (self.family.unit.of(*bound), below)
            })
            .collect()
    }

    fn quantiles(&self, now: Instant, counts: &[u64]) -> Vec<(f64, f64)> {
        let mut lately = counts.to_vec();
        {
            let mut window = self.window.lock();
            window.subtract(now, &mut lately);
            window.note(now, counts);
        }
        QUANTILES.map(|quantile| (quantile, self.quantile(&lately, quantile))).into()
    }

    /// The value below which this share of all is; not a number where there is none.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts are exact as far as they matter, and a rank is one"
    )]
    fn quantile(&self, counts: &[u64], quantile: f64) -> f64 {
        let all: u64 = counts.iter().sum();
        let rank = ((all as f64 * quantile).ceil() as u64).max(1);
        let mut below = 0;
        for (at, count) in counts.iter().enumerate() {
            below += count;
            if below >= rank {
                let (low, high) = (decimal_bound(at.wrapping_sub(1)), decimal_bound(at));
                // In the middle of its bucket, which above a hundred holds more than one number.
                let value = if at <= EXACT as usize { high } else { low.midpoint(high) };
                return self.family.unit.of(value);
            }
        }
        f64::NAN
    }
}

impl Window {
    /// Leaves of these counts what was counted within the window.
    fn subtract(&self, now: Instant, counts: &mut [u64]) {
        let old = self.0.iter().rev().find(|(at, _)| now - *at >= WINDOW);
        let Some((_, base)) = old else { return };
        for (at, before) in base {
            if let Some(count) = counts.get_mut(*at) {
                *count -= before;
            }
        }
    }

    /// Keeps counts, if it is time.
    fn note(&mut self, now: Instant, counts: &[u64]) {
        if self.0.back().is_some_and(|(at, _)| now - *at < STEP) {
            return;
        }
        while self.0.len() > 1 && self.0.get(1).is_some_and(|(at, _)| now - *at >= WINDOW) {
            self.0.pop_front();
        }
        let some = counts.iter().copied().enumerate().filter(|(_, count)| *count > 0).collect();
        self.0.push_back((now, some));
    }
}

/// The bucket of a number by its first two digits. A bucket ends with its bound, which is in it.
fn decimal(value: u64) -> usize {
    if value <= EXACT {
        return usize::try_from(value).unwrap_or_default();
    }
    let below = value - 1;
    let decade = below.ilog10();
    let digits = below / 10_u64.pow(decade - 1);
    let at = u64::from(decade - 2) * DIGITS + digits - 10;
    usize::try_from(EXACT + 1 + at.min(u64::from(DECADES) * DIGITS)).unwrap_or(usize::MAX)
}

/// The bound of such a bucket.
fn decimal_bound(at: usize) -> u64 {
    let at = u64::try_from(at).unwrap_or_default();
    let Some(above) = at.checked_sub(EXACT + 1) else { return at };
    let decade = u32::try_from(above / DIGITS).unwrap_or_default().min(DECADES);
    (above % DIGITS + 11) * 10_u64.pow(decade + 1)
}

/// The place of a value's native bucket; 0 for zero.
fn native(value: f64) -> usize {
    if value <= 0.0 {
        return 0;
    }
    let bits = value.to_bits();
    // The value is `half` times 2 to the power of `exponent`.
    let exponent = i32::try_from((bits >> 52) & 0x7ff).unwrap_or_default() - 1022;
    let half = f64::from_bits((bits & ((1 << 52) - 1)) | (1022 << 52));
    let eighths = EIGHTHS.iter().filter(|bound| **bound < half).count();
    // The bound of an octave belongs to the bucket below.
    let eighths = if half <= 0.5 { 0 } else { i32::try_from(eighths).unwrap_or_default() + 1 };
    let index = (exponent - 1) * 8 + eighths;
    usize::try_from(index.clamp(LOWEST, HIGHEST) - LOWEST + 1).unwrap_or_default()
}

/// The schema, the number of zeros, and the buckets that are not empty, by their index.
fn native_buckets(counts: &[u64]) -> (i32, u64, Vec<(i32, u64)>) {
    let zero = counts.first().copied().unwrap_or_default();
    let indices = LOWEST..=HIGHEST;
    let filled = indices.zip(counts.iter().skip(1).copied()).filter(|(_, count)| *count > 0);
    let mut buckets: Vec<(i32, u64)> = filled.collect();
    let mut schema = SCHEMA;
    while buckets.len() > NATIVE_LIMIT {
        schema -= 1;
        let mut wider: Vec<(i32, u64)> = Vec::with_capacity(buckets.len());
        for (index, count) in buckets {
            // Rounded up: a bucket is named after its upper bound.
            let index = (index + 1).div_euclid(2);
            match wider.last_mut() {
                Some((last, sum)) if *last == index => *sum += count,
                _ => wider.push((index, count)),
            }
        }
        buckets = wider;
    }
    (schema, zero, buckets)
}

impl Unit {
    #[expect(clippy::cast_precision_loss, reason = "counts are exact as far as they matter")]
    pub(crate) fn of(self, value: u64) -> f64 {
        match self {
            Self::Seconds => value as f64 / 1e9,
            Self::Number => value as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static SECONDS: DistributionFamily = DistributionFamily::summarized(
        "test",
        "seconds",
        "In seconds.",
        &[100_000, 1_000_000, 2_500_000_000],
    );
    static NUMBERS: DistributionFamily =
        DistributionFamily::numbers("test", "numbers", "Some.", &[0, 1, 5, 20]);

    fn read(histogram: &Histogram, seconds: u64) -> Vec<Distribution> {
        let mut all = Vec::new();
        histogram.read(Instant::ZERO + Duration::from_secs(seconds), &Vec::new(), &mut all);
        all
    }

    fn classic(distribution: &Distribution) -> &[(f64, u64)] {
        match &distribution.shape {
            Shape::Classic(buckets) => buckets,
            other => panic!("{other:?}"),
        }
    }

    fn quantiles(histogram: &Histogram, seconds: u64) -> [f64; 3] {
        match &read(histogram, seconds)[0].shape {
            Shape::Summary(quantiles) => [quantiles[0].1, quantiles[1].1, quantiles[2].1],
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_number_is_in_the_one_bucket_whose_bound_it_does_not_exceed() {
        let mut value = 0_u64;
        while value < 200_000_000_000 {
            for value in value.saturating_sub(1)..=value + 1 {
                let at = decimal(value);
                if value <= 100_000_000_000 {
                    assert!(value <= decimal_bound(at), "{value}");
                }
                assert!(at == 0 || value > decimal_bound(at - 1), "{value}");
            }
            value += 1 + value / 97;
        }
        for bound in (0..10).flat_map(|power| [10, 25, 50].map(|digits| digits * 10_u64.pow(power))) {
            assert_eq!(decimal_bound(decimal(bound)), bound, "bounds of metrics are exact");
        }
        assert_eq!(decimal(u64::MAX), decimal(100_000_000_001), "what is above is together");
    }

    #[test]
    fn native_buckets_are_those_of_prometheus() {
        for index in LOWEST..=HIGHEST {
            let bound = 2_f64.powf(f64::from(index) / 8.0);
            let place = |value| i32::try_from(native(value)).expect("small") - 1 + LOWEST;
            assert_eq!(place(bound * 0.999_999), index, "below the bound {index}");
            assert_eq!(place(bound * 1.000_001), (index + 1).min(HIGHEST), "above the bound {index}");
        }
        assert_eq!(native(1.0), native(0.99), "a bound belongs to the bucket below");
        assert_eq!((native(0.0), native(1e-12), native(1e12)), (0, 1, native(1e6)));
    }

    #[test]
    fn a_classic_histogram_counts_what_does_not_exceed_each_bound() {
        let histogram = Histogram::new(&SECONDS, Form::Classic);
        for nanos in [0, 100_000, 100_001, 1_000_000, 3_000_000_000, 500_000_000_000] {
            histogram.count(nanos);
        }
        let all = read(&histogram, 0);
        assert_eq!(all[1].name, "centrifugo_test_seconds_histogram");
        assert_eq!(classic(&all[1]), [(0.0001, 2), (0.001, 4), (2.5, 4)]);
        assert_eq!((all[1].count, all[1].sum), (6, 503.001_200_001));
        let numbers = Histogram::new(&NUMBERS, Form::Classic);
        [0, 0, 1, 2, 5, 6, 21].into_iter().for_each(|number| numbers.count(number));
        let all = read(&numbers, 0);
        assert_eq!((all.len(), all[0].name.as_str()), (1, "centrifugo_test_numbers"));
        assert_eq!(classic(&all[0]), [(0.0, 2), (1.0, 3), (5.0, 5), (20.0, 6)]);
    }

    #[test]
    fn quantiles_are_those_of_the_last_ten_minutes() {
        let histogram = Histogram::new(&SECONDS, Form::Classic);
        assert!(quantiles(&histogram, 0).iter().all(|value| value.is_nan()), "of nothing there are none");
        for _ in 0..990 {
            histogram.observe(Duration::from_millis(1));
        }
        for _ in 0..10 {
            histogram.observe(Duration::from_secs(1));
        }
        let near = |value: f64, expected: f64| (value / expected - 1.0).abs() < 0.05;
        let [half, most, nearly_all] = quantiles(&histogram, 10);
        assert!(
            near(half, 0.001) && near(most, 0.001) && near(nearly_all, 1.0),
            "{half} {most} {nearly_all}"
        );
        for minute in 1..=20 {
            histogram.observe(Duration::from_millis(20));
            let [half, ..] = quantiles(&histogram, minute * 60);
            // In steps of two minutes.
            assert!(near(half, if minute < 12 { 0.001 } else { 0.02 }), "{minute}: {half}");
        }
        assert!(quantiles(&histogram, 3_600)[0].is_nan(), "nothing happened since");
        assert_eq!(read(&histogram, 3_600)[0].count, 1_020, "the count is that since the start");
    }

    #[test]
    fn a_native_histogram_halves_its_resolution_when_it_has_too_many_buckets() {
        let histogram = Histogram::new(&SECONDS, Form::Native);
        histogram.count(0);
        histogram.observe(Duration::from_secs(1));
        let all = read(&histogram, 0);
        assert_eq!(all.len(), 1, "no summary");
        assert_eq!(all[0].shape, Shape::Native { schema: 3, zero: 1, buckets: vec![(0, 1)] });
        let mut nanos = 1_u64;
        while nanos < 100_000_000_000 {
            histogram.count(nanos);
            nanos += 1 + nanos / 20;
        }
        let all = read(&histogram, 0);
        let Shape::Native { schema, buckets, .. } = &all[0].shape else { panic!("{all:?}") };
        assert!(*schema == 2 && buckets.len() <= 200, "{schema} {}", buckets.len());
        assert_eq!(buckets.iter().map(|(_, count)| count).sum::<u64>() + 1, all[0].count);
    }
}
