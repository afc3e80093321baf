//! The store against a model of it that is too simple to be wrong.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tourbillon_types::Epoch;

use super::*;

/// One thing that happens to a channel.
#[derive(Clone, Debug)]
enum Step {
    Set { key: u8, ttl: u64, version: u64, mode: u8, refresh: bool, expected: Option<u64>, once: u8 },
    Remove { key: u8, expected: Option<u64>, once: u8 },
    Pass { seconds: u64, swept: bool },
    Read { limit: usize },
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..6_u8;
    let expected = prop_oneof![3 => Just(None), 1 => (0..12_u64).prop_map(Some)];
    let once = prop_oneof![3 => Just(0), 1 => 1..4_u8];
    let version = prop_oneof![2 => Just(0), 1 => 1..5_u64];
    let set = (key.clone(), 1..20_u64, version, 0..5_u8, any::<bool>(), expected.clone(), once.clone());
    let set = set.prop_map(|(key, ttl, version, mode, refresh, expected, once)| Step::Set {
        key,
        ttl,
        version,
        mode,
        refresh,
        expected,
        once,
    });
    let remove = (key, expected, once).prop_map(|(key, expected, once)| Step::Remove { key, expected, once });
    let pass = (0..8_u64, any::<bool>()).prop_map(|(seconds, swept)| Step::Pass { seconds, swept });
    let read = (1..4_usize).prop_map(|limit| Step::Read { limit });
    proptest::collection::vec(
        prop_oneof![6 => set, 2 => remove, 3 => pass, 2 => read, 1 => Just(Step::Clear)],
        1..80,
    )
}

/// A key's offset, end and version.
type Entry = (u64, u64, u64);

/// What a channel is, with whole seconds, and all of it looked at for everything.
#[derive(Debug, Default)]
struct Model {
    now: u64,
    top: u64,
    state: BTreeMap<u8, Entry>,
    /// Where each key of idempotency was used, and when.
    used: BTreeMap<u8, (u64, u64)>,
    /// Changes, negative where a key ended, in their order.
    changes: Vec<i16>,
}

impl Model {
    fn end(&mut self, key: u8) {
        if self.state.get(&key).is_some_and(|(_, end, _)| *end <= self.now) {
            self.drop(key);
        }
    }

    fn drop(&mut self, key: u8) {
        self.state.remove(&key);
        self.top += 1;
        self.changes.push(-i16::from(key) - 1);
    }

    fn once(&self, once: u8) -> Option<u64> {
        let (offset, since) = self.used.get(&once)?;
        (self.now < since + 300).then_some(*offset)
    }

    fn use_once(&mut self, once: u8) {
        if once != 0 {
            self.used.insert(once, (self.top, self.now));
        }
    }

    fn live(&self) -> Vec<u8> {
        self.state.iter().filter(|(_, (_, end, _))| *end > self.now).map(|(key, _)| *key).collect()
    }

    /// What a step comes to: why it was suppressed, and the offset that is told.
    fn step(&mut self, step: &Step) -> (Option<MapSuppressed>, u64) {
        match *step {
            Step::Set { once, .. } | Step::Remove { once, .. } if self.once(once).is_some() => {
                (Some(MapSuppressed::Idempotency), self.once(once).unwrap_or_default())
            }
            Step::Set { key, ttl, version, mode, refresh, expected, once } => {
                self.end(key);
                let before = self.state.get(&key).copied();
                let suppressed = match before {
                    Some((.., known)) if version != 0 && version <= known => Some(MapSuppressed::Version),
                    Some(_) if mode == 1 => Some(MapSuppressed::KeyExists),
                    None if mode == 2 => Some(MapSuppressed::KeyNotFound),
                    before => expected
                        .filter(|expected| before.is_none_or(|(offset, ..)| offset != *expected))
                        .map(|_| MapSuppressed::PositionMismatch),
                };
                if let (Some(MapSuppressed::KeyExists), true, Some(before)) =
                    (suppressed, refresh, self.state.get_mut(&key))
                {
                    before.1 = self.now + ttl;
                }
                if suppressed.is_none() {
                    self.top += 1;
                    let known = before.map_or(0, |(.., known)| known);
                    let version = if version == 0 { known } else { version };
                    self.state.insert(key, (self.top, self.now + ttl, version));
                    self.changes.push(i16::from(key) + 1);
                    self.use_once(once);
                }
                (suppressed, self.top)
            }
            Step::Remove { key, expected, once } => {
                self.end(key);
                let suppressed = match (self.state.get(&key), expected) {
                    (None, _) => Some(MapSuppressed::KeyNotFound),
                    (Some((offset, ..)), Some(expected)) if *offset != expected => {
                        Some(MapSuppressed::PositionMismatch)
                    }
                    _ => None,
                };
                if suppressed.is_none() {
                    self.drop(key);
                    self.use_once(once);
                }
                (suppressed, self.top)
            }
            Step::Pass { seconds, swept } => {
                self.now += seconds;
                if swept {
                    // The order of those that end together is anybody's, so it is not compared.
                    for key in 0..=u8::MAX {
                        self.end(key);
                    }
                }
                (None, 0)
            }
            Step::Read { .. } => (None, 0),
            Step::Clear => {
                *self = Self { now: self.now, ..Self::default() };
                (None, 0)
            }
        }
    }
}

/// What the store makes of a step.
fn step(rig: &Rig, step: &Step, epoch: &Epoch) -> (Option<MapSuppressed>, u64) {
    let policy = recoverable();
    let at = |offset: Option<u64>| offset.map(|offset| StreamPosition { offset, epoch: epoch.clone() });
    let word = |once: u8| if once == 0 { String::new() } else { once.to_string() };
    match *step {
        Step::Set { key, ttl, version, mode, refresh, expected, once } => {
            let policy = MapPolicy { key_ttl: Some(Duration::from_secs(ttl)), ..policy };
            let mut publish = value("a", &key.to_string(), policy);
            publish.options.idempotency_key = word(once);
            publish.options.version = version;
            publish.options.mode = match mode {
                1 => KeyMode::IfNew,
                2 => KeyMode::IfExists,
                _ => KeyMode::Replace,
            };
            publish.options.refresh_ttl = refresh;
            publish.options.expected = at(expected);
            let MapChanged { suppressed, position } = rig.publish(publish);
            (suppressed, position.offset)
        }
        Step::Remove { key, expected, once } => {
            let mut remove = MapRemove::new(Channel::from("a"), key.to_string(), policy);
            remove.idempotency_key = word(once);
            remove.expected = at(expected);
            let MapChanged { suppressed, position } =
                at_once(MapStore::remove(&rig.maps, remove)).expect("removed");
            (suppressed, position.offset)
        }
        Step::Pass { seconds, swept } => {
            rig.clock.advance(Duration::from_secs(seconds));
            if swept {
                rig.maps.expire();
            }
            (None, 0)
        }
        Step::Read { .. } => (None, 0),
        Step::Clear => {
            at_once(MapStore::clear(&rig.maps, &Channel::from("a"))).expect("cleared");
            (None, 0)
        }
    }
}

/// All keys, read in pages of this size.
fn pages(rig: &Rig, limit: usize) -> Vec<(u8, u64)> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = rig.read("a", &MapQuery::page(cursor, limit), recoverable());
        assert!(page.entries.len() <= limit);
        let entry = |one: &Arc<Publication>| {
            (one.key.as_deref().unwrap_or_default().parse().expect("a number"), one.offset)
        };
        all.extend(page.entries.iter().map(entry));
        if page.cursor.is_empty() {
            return all;
        }
        cursor = page.cursor;
    }
}

proptest! {
    #[test]
    fn the_store_does_what_its_model_does(steps in steps()) {
        let rig = Rig::new();
        let mut model = Model::default();
        let mut begun = 0;
        for step in &steps {
            let position = rig.read("a", &MapQuery::position(), recoverable()).position;
            prop_assert_eq!(position.offset, model.top);
            let expected = model.step(step);
            prop_assert_eq!(self::step(&rig, step, &position.epoch), expected, "{:?}", step);
            if let Step::Clear = step {
                begun = rig.log.len();
            }
            let live: Vec<_> = model.live().into_iter().map(|key| (key, model.state[&key].0)).collect();
            prop_assert_eq!(rig.keys("a"), live.len());
            if let Step::Read { limit } = step {
                prop_assert_eq!(pages(&rig, *limit), live);
            }
        }
        let told = rig.log.publications("a");
        let told = told.get(begun..).unwrap_or_default();
        let offsets: Vec<_> = told.iter().map(|one| one.offset).collect();
        prop_assert_eq!(offsets, (1..=model.top).collect::<Vec<_>>());
        let number = |one: &Arc<Publication>| {
            let key: i16 = one.key.as_deref().unwrap_or_default().parse().expect("a number");
            if one.removed { -key - 1 } else { key + 1 }
        };
        let mut told: Vec<_> = told.iter().map(number).collect();
        told.sort_unstable();
        model.changes.sort_unstable();
        prop_assert_eq!(told, model.changes);
    }
}
