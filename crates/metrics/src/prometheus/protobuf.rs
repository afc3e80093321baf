//! Messages `io.prometheus.client.MetricFamily`, each behind its length: those fields of the schema that are used.

use prost::Message;

use crate::prometheus::Report;
use crate::{Distribution, SampleKind, Shape};

#[derive(Clone, PartialEq, Message)]
pub(super) struct MetricFamily {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) help: String,
    #[prost(enumeration = "MetricType", tag = "3")]
    pub(super) kind: i32,
    #[prost(message, repeated, tag = "4")]
    pub(super) metric: Vec<Metric>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(super) enum MetricType {
    Counter = 0,
    Gauge = 1,
    Summary = 2,
    Histogram = 4,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Metric {
    #[prost(message, repeated, tag = "1")]
    pub(super) label: Vec<LabelPair>,
    #[prost(message, optional, tag = "2")]
    pub(super) gauge: Option<Value>,
    #[prost(message, optional, tag = "3")]
    pub(super) counter: Option<Value>,
    #[prost(message, optional, tag = "4")]
    pub(super) summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    pub(super) histogram: Option<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct LabelPair {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

/// A `Gauge` or a `Counter`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Value {
    #[prost(double, optional, tag = "1")]
    pub(super) value: Option<f64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Summary {
    #[prost(uint64, tag = "1")]
    pub(super) count: u64,
    #[prost(double, tag = "2")]
    pub(super) sum: f64,
    #[prost(message, repeated, tag = "3")]
    pub(super) quantile: Vec<Pair>,
}

/// A `Quantile`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Pair {
    #[prost(double, tag = "1")]
    pub(super) quantile: f64,
    #[prost(double, tag = "2")]
    pub(super) value: f64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Histogram {
    #[prost(uint64, tag = "1")]
    pub(super) count: u64,
    #[prost(double, tag = "2")]
    pub(super) sum: f64,
    #[prost(message, repeated, tag = "3")]
    pub(super) bucket: Vec<Bucket>,
    #[prost(sint32, optional, tag = "5")]
    pub(super) schema: Option<i32>,
    #[prost(double, optional, tag = "6")]
    pub(super) zero_threshold: Option<f64>,
    #[prost(uint64, optional, tag = "7")]
    pub(super) zero_count: Option<u64>,
    #[prost(message, repeated, tag = "12")]
    pub(super) positive_span: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "13")]
    pub(super) positive_delta: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Bucket {
    #[prost(uint64, tag = "1")]
    pub(super) cumulative_count: u64,
    #[prost(double, tag = "2")]
    pub(super) upper_bound: f64,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct BucketSpan {
    #[prost(sint32, tag = "1")]
    pub(super) offset: i32,
    #[prost(uint32, tag = "2")]
    pub(super) length: u32,
}

/// Values up to this one count as zero: the default of Prometheus.
const ZERO_THRESHOLD: f64 = 2.938_735_877_055_719e-39;

/// Writes metrics that are in the order of their names.
pub(super) fn write(report: &Report) -> Vec<u8> {
    let mut out = Vec::new();
    for of_family in report.samples.chunk_by(|one, other| one.family == other.family) {
        let Some(first) = of_family.first() else { continue };
        let is_counter = first.family.kind == SampleKind::Counter;
        let metric = of_family.iter().map(|sample| {
            let mut metric = labelled(&sample.labels);
            let value = Some(Value { value: Some(sample.value) });
            *if is_counter { &mut metric.counter } else { &mut metric.gauge } = value;
            metric
        });
        let family = MetricFamily {
            name: first.family.full_name(),
            help: first.family.help.to_owned(),
            kind: if is_counter { MetricType::Counter } else { MetricType::Gauge }.into(),
            metric: metric.collect(),
        };
        put(&family, &mut out);
    }
    for of_name in report.distributions.chunk_by(|one, other| one.name == other.name) {
        let Some(first) = of_name.first() else { continue };
        let is_summary = matches!(first.shape, Shape::Summary(_));
        let family = MetricFamily {
            name: first.name.clone(),
            help: first.help.to_owned(),
            kind: if is_summary { MetricType::Summary } else { MetricType::Histogram }.into(),
            metric: of_name.iter().map(metric_of).collect(),
        };
        put(&family, &mut out);
    }
    out
}

fn put(family: &MetricFamily, out: &mut Vec<u8>) {
    out.extend(family.encode_length_delimited_to_vec());
}

fn labelled(labels: &crate::Labels) -> Metric {
    let pair = |(name, value): &(&str, std::borrow::Cow<'static, str>)| LabelPair {
        name: (*name).to_owned(),
        value: value.clone().into_owned(),
    };
    Metric { label: labels.iter().map(pair).collect(), ..Metric::default() }
}

fn metric_of(one: &Distribution) -> Metric {
    let mut metric = labelled(&one.labels);
    let (count, sum) = (one.count, one.sum);
    match &one.shape {
        Shape::Summary(quantiles) => {
            let quantile =
                quantiles.iter().map(|(quantile, value)| Pair { quantile: *quantile, value: *value });
            metric.summary = Some(Summary { count, sum, quantile: quantile.collect() });
        }
        Shape::Classic(buckets) => {
            let bucket =
                buckets.iter().map(|(bound, below)| Bucket { cumulative_count: *below, upper_bound: *bound });
            metric.histogram =
                Some(Histogram { count, sum, bucket: bucket.collect(), ..Histogram::default() });
        }
        Shape::Native { schema, zero, buckets } => {
            let (positive_span, positive_delta) = spans(buckets);
            metric.histogram = Some(Histogram {
                count,
                sum,
                bucket: Vec::new(),
                schema: Some(*schema),
                zero_threshold: Some(ZERO_THRESHOLD),
                zero_count: Some(*zero),
                positive_span,
                positive_delta,
            });
        }
    }
    metric
}

/// Runs of buckets: each says how many are left out before it, and each bucket by how much it differs from the one
/// before. Without any there is one empty run, by which a native histogram is known.
fn spans(buckets: &[(i32, u64)]) -> (Vec<BucketSpan>, Vec<i64>) {
    let mut spans: Vec<BucketSpan> = Vec::new();
    let mut deltas = Vec::with_capacity(buckets.len());
    let (mut next, mut before) = (0, 0_i64);
    for (index, count) in buckets {
        match spans.last_mut() {
            Some(span) if *index == next => span.length += 1,
            _ => spans.push(BucketSpan { offset: index - next, length: 1 }),
        }
        next = index + 1;
        let count = i64::try_from(*count).unwrap_or(i64::MAX);
        deltas.push(count - before);
        before = count;
    }
    if spans.is_empty() {
        spans.push(BucketSpan { offset: 0, length: 0 });
    }
    (spans, deltas)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prometheus::Exposition;
    use crate::{Family, Sample};

    static COUNT: Family = Family::new(SampleKind::Counter, "test", "count", "Some.");

    #[test]
    fn families_follow_each_other_behind_their_lengths() {
        let samples = vec![
            Sample::new(&COUNT, vec![("a", "x".into())], 3.0),
            Sample::new(&COUNT, vec![("a", "y".into())], 0.0),
        ];
        let shape = |name: &str, shape| Distribution {
            name: name.to_owned(),
            help: "Spread.",
            labels: Vec::new(),
            count: 9,
            sum: 1.5,
            shape,
        };
        let distributions = vec![
            shape("a_classic", Shape::Classic(vec![(1.0, 2)])),
            shape("b_native", Shape::Native { schema: 3, zero: 1, buckets: vec![(-3, 2), (-2, 5), (4, 1)] }),
            shape("c_summary", Shape::Summary(vec![(0.5, 0.25)])),
        ];
        let written = Report::new(samples, distributions).write(Exposition::Protobuf);
        let mut rest = written.as_slice();
        let mut families = Vec::new();
        while !rest.is_empty() {
            families.push(MetricFamily::decode_length_delimited(&mut rest).expect("a family"));
        }
        let kinds: Vec<_> = families.iter().map(|family| (family.name.as_str(), family.kind)).collect();
        assert_eq!(
            kinds,
            [("centrifugo_test_count", 0), ("a_classic", 4), ("b_native", 4), ("c_summary", 2)]
        );
        let zero = families[0].metric[1].counter.as_ref().and_then(|counter| counter.value);
        assert_eq!((families[0].metric.len(), zero), (2, Some(0.0)));
        let classic = families[1].metric[0].histogram.as_ref().expect("one");
        assert_eq!((classic.bucket[0].cumulative_count, classic.schema), (2, None));
        let native = families[2].metric[0].histogram.as_ref().expect("one");
        let spans: Vec<_> = native.positive_span.iter().map(|span| (span.offset, span.length)).collect();
        assert_eq!(
            (spans.as_slice(), native.positive_delta.as_slice()),
            (&[(-3, 2), (5, 1)][..], &[2, 3, -4][..])
        );
        assert_eq!((native.schema, native.zero_count), (Some(3), Some(1)));
        assert_eq!(
            families[3].metric[0].summary.as_ref().map(|summary| summary.quantile[0].value),
            Some(0.25)
        );
    }
}
