//! What holds whatever happens: clients that come and go, an application that is slow, fails and changes its mind.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use proptest::prelude::*;
use tourbillon_shared_poll::{Ask, PollMode, PollRules, TrackItem, Update, Value, Wants};
use tourbillon_types::{Epoch, Payload};

use crate::rig::Rig;

const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];
const CLIENTS: u64 = 4;

#[derive(Clone, Debug)]
enum Op {
    Join(u64, bool),
    Leave(u64),
    /// Tracks keys by its own versions. The reply is queued at once, or later.
    Track(u64, Vec<usize>, bool),
    Reply,
    Untrack(u64, Vec<usize>),
    /// The application has another value, and perhaps publishes it.
    Change(usize, bool),
    Pass(u64),
    /// One of the questions is answered: with all values, with those that changed, or not at all.
    Answer(usize, Answer),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    All,
    Changed,
    Error,
}

fn op() -> impl Strategy<Value = Op> {
    let who = 0..CLIENTS;
    let keys = || prop::collection::vec(0..KEYS.len(), 1..4);
    let answer = prop_oneof![Just(Answer::All), Just(Answer::Changed), Just(Answer::Error)];
    prop_oneof![
        2 => (who.clone(), any::<bool>()).prop_map(|(who, delta)| Op::Join(who, delta)),
        1 => who.clone().prop_map(Op::Leave),
        4 => (who.clone(), keys(), any::<bool>()).prop_map(|(who, keys, late)| Op::Track(who, keys, late)),
        1 => Just(Op::Reply),
        2 => (who, keys()).prop_map(|(who, keys)| Op::Untrack(who, keys)),
        3 => (0..KEYS.len(), any::<bool>()).prop_map(|(key, publish)| Op::Change(key, publish)),
        3 => (0..12_000_u64).prop_map(Op::Pass),
        5 => (0..4_usize, answer).prop_map(|(at, answer)| Op::Answer(at, answer)),
    ]
}

/// What one client has, and what it may be sent.
#[derive(Default)]
struct Client {
    /// Versions and data of tracked keys.
    has: BTreeMap<String, (u64, Payload)>,
    /// What waits for its reply.
    closed: Vec<(u32, Vec<String>)>,
}

struct World {
    rig: Rig,
    versioned: bool,
    /// The application's values with their versions.
    truth: BTreeMap<String, (u64, Payload)>,
    clients: BTreeMap<u64, Client>,
    asks: Vec<Ask>,
}

impl World {
    fn new(rules: PollRules) -> Self {
        let versioned = rules.mode == PollMode::Versioned;
        let truth = KEYS.iter().map(|key| ((*key).to_owned(), (1, data(key, 1)))).collect();
        Self { rig: Rig::new(rules), versioned, truth, clients: BTreeMap::new(), asks: Vec::new() }
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Join(who, delta) => {
                self.rig.polled.attach(who, who, Wants { delta, ..Wants::default() });
                self.clients.insert(who, Client::default());
            }
            Op::Leave(who) => {
                self.rig.polled.detach(self.rig.now, who);
                self.clients.remove(&who);
            }
            Op::Track(who, keys, late) => self.track(who, &keys, late),
            Op::Reply => self.reply(),
            Op::Untrack(who, keys) => {
                let keys: Vec<String> = keys.iter().map(|key| KEYS[*key].to_owned()).collect();
                self.rig.polled.untrack(who, &keys);
                if let Some(client) = self.clients.get_mut(&who) {
                    client.has.retain(|key, _| !keys.contains(key));
                }
            }
            Op::Change(key, publish) => self.change(KEYS[key], publish),
            Op::Pass(millis) => {
                let asks = self.rig.pass(Duration::from_millis(millis));
                self.asks.extend(asks.into_iter().map(|(_, ask)| ask));
            }
            Op::Answer(at, answer) if at < self.asks.len() => self.answer(at, answer),
            Op::Answer(..) => {}
        }
        self.look();
    }

    fn track(&mut self, who: u64, keys: &[usize], late: bool) {
        let Some(client) = self.clients.get_mut(&who) else { return };
        let has = |key: &str| client.has.get(key).map_or(0, |(version, _)| *version);
        let items: Vec<_> = keys.iter().map(|key| TrackItem::new(KEYS[*key], has(KEYS[*key]))).collect();
        let names: Vec<String> = items.iter().map(|item| item.key.clone()).collect();
        let (gate, tracked) = self.rig.track_closed(who, items, &[]).unwrap();
        for key in &names {
            client.has.entry(key.clone()).or_default();
        }
        for item in tracked.items {
            client.has.insert(item.key.as_deref().unwrap().to_owned(), (item.version, item.data.clone()));
        }
        client.closed.push((gate, names));
        if !late {
            self.reply();
        }
    }

    /// All replies are queued.
    fn reply(&mut self) {
        for (who, client) in &mut self.clients {
            for (gate, _) in client.closed.drain(..) {
                self.rig.polled.open(self.rig.now, *who, gate, &mut self.rig.notes);
            }
        }
    }

    fn change(&mut self, key: &str, publish: bool) {
        let (version, value) = self.truth.get_mut(key).unwrap();
        *version += 1;
        *value = data(key, *version);
        if publish && self.versioned {
            let update =
                Update { key: key.to_owned(), version: *version, epoch: Epoch::UNKNOWN, data: value.clone() };
            self.rig.polled.publish(self.rig.now, update, &mut self.rig.notes);
        }
    }

    fn answer(&mut self, at: usize, answer: Answer) {
        let ask = self.asks.swap_remove(at);
        if answer == Answer::Error {
            self.rig.fail(&ask);
            return;
        }
        let values = ask.items().into_iter().filter_map(|item| {
            let (version, data) = self.truth.get(&*item.key)?.clone();
            let version = if self.versioned { version } else { 0 };
            let told = answer == Answer::All || version > item.version || version == 0;
            let prev_data =
                if item.version > 0 { self::data(&item.key, item.version) } else { Payload::empty() };
            told.then(|| Value { version, prev_data, ..Value::new(&*item.key, data) })
        });
        let values = values.collect();
        self.rig.answer(&ask, values);
    }

    /// Looks at what was sent and asked.
    fn look(&mut self) {
        while let Some(ask) = self.rig.next() {
            self.asks.push(ask);
        }
        let mut asked = HashSet::new();
        for ask in &self.asks {
            let items = ask.items();
            assert!(items.len() <= self.rig.polled.rules().refresh_batch_size && !items.is_empty());
            let serial: HashSet<_> = items.iter().map(|item| item.key.clone()).collect();
            assert_eq!(serial.len(), items.len(), "a key is asked about once in a question");
            asked.extend(serial);
        }
        for sent in std::mem::take(&mut self.rig.notes.sent) {
            let client = self.clients.get_mut(&sent.who).expect("it is there");
            let closed = client.closed.iter().any(|(_, keys)| keys.contains(&sent.key));
            assert!(!closed, "nothing of {} before the reply", sent.key);
            let (version, data) = client.has.get_mut(&sent.key).expect("it tracks the key");
            assert!(sent.version > *version, "version {} after {version}", sent.version);
            if let Some(base) = &sent.base {
                assert_eq!(base, data, "a delta is against what the client has");
            }
            (*version, *data) = (sent.version, sent.data);
        }
    }

    /// The application answers from now on, and nothing changes.
    fn settle(&mut self) {
        self.run(Op::Reply);
        for _ in 0..4 {
            while !self.asks.is_empty() {
                self.run(Op::Answer(0, Answer::Changed));
            }
            self.run(Op::Pass(10_000));
        }
        for (who, client) in &self.clients {
            for (key, (_, data)) in &client.has {
                assert_eq!(data, &self.truth[key].1, "client {who}, key {key}");
            }
        }
        for who in 0..CLIENTS {
            self.run(Op::Leave(who));
        }
        while !self.asks.is_empty() {
            self.run(Op::Answer(0, Answer::All));
        }
        assert!(self.rig.polled.is_empty());
        self.rig.now.instant += Duration::from_secs(1);
        assert!(self.rig.polled.is_over(self.rig.now));
    }
}

fn data(key: &str, version: u64) -> Payload {
    // A value comes back now and then.
    Payload::from(format!("{key}{}", version % 4).into_bytes())
}

proptest! {
    #[test]
    fn everybody_ends_up_with_what_the_application_has(
        ops in prop::collection::vec(op(), 1..80),
        versioned: bool,
        keep_latest_data: bool,
        refresh_batch_size in 1..4_usize,
    ) {
        let mode = if versioned { PollMode::Versioned } else { PollMode::Versionless };
        let rules = PollRules { mode, keep_latest_data, refresh_batch_size, ..PollRules::default() };
        let mut world = World::new(rules);
        for op in ops {
            world.run(op);
        }
        world.settle();
    }
}
