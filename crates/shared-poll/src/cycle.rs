//! When which keys are asked about: all of a channel once in an interval, in batches spread evenly over it (SP-07).

use std::collections::VecDeque;
use std::time::Duration;

use tourbillon_types::Instant;

use crate::{Key, PollRules};

/// The cycles of one channel.
#[derive(Debug)]
pub(crate) struct Cycles {
    interval: Duration,
    next: Instant,
    running: Option<Cycle>,
}

/// One time around all keys.
#[derive(Debug)]
struct Cycle {
    began: Instant,
    /// Those that are still to be asked.
    batches: VecDeque<Vec<Key>>,
    due: Instant,
    /// Time between two batches.
    step: Duration,
    /// How much of it was spent waiting for the next batch to be due.
    spread: Duration,
    /// How many batches wait for their answers.
    unanswered: usize,
}

/// How long a cycle took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CycleTimes {
    /// From its beginning to the last answer.
    pub whole: Duration,
    /// Without the waits that spread its batches over the interval.
    pub work: Duration,
}

impl Cycles {
    pub(crate) fn new(now: Instant, rules: &PollRules) -> Self {
        let interval = rules.refresh_interval;
        Self { interval, next: now + interval, running: None }
    }

    /// When something is to be done; [`Instant::MAX`] while answers are waited for.
    pub(crate) fn due(&self) -> Instant {
        match &self.running {
            None => self.next,
            Some(cycle) if cycle.batches.is_empty() => Instant::MAX,
            Some(cycle) => cycle.due,
        }
    }

    /// Whether a cycle has begun and is not over.
    pub(crate) const fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// There are keys again: the first cycle comes an interval later, unless one is to come before.
    pub(crate) fn awake(&mut self, now: Instant) {
        if self.running.is_none() && self.next <= now {
            self.next = now + self.interval;
        }
    }

    /// Whether a cycle is to begin.
    pub(crate) fn begins(&self, now: Instant) -> bool {
        self.running.is_none() && self.next <= now
    }

    /// Begins a cycle over these keys.
    pub(crate) fn begin(&mut self, now: Instant, keys: &[Key], batch: usize) {
        if keys.is_empty() {
            self.next = now + self.interval;
            return;
        }
        let batches: VecDeque<Vec<Key>> = keys.chunks(batch.max(1)).map(<[Key]>::to_vec).collect();
        let step = self.interval / u32::try_from(batches.len()).unwrap_or(u32::MAX).max(1);
        let cycle = Cycle { began: now, batches, due: now, step, spread: Duration::ZERO, unanswered: 0 };
        self.running = Some(cycle);
    }

    /// The next batch, if it is due. It counts as unanswered.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Vec<Key>> {
        let cycle = self.running.as_mut().filter(|cycle| cycle.due <= now)?;
        let batch = cycle.batches.pop_front()?;
        cycle.unanswered += 1;
        if !cycle.batches.is_empty() {
            cycle.due += cycle.step;
            cycle.spread += cycle.step;
        }
        Some(batch)
    }

    /// A batch was answered, or had nothing to ask. The times of the cycle, if that was its end.
    pub(crate) fn answered(&mut self, now: Instant, rules: &PollRules) -> Option<CycleTimes> {
        let cycle = self.running.as_mut()?;
        cycle.unanswered = cycle.unanswered.saturating_sub(1);
        if cycle.unanswered > 0 || !cycle.batches.is_empty() {
            return None;
        }
        let whole = now - cycle.began;
        let times = CycleTimes { whole, work: whole.saturating_sub(cycle.spread) };
        let began = cycle.began;
        self.running = None;
        self.interval = paced(self.interval, times.work, rules);
        self.next = (began + self.interval).max(now);
        Some(times)
    }
}

/// The next interval, after one in which the application took so long (PRO-86): twice as long if that was more than the
/// interval, three quarters if it was less than half.
fn paced(interval: Duration, work: Duration, rules: &PollRules) -> Duration {
    let Some(longest) = rules.backpressure_max_interval else { return rules.refresh_interval };
    let paced = if work > interval {
        interval * 2
    } else if work < interval / 2 {
        interval * 3 / 4
    } else {
        interval
    };
    paced.min(longest).max(rules.refresh_interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Instant {
        Instant::ZERO + Duration::from_secs_f64(seconds)
    }

    fn keys(count: usize) -> Vec<Key> {
        (0..count).map(|number| Key::from(format!("k{number:04}"))).collect()
    }

    /// When which batches are taken, if each is answered after `slow`.
    fn batches(cycles: &mut Cycles, from: f64, to: f64) -> Vec<(f64, usize)> {
        let mut taken = Vec::new();
        for tenth in 0..=((to - from) * 10.0).round() as u32 {
            let now = from + f64::from(tenth) / 10.0;
            while let Some(batch) = cycles.take(at(now)) {
                taken.push((now, batch.len()));
            }
        }
        taken
    }

    #[test]
    fn sp_07_batches_are_spread_evenly_over_the_interval() {
        let rules = PollRules::default();
        let mut cycles = Cycles::new(at(0.0), &rules);
        assert!(!cycles.begins(at(9.9)) && cycles.begins(at(10.0)));
        cycles.begin(at(10.0), &keys(2500), 1000);
        assert_eq!(batches(&mut cycles, 10.0, 20.0), [(10.0, 1000), (13.4, 1000), (16.7, 500)]);
    }

    #[test]
    fn a_cycle_ends_with_its_last_answer_and_the_next_begins_an_interval_after_its_beginning() {
        let rules = PollRules::default();
        let mut cycles = Cycles::new(at(0.0), &rules);
        cycles.begin(at(10.0), &keys(2), 1);
        assert!(cycles.take(at(10.0)).is_some() && cycles.take(at(14.9)).is_none());
        assert_eq!((cycles.answered(at(11.0), &rules), cycles.due()), (None, at(15.0)));
        assert!(cycles.take(at(15.0)).is_some());
        assert_eq!(cycles.due(), Instant::MAX);
        let times = CycleTimes { whole: Duration::from_secs(6), work: Duration::from_secs(1) };
        assert_eq!(cycles.answered(at(16.0), &rules), Some(times));
        assert_eq!(cycles.due(), at(20.0));
    }

    #[test]
    fn a_cycle_that_takes_longer_than_the_interval_is_followed_by_the_next_at_once() {
        let rules = PollRules::default();
        let mut cycles = Cycles::new(at(0.0), &rules);
        cycles.begin(at(10.0), &keys(1), 1);
        assert!(cycles.take(at(10.0)).is_some());
        assert!(cycles.answered(at(25.0), &rules).is_some());
        assert!(cycles.begins(at(25.0)));
    }

    #[test]
    fn what_sleeps_without_keys_does_not_begin_with_what_was_missed() {
        let mut cycles = Cycles::new(at(0.0), &PollRules::default());
        cycles.awake(at(3.0));
        assert_eq!(cycles.due(), at(10.0));
        cycles.awake(at(100.0));
        assert_eq!(cycles.due(), at(110.0));
        cycles.begin(at(110.0), &[], 1);
        assert_eq!(cycles.due(), at(120.0));
    }

    #[test]
    fn pro_86_the_interval_doubles_under_pressure_and_recovers() {
        let seconds = Duration::from_secs;
        let rules = PollRules { backpressure_max_interval: Some(seconds(30)), ..PollRules::default() };
        let next = |interval, work| paced(seconds(interval), seconds(work), &rules);
        assert_eq!([next(10, 11), next(20, 21), next(30, 60)], [20, 30, 30].map(seconds));
        assert_eq!([next(20, 15), next(20, 9), next(10, 0)], [20, 15, 10].map(seconds));
        assert_eq!(paced(seconds(10), seconds(100), &PollRules::default()), seconds(10));
    }
}
