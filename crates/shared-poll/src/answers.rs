//! What the application knows: answers to questions, and values that are published.

use tourbillon_types::{Now, Payload};

use crate::cycle::CycleTimes;
use crate::keys::{Base, Sink, value};
use crate::polled::{Ask, Asked, Polled, Trigger};
use crate::{BackendError, Key, PollMode, Refreshed, Update, Value};

/// What became of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// How many values changed.
    pub changed: usize,
    /// How many did not.
    pub unchanged: usize,
    /// How many keys are no more.
    pub removed: usize,
    /// The answer was the last one of a cycle, which took so long.
    pub cycle: Option<CycleTimes>,
}

/// What became of a published value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// It is the key's value now.
    Applied,
    /// A value with this version or a later one is known.
    Stale,
    /// Nobody tracks the key here.
    Untracked,
}

impl<S: Clone> Polled<S> {
    /// Takes the answer to a question. What changed is sent to whoever tracks it.
    pub fn answer(
        &mut self,
        now: Now,
        ask: &Ask,
        answer: Result<Refreshed, BackendError>,
        sink: &mut dyn Sink<S>,
    ) -> Applied {
        self.unanswered = self.unanswered.saturating_sub(1);
        let failed = answer.is_err();
        for asked in &ask.asked {
            if let Some(entry) = self.keys.get_mut(&asked.key).filter(|entry| entry.serial == asked.serial) {
                entry.asked = false;
            }
        }
        let mut applied =
            answer.map_or_else(|_| Applied::default(), |answer| self.apply(now, ask, answer, sink));
        if !failed {
            self.ask_again(now, ask);
        }
        if ask.trigger() == Trigger::Timer {
            applied.cycle = self.cycles.answered(now.instant, &self.rules);
        }
        applied
    }

    /// Somebody came for the value while it was asked whether it changed: that answer was none for them.
    fn ask_again(&mut self, now: Now, ask: &Ask) {
        for asked in ask.asked.iter().filter(|asked| asked.version > 0) {
            let same = self.keys.get(&asked.key).filter(|entry| entry.serial == asked.serial);
            if same.is_some_and(|entry| entry.wanted) {
                self.heat(now, &asked.key);
            }
        }
    }

    fn apply(&mut self, now: Now, ask: &Ask, answer: Refreshed, sink: &mut dyn Sink<S>) -> Applied {
        let mut applied = Applied::default();
        if self.rules.mode == PollMode::Versioned && self.flip(now, &answer.epoch, sink) {
            return applied;
        }
        let mut asked: Vec<&Asked> = ask.asked.iter().collect();
        asked.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        for value in answer.values {
            let found = asked.binary_search_by(|asked| (*asked.key).cmp(value.key.as_str()));
            let Some(asked) = found.ok().and_then(|at| asked.get(at)) else { continue };
            if self.keys.get(&asked.key).is_none_or(|entry| entry.serial != asked.serial) {
                continue;
            }
            if value.removed {
                applied.removed += 1;
                if let Some(entry) = self.forget(&asked.key) {
                    entry.remove(&self.channel, &asked.key, sink);
                }
                continue;
            }
            let changed = match self.rules.mode {
                PollMode::Versionless => self.apply_unversioned(&asked.key, value.data, sink),
                PollMode::Versioned => self.apply_versioned(asked, value, sink),
            };
            *if changed { &mut applied.changed } else { &mut applied.unchanged } += 1;
        }
        applied
    }

    /// `true`: the value is another than the one before (SP-09).
    fn apply_unversioned(&mut self, key: &Key, data: Payload, sink: &mut dyn Sink<S>) -> bool {
        let print = self.print(data.as_ref());
        let Some(entry) = self.keys.get_mut(key) else { return false };
        let wanted = std::mem::take(&mut entry.wanted);
        let same = match &entry.data {
            Some(kept) => *kept == data,
            None => entry.version > 0 && entry.print == print,
        };
        if same {
            if wanted {
                entry.deliver(&self.channel, &value(key, data, entry.version), None, sink);
            }
            return false;
        }
        self.versions += 1;
        entry.print = print;
        self.change(key, data, self.versions, None, sink);
        true
    }

    /// `true`: the version is above the one before (SP-10).
    fn apply_versioned(&mut self, asked: &Asked, found: Value, sink: &mut dyn Sink<S>) -> bool {
        let Some(entry) = self.keys.get_mut(&asked.key) else { return false };
        let Value { data, version, prev_data, .. } = found;
        if version > entry.version {
            // What the application tells of before is what it was asked about, which may not be known by its version.
            let told = (asked.version > 0 && !prev_data.is_empty())
                .then_some(Base { version: asked.version, data: prev_data });
            entry.wanted = false;
            self.change(&asked.key, data, version, told, sink);
            return true;
        }
        if entry.wanted && version > 0 && version == entry.version {
            // What is behind a value that was published meanwhile is not sent for it: it is asked for again.
            entry.wanted = false;
            entry.deliver(&self.channel, &value(&asked.key, data, version), None, sink);
        }
        false
    }

    /// A key has another value.
    fn change(&mut self, key: &Key, data: Payload, version: u64, told: Option<Base>, sink: &mut dyn Sink<S>) {
        let keep = self.rules.keep_latest_data;
        let Some(entry) = self.keys.get_mut(key) else { return };
        let base = if keep { entry.base() } else { told };
        if keep {
            // Not to hold the whole answer in memory for one value of it.
            entry.data = Some(data.detached());
        }
        entry.version = version;
        entry.deliver(&self.channel, &value(key, data, version), base.as_ref(), sink);
    }

    /// Takes a value that was published. Only where versions are the application's own; elsewhere nobody publishes.
    pub fn publish(&mut self, now: Now, update: Update, sink: &mut dyn Sink<S>) -> Published {
        let Update { key, version, epoch, data } = update;
        if self.rules.mode != PollMode::Versioned || self.flip(now, &epoch, sink) {
            return Published::Untracked;
        }
        let Some((key, entry)) = self.keys.get_key_value(key.as_str()) else { return Published::Untracked };
        if version <= entry.version {
            return Published::Stale;
        }
        let key = key.clone();
        self.change(&key, data, version, None, sink);
        if let Some(entry) = self.keys.get_mut(&key) {
            entry.fresh = true;
            entry.wanted = false;
        }
        Published::Applied
    }
}
