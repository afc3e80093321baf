//! One channel, an application whose answers are at hand, and notes of what everybody is sent.

use std::collections::BTreeMap;
use std::time::Duration;

use tourbillon_shared_poll::{
    Applied, Ask, BackendError, Delivery, Item, PollMode, PollRules, Polled, Receives, Recipients, Refreshed,
    Sink, Track, TrackError, TrackItem, Tracked, Value, Wants,
};
use tourbillon_types::{Channel, Epoch, Instant, Now, Payload};

/// What somebody was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) who: u64,
    pub(crate) key: String,
    pub(crate) data: Payload,
    pub(crate) version: u64,
    pub(crate) removed: bool,
    pub(crate) receives: Receives,
    pub(crate) base: Option<Payload>,
}

#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) sent: Vec<Sent>,
    pub(crate) lost: Vec<u64>,
}

impl Sink<u64> for Notes {
    fn deliver(&mut self, delivery: &Delivery<'_>, to: Recipients<'_, '_, u64>) {
        let publication = delivery.publication;
        for (who, receives) in to {
            self.sent.push(Sent {
                who: *who,
                key: publication.key.as_deref().unwrap_or_default().to_owned(),
                data: publication.data.clone(),
                version: publication.version,
                removed: publication.removed,
                receives,
                base: delivery.base.cloned().filter(|_| receives == Receives::Delta),
            });
        }
    }

    fn lost(&mut self, _: &Channel, who: &u64) {
        self.lost.push(*who);
    }
}

pub(crate) struct Rig {
    pub(crate) polled: Polled<u64>,
    pub(crate) now: Now,
    pub(crate) notes: Notes,
    gate: u32,
}

pub(crate) fn versioned() -> PollRules {
    PollRules { mode: PollMode::Versioned, ..PollRules::default() }
}

pub(crate) fn value(key: &str, data: &str, version: u64) -> Value {
    Value { key: key.to_owned(), data: Payload::from(data.as_bytes().to_vec()), version, ..Value::default() }
}

impl Rig {
    pub(crate) fn new(rules: PollRules) -> Self {
        let now = Now { instant: Instant::ZERO, unix_millis: 1_700_000_000_000 };
        let polled = Polled::new(Channel::from("prices"), rules, Epoch::from("made"), now);
        Self { polled, now, notes: Notes::default(), gate: 0 }
    }

    /// Lets time pass. What is asked meanwhile is given with the second at which it is.
    pub(crate) fn pass(&mut self, time: Duration) -> Vec<(f64, Ask)> {
        let end = self.now.instant + time;
        let mut asks = Vec::new();
        loop {
            while let Some(ask) = self.next() {
                asks.push((self.seconds(), ask));
            }
            // Whoever has several channels forgets it then.
            let over = self.polled.is_over(self.now);
            let due = if over { Instant::MAX } else { self.polled.due() };
            assert!(due > self.now.instant, "there is nothing more to do at {:?}", self.now.instant);
            let then = due.min(end);
            let millis = i64::try_from((then - self.now.instant).as_millis()).unwrap();
            self.now = Now { instant: then, unix_millis: self.now.unix_millis + millis };
            if due > end {
                return asks;
            }
        }
    }

    pub(crate) fn next(&mut self) -> Option<Ask> {
        self.polled.tick(self.now);
        self.polled.ask(self.now)
    }

    pub(crate) fn seconds(&self) -> f64 {
        (self.now.instant - Instant::ZERO).as_secs_f64()
    }

    pub(crate) fn join(&mut self, who: u64) {
        self.polled.attach(who, who, Wants::default());
    }

    pub(crate) fn track_closed(
        &mut self,
        who: u64,
        items: Vec<TrackItem>,
        untrack: &[&str],
    ) -> Result<(u32, Tracked), TrackError> {
        self.gate += 1;
        let ticket = self.polled.ticket(who).unwrap_or_default();
        let untrack = untrack.iter().map(|key| (*key).to_owned()).collect();
        let track = Track { items, untrack, ..Track::new(ticket, self.gate) };
        Ok((self.gate, self.polled.track(self.now, who, &track)?))
    }

    pub(crate) fn open(&mut self, who: u64, gate: u32) {
        self.polled.open(self.now, who, gate, &mut self.notes);
    }

    pub(crate) fn track(&mut self, who: u64, items: &[(&str, u64)]) -> Tracked {
        let items = items.iter().map(|(key, version)| TrackItem::new(*key, *version)).collect();
        let (gate, tracked) = self.track_closed(who, items, &[]).unwrap();
        self.open(who, gate);
        tracked
    }

    pub(crate) fn answer(&mut self, ask: &Ask, values: Vec<Value>) -> Applied {
        self.answer_in("", ask, values)
    }

    pub(crate) fn answer_in(&mut self, epoch: &str, ask: &Ask, values: Vec<Value>) -> Applied {
        let refreshed = Refreshed { values, epoch: Epoch::from(epoch) };
        self.polled.answer(self.now, ask, Ok(refreshed), &mut self.notes)
    }

    pub(crate) fn fail(&mut self, ask: &Ask) -> Applied {
        let error = BackendError("out of order".to_owned());
        self.polled.answer(self.now, ask, Err(error), &mut self.notes)
    }

    /// What was sent since the last time, as `who key data vN`.
    pub(crate) fn sent(&mut self) -> Vec<String> {
        let sent = std::mem::take(&mut self.notes.sent);
        let mut sent: Vec<String> = sent
            .iter()
            .map(|sent| {
                let data = if sent.removed { "removed" } else { str::from_utf8(sent.data.as_ref()).unwrap() };
                format!("{} {} {data} v{}", sent.who, sent.key, sent.version)
            })
            .collect();
        sent.sort();
        sent
    }
}

/// The keys of a question with the versions that it names.
pub(crate) fn items(ask: &Ask) -> BTreeMap<String, u64> {
    ask.items().into_iter().map(|Item { key, version }| (key.to_string(), version)).collect()
}

pub(crate) fn named(items: &[(&str, u64)]) -> BTreeMap<String, u64> {
    items.iter().map(|(key, version)| ((*key).to_owned(), *version)).collect()
}
