//! What is counted of the API's commands (MET-62, MET-63).

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tourbillon_node::{Distribution, DistributionFamily, Family, Form, Sample, SampleKind, Timings};
use tourbillon_types::{Clock, Instant, SystemClock};

use crate::command::{ApiCommand, ApiError};
use crate::method::Method;

/// How commands come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Protocol {
    /// Over HTTP.
    #[default]
    Http,
    /// Over GRPC.
    Grpc,
    /// From a queue.
    Consuming,
}

impl Protocol {
    const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
            Self::Consuming => "consuming",
        }
    }
}

static ERRORS: Family = Family::new(
    SampleKind::Counter,
    "api",
    "command_errors_total",
    "Commands of the server API answered by an error.",
);

const MS: u64 = 1_000_000;

static DURATIONS: DistributionFamily = DistributionFamily::summarized(
    "api",
    "command_duration_seconds",
    "How long commands of the server API take.",
    &[
        5 * MS,
        10 * MS,
        25 * MS,
        50 * MS,
        100 * MS,
        250 * MS,
        500 * MS,
        1_000 * MS,
        2_500 * MS,
        5_000 * MS,
        10_000 * MS,
    ],
);

/// The most errors that are told apart. Those beyond are not counted.
const ERRORS_LIMIT: usize = 1024;

/// Counts of commands, for [`ApiService::with_metrics`](crate::ApiService::with_metrics).
#[derive(Debug)]
pub struct ApiMetrics {
    errors: Mutex<BTreeMap<(Protocol, &'static str, u32), u64>>,
    durations: Timings<(Protocol, &'static str)>,
    clock: SystemClock,
}

/// A command that has begun.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    method: &'static str,
    at: Instant,
}

impl ApiMetrics {
    /// Nothing is counted yet. Durations are kept in this form.
    #[must_use]
    pub fn new(form: Form) -> Self {
        Self {
            errors: Mutex::default(),
            durations: Timings::new(&DURATIONS, form),
            clock: SystemClock::new(),
        }
    }

    pub(crate) fn begin(&self, command: &ApiCommand) -> Begun {
        Begun { method: Method::of(command).map_or("unknown", Method::name), at: self.clock.instant() }
    }

    pub(crate) fn begin_batch(&self) -> Begun {
        Begun { method: Method::Batch.name(), at: self.clock.instant() }
    }

    pub(crate) fn end(&self, protocol: Protocol, begun: Begun, error: Option<&ApiError>) {
        let took: Duration = self.clock.instant() - begun.at;
        self.durations.observe(&(protocol, begun.method), took);
        let Some(error) = error else { return };
        let key = (protocol, begun.method, error.code);
        let mut errors = self.errors.lock();
        if errors.len() < ERRORS_LIMIT || errors.contains_key(&key) {
            *errors.entry(key).or_default() += 1;
        }
    }

    /// Errors by protocol, method and code since the start.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are exact as far as they matter")]
    pub fn samples(&self) -> Vec<Sample> {
        let errors = self.errors.lock();
        let samples = errors.iter().map(|((protocol, method, code), count)| {
            let labels = vec![
                ("error", code.to_string().into()),
                ("method", (*method).into()),
                ("protocol", protocol.name().into()),
            ];
            Sample::new(&ERRORS, labels, *count as f64)
        });
        samples.collect()
    }

    /// How long commands took, by protocol and method.
    #[must_use]
    pub fn distributions(&self) -> Vec<Distribution> {
        let mut all = Vec::new();
        let labels = |(protocol, method): &(Protocol, &'static str)| {
            vec![("method", (*method).into()), ("protocol", protocol.name().into())]
        };
        self.durations.read(self.clock.instant(), labels, &mut all);
        all
    }
}
