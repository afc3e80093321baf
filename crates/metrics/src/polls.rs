//! What is counted and measured of polled channels (MET-50 to MET-56).

use std::time::Duration;

use tourbillon_shared_poll::{Applied, Ask, CycleTimes, Published, Trigger};
use tourbillon_types::Instant;

use crate::distribution::Slots;
use crate::measured::{MS, S, US};
use crate::samples::Samples;
use crate::{Counter, Distribution, DistributionFamily, Family, Form, Labels, Metrics, SampleKind};

const CYCLE_BOUNDS: &[u64] =
    &[10 * MS, 25 * MS, 50 * MS, 100 * MS, 250 * MS, 500 * MS, S, 2_500 * MS, 5 * S, 10 * S, 30 * S, 60 * S];

static CYCLES: DistributionFamily = DistributionFamily::durations(
    "shared_poll",
    "cycle_duration_seconds",
    "How long it takes to ask about all keys of a channel.",
    CYCLE_BOUNDS,
);

static WORK: DistributionFamily = DistributionFamily::durations(
    "shared_poll",
    "cycle_work_duration_seconds",
    "The same without the waits that spread the questions over the interval.",
    CYCLE_BOUNDS,
);

static CALLS: DistributionFamily = DistributionFamily::durations(
    "shared_poll",
    "handler_duration_seconds",
    "How long the application takes to tell what keys hold.",
    &[
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
        30 * S,
    ],
);

static WAITS: DistributionFamily = DistributionFamily::durations(
    "shared_poll",
    "sem_wait_duration_seconds",
    "How long questions wait because as many as may be are asked already.",
    &[
        100 * US,
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
        30 * S,
    ],
);

static ERRORS: Family = Family::new(
    SampleKind::Counter,
    "shared_poll",
    "handler_error_count",
    "Questions that the application did not answer.",
);
static ITEMS: Family = Family::new(
    SampleKind::Counter,
    "shared_poll",
    "items_count",
    "Keys that were asked about, and what became of them.",
);
static NOTIFIED: Family =
    Family::new(SampleKind::Counter, "shared_poll", "notify_count", "Keys asked about outside of cycles.");
static DROPPED: Family = Family::new(
    SampleKind::Counter,
    "shared_poll",
    "dropped_notify_count",
    "Keys that should have been. Always 0: none is dropped.",
);
static PUBLISHED: Family = Family::new(
    SampleKind::Counter,
    "shared_poll",
    "publish_count",
    "Values of tracked keys that were published, and whether they are newer than what was known.",
);
static CHANNELS: Family =
    Family::new(SampleKind::Gauge, "shared_poll", "num_channels", "Polled channels that are kept.");
static KEYS: Family = Family::new(SampleKind::Gauge, "shared_poll", "num_keys", "Keys tracked in them.");

const TRIGGERS: [(Trigger, &str); 2] = [(Trigger::Timer, "timer"), (Trigger::Notification, "notification")];

/// What is counted of polled channels.
#[derive(Debug, Default)]
pub(crate) struct PollCounts {
    errors: [Counter; 2],
    /// Polled, changed, unchanged and removed, by the trigger.
    items: [[Counter; 4]; 2],
    applied: Counter,
    skipped: Counter,
}

const RESULTS: [&str; 4] = ["polled", "changed", "unchanged", "removed"];

/// How long things take in polled channels.
pub(crate) struct PollTimes {
    cycles: Slots<1>,
    work: Slots<1>,
    calls: Slots<2>,
    waits: Slots<2>,
}

impl PollTimes {
    pub(crate) const fn new() -> Self {
        Self { cycles: Slots::new(), work: Slots::new(), calls: Slots::new(), waits: Slots::new() }
    }

    fn note(&self, ask: &Ask, took: Duration, cycle: Option<CycleTimes>, form: Form) {
        let put = |slot: Option<&crate::Histogram>, duration| {
            if let Some(histogram) = slot {
                histogram.observe(duration);
            }
        };
        let trigger = ask.trigger() as usize;
        put(self.calls.get(trigger, &CALLS, form), took);
        put(self.waits.get(trigger, &WAITS, form), ask.waited());
        if let Some(CycleTimes { whole, work }) = cycle {
            put(self.cycles.get(0, &CYCLES, form), whole);
            put(self.work.get(0, &WORK, form), work);
        }
    }

    pub(crate) fn read(&self, now: Instant, into: &mut Vec<Distribution>) {
        let trigger = |at: usize| {
            let name = TRIGGERS.get(at).map_or("", |(_, name)| name);
            vec![("trigger", name.into())]
        };
        self.cycles.read(now, |_| Labels::new(), into);
        self.work.read(now, |_| Labels::new(), into);
        self.calls.read(now, trigger, into);
        self.waits.read(now, trigger, into);
    }
}

impl PollCounts {
    pub(crate) fn samples(&self, channels: usize, keys: usize, samples: &mut Samples) {
        for (trigger, name) in TRIGGERS {
            let trigger = trigger as usize;
            samples.put_if_any(&ERRORS, self.errors[trigger].get(), [("trigger", name.into())]);
            for (count, result) in self.items[trigger].iter().zip(RESULTS) {
                let labels = [("result", result.into()), ("trigger", name.into())];
                samples.put_if_any(&ITEMS, count.get(), labels);
            }
        }
        let [polled, ..] = &self.items[Trigger::Notification as usize];
        samples.put_if_any(&NOTIFIED, polled.get(), []);
        samples.put(&DROPPED, 0, []);
        for (count, result) in [(&self.applied, "applied"), (&self.skipped, "skipped")] {
            samples.put_if_any(&PUBLISHED, count.get(), [("result", result.into())]);
        }
        samples.put(&CHANNELS, crate::wide(channels), []);
        samples.put(&KEYS, crate::wide(keys), []);
    }
}

impl Metrics {
    /// The application was asked what keys hold, and took so long; what became of its answer, or `failed`.
    pub fn polled(&self, ask: &Ask, took: Duration, applied: &Applied, failed: bool) {
        let (counts, trigger) = (&self.polls, ask.trigger() as usize);
        counts.errors[trigger].add(u64::from(failed));
        let Applied { changed, unchanged, removed, cycle } = *applied;
        for (counter, count) in counts.items[trigger].iter().zip([ask.count(), changed, unchanged, removed]) {
            counter.add(crate::wide(count));
        }
        if let Some(measured) = self.measured() {
            measured.polls.note(ask, took, cycle, measured.form());
        }
    }

    /// A value of a polled channel was published: what became of it, if somebody has the channel here.
    pub fn poll_published(&self, published: Option<Published>) {
        match published {
            Some(Published::Applied) => self.polls.applied.add(1),
            Some(Published::Stale) => self.polls.skipped.add(1),
            Some(Published::Untracked) | None => {}
        }
    }
}
