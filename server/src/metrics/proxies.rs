//! What proxies counted (MET-57, MET-60, MET-61).

use tourbillon::node::{Distribution, DistributionFamily, Family, Sample, SampleKind, Shape};
use tourbillon::proxy::{BUCKETS, Endpoint, KeyStats, ProxyStats, SIZES};
use tourbillon_access::Live;
use tourbillon_config::Backends;

static DURATIONS: DistributionFamily = DistributionFamily::summarized(
    "proxy",
    "duration_seconds",
    "How long questions to backends take.",
    // Those of what was counted.
    &[],
);

static ERRORS: Family =
    Family::new(SampleKind::Counter, "proxy", "errors", "Questions to backends that failed.");

static ASKED: DistributionFamily = DistributionFamily::numbers(
    "shared_poll_proxy",
    "request_items",
    "How many keys of polled channels questions to backends are about.",
    &[],
);

static TOLD: DistributionFamily = DistributionFamily::numbers(
    "shared_poll_proxy",
    "response_items",
    "How many keys of polled channels answers of backends tell of.",
    &[],
);

static INFLIGHT: Family =
    Family::new(SampleKind::Gauge, "proxy", "inflight_requests", "Questions to backends under way.");

#[expect(clippy::cast_precision_loss, reason = "counts are exact up to 2^53")]
pub(super) fn read(backends: &Live<Backends>) -> (Vec<Sample>, Vec<Distribution>) {
    let (mut samples, mut distributions) = (Vec::new(), Vec::new());
    let all = backends.with(|backends| backends.each().cloned().collect::<Vec<_>>());
    distributions.extend(all.iter().flat_map(|one| keys(one)));
    let stats = all.iter().flat_map(|one| one.stats());
    for stats in stats {
        let labels = || {
            vec![
                ("name", stats.name.clone().into()),
                ("protocol", stats.protocol.into()),
                ("type", stats.event.name().into()),
            ]
        };
        samples.push(Sample::new(&ERRORS, labels(), stats.errors as f64));
        samples.push(Sample::new(&INFLIGHT, labels(), stats.inflight as f64));
        let seconds = stats.total.as_secs_f64();
        for shape in [Shape::Summary(Vec::new()), Shape::Classic(cumulated(&stats))] {
            distributions.push(Distribution::new(&DURATIONS, labels(), (stats.calls, seconds), shape));
        }
    }
    (samples, distributions)
}

/// How many keys a backend is asked about, and tells of.
#[expect(clippy::cast_precision_loss, reason = "counts are exact up to 2^53")]
fn keys(endpoint: &Endpoint) -> impl Iterator<Item = Distribution> {
    let name = endpoint.name().to_owned();
    let told = [&ASKED, &TOLD].into_iter().zip(endpoint.key_stats());
    told.filter_map(move |(family, stats)| {
        let KeyStats { total, sizes, .. } = stats?;
        let mut up_to = 0;
        let bounds = SIZES.iter().zip(&sizes).map(|(bound, count)| {
            up_to += count;
            (*bound as f64, up_to)
        });
        let shape = Shape::Classic(bounds.collect());
        let count = sizes.iter().sum();
        Some(Distribution::new(family, vec![("name", name.clone().into())], (count, total as f64), shape))
    })
}

/// How many took up to each bound.
fn cumulated(stats: &ProxyStats) -> Vec<(f64, u64)> {
    let mut up_to = 0;
    let bounds = BUCKETS.iter().zip(&stats.durations);
    bounds
        .map(|(bound, count)| {
            up_to += count;
            (bound.as_secs_f64(), up_to)
        })
        .collect()
}
