//! What is measured of a node, where somebody wants it.

use std::fmt;
use std::time::Duration;

use tourbillon_types::Instant;

use crate::distribution::Slots;
use crate::polls::PollTimes;
use crate::samples::TOLD;
use crate::{
    Distribution, DistributionFamily, Form, Frame, Labels, Measures, Metrics, TRANSPORTS, Timings, Told,
};

pub(crate) const US: u64 = 1_000;
pub(crate) const MS: u64 = 1_000_000;
pub(crate) const S: u64 = 1_000_000_000;

/// From 100 microseconds to 10 seconds.
const COMMAND_BOUNDS: &[u64] = &[
    100 * US,
    250 * US,
    500 * US,
    MS,
    5 * MS,
    10 * MS,
    25 * MS,
    50 * MS,
    100 * MS,
    250 * MS,
    500 * MS,
    S,
    2_500 * MS,
    5 * S,
    10 * S,
];

static COMMANDS: DistributionFamily = DistributionFamily::summarized(
    "client",
    "command_duration_seconds",
    "How long commands of clients take.",
    COMMAND_BOUNDS,
);

static PINGS: DistributionFamily = DistributionFamily::durations(
    "client",
    "ping_pong_duration_seconds",
    "How long clients take to answer pings.",
    COMMAND_BOUNDS,
);

static SURVEYS: DistributionFamily = DistributionFamily::summarized(
    "node",
    "survey_duration_seconds",
    "How long other nodes take to answer.",
    &[MS, 5 * MS, 10 * MS, 25 * MS, 50 * MS, 100 * MS, 250 * MS, 500 * MS, S, 2_500 * MS, 5 * S, 10 * S],
);

static BROADCASTS: DistributionFamily = DistributionFamily::durations(
    "node",
    "broadcast_duration_seconds",
    "How long it takes to queue a message for all subscribers of its channel.",
    &[
        US,
        5 * US,
        10 * US,
        50 * US,
        100 * US,
        250 * US,
        500 * US,
        MS,
        5 * MS,
        10 * MS,
        25 * MS,
        50 * MS,
        100 * MS,
        250 * MS,
        500 * MS,
        S,
        2_500 * MS,
        5 * S,
        10 * S,
    ],
);

static LAG: DistributionFamily = DistributionFamily::durations(
    "node",
    "pub_sub_lag_seconds",
    "How long publications take from their publisher, by the wall clocks of both.",
    &[MS, 5 * MS, 10 * MS, 25 * MS, 50 * MS, 100 * MS, 200 * MS, 500 * MS, S, 2 * S, 5 * S, 10 * S],
);

static RECOVERED: DistributionFamily = DistributionFamily::numbers(
    "client",
    "recovered_publications",
    "How many publications subscriptions recover.",
    &[0, 1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000],
);

/// Durations and sizes. Histograms take memory once there is something in them.
pub struct Measured {
    measures: Measures,
    commands: Slots<{ Frame::ALL.len() }>,
    pings: Slots<TRANSPORTS>,
    broadcasts: Slots<{ TOLD.len() }>,
    lag: Slots<1>,
    recovered: Slots<1>,
    surveys: Timings<&'static str>,
    pub(crate) polls: PollTimes,
}

impl Measured {
    pub(crate) const fn new(measures: Measures) -> Self {
        Self {
            measures,
            commands: Slots::new(),
            pings: Slots::new(),
            broadcasts: Slots::new(),
            lag: Slots::new(),
            recovered: Slots::new(),
            surveys: Timings::new(&SURVEYS, measures.form),
            polls: PollTimes::new(),
        }
    }

    /// How it is kept.
    #[must_use]
    pub const fn form(&self) -> Form {
        self.measures.form
    }

    /// A client's command was answered after so long.
    pub fn command(&self, frame: Frame, duration: Duration) {
        if let Some(histogram) = self.commands.get(frame.index(), &COMMANDS, self.form()) {
            histogram.observe(duration);
        }
    }

    /// A client of this transport answered a ping after so long.
    pub fn ping(&self, transport: u8, duration: Duration) {
        if let Some(histogram) = self.pings.get(transport.into(), &PINGS, self.form()) {
            histogram.observe(duration);
        }
    }

    /// A message was queued for all subscribers within so long.
    pub fn broadcast(&self, told: Told, duration: Duration) {
        if let Some(histogram) = self.broadcasts.get(told as usize, &BROADCASTS, self.form()) {
            histogram.observe(duration);
        }
    }

    /// A publication of `published` arrived at `arrived`, both in milliseconds of the wall clock. One without a time
    /// does not count.
    pub fn lag(&self, published: i64, arrived: i64) {
        if published <= 0 {
            return;
        }
        if let Some(histogram) = self.lag.get(0, &LAG, self.form()) {
            // Clocks that differ are no reason to hide it.
            histogram.observe(Duration::from_millis(arrived.abs_diff(published)));
        }
    }

    /// A subscription recovered so many publications.
    pub fn recovered(&self, publications: usize) {
        let wanted = self.measures.recovered_publications;
        if let Some(histogram) = self.recovered.get(0, &RECOVERED, self.form()).filter(|_| wanted) {
            histogram.count(crate::wide(publications));
        }
    }

    /// Another node answered after so long.
    pub fn survey(&self, op: &'static str, duration: Duration) {
        self.surveys.observe(&op, duration);
    }
}

impl fmt::Debug for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Measured").field("measures", &self.measures).finish_non_exhaustive()
    }
}

impl Metrics {
    /// Everything that was measured. Summaries tell of the time before `now`.
    #[must_use]
    pub fn distributions(&self, now: Instant) -> Vec<Distribution> {
        let mut all = Vec::new();
        let Some(measured) = self.measured() else { return all };
        let none = |_| Labels::new();
        let method =
            |at: usize| vec![("method", Frame::ALL.get(at).copied().unwrap_or_default().name().into())];
        measured.commands.read(now, method, &mut all);
        let name = |at: usize| {
            u8::try_from(at).ok().and_then(|at| self.of(at)).map_or(crate::OTHER, |counts| counts.name)
        };
        measured.pings.read(now, |at| vec![("transport", name(at).into())], &mut all);
        let told = |at: usize| TOLD.get(at).map_or("", |(_, name)| name);
        measured.broadcasts.read(now, |at| vec![("type", told(at).into())], &mut all);
        measured.lag.read(now, none, &mut all);
        measured.recovered.read(now, none, &mut all);
        measured.surveys.read(now, |op| vec![("op", (*op).into())], &mut all);
        measured.polls.read(now, &mut all);
        all
    }
}
