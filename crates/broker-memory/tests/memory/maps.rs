//! Keyed channels: the suite that every store passes, and what is this one's own.

mod model;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use tourbillon_broker::conformance::{Log, MapHarness};
use tourbillon_broker::{
    BrokerEvents, EventSink, KeyMode, MapChanged, MapPage, MapPolicy, MapPublish, MapQuery, MapRemove,
    MapStore, MapStream, MapSuppressed, SharedMapStore, map_conformance_suite,
};
use tourbillon_broker_memory::{MemoryMaps, MemoryMapsStats};
use tourbillon_types::{
    Channel, ClientInfo, Clock, HistoryQuery, ManualClock, Payload, Publication, StreamPosition,
};

use crate::rig::at_once;

struct Memory {
    clock: Arc<ManualClock>,
    maps: MemoryMaps,
}

impl Memory {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(0));
        let maps = MemoryMaps::with_clock(clock.clone());
        Self { clock, maps }
    }
}

impl MapHarness for Memory {
    async fn store(&self, events: EventSink) -> SharedMapStore {
        MapStore::attach(&self.maps, events);
        Arc::new(self.maps.clone())
    }

    async fn pass(&self, duration: Duration) -> bool {
        self.clock.advance(duration);
        self.maps.expire();
        true
    }
}

map_conformance_suite!(at_once, Memory::new());

const KEY_TTL: Duration = Duration::from_secs(60);

fn recoverable() -> MapPolicy {
    MapPolicy::recoverable(KEY_TTL, MapStream::default())
}

/// A store whose time stands still.
struct Rig {
    clock: Arc<ManualClock>,
    maps: MemoryMaps,
    log: Arc<Log>,
}

impl Rig {
    fn new() -> Self {
        let Memory { clock, maps } = Memory::new();
        let log = Arc::new(Log::default());
        MapStore::attach(&maps, EventSink::new(log.clone()));
        Self { clock, maps, log }
    }

    fn publish(&self, publish: MapPublish) -> MapChanged {
        at_once(MapStore::publish(&self.maps, publish)).expect("published")
    }

    fn set(&self, channel: &str, key: &str, policy: MapPolicy) -> MapChanged {
        self.publish(value(channel, key, policy))
    }

    fn remove(&self, channel: &str, key: &str, policy: MapPolicy) -> MapChanged {
        let remove = MapRemove::new(Channel::from(channel), key, policy);
        at_once(MapStore::remove(&self.maps, remove)).expect("removed")
    }

    fn read(&self, channel: &str, query: &MapQuery, policy: MapPolicy) -> MapPage {
        at_once(MapStore::state(&self.maps, &Channel::from(channel), query, &policy)).expect("a page")
    }

    fn keys(&self, channel: &str) -> usize {
        at_once(MapStore::stats(&self.maps, &Channel::from(channel))).expect("stats").keys
    }

    fn stats(&self) -> (usize, usize, usize, usize) {
        let stats = self.maps.stats();
        (stats.channels, stats.keys, stats.changes, stats.idempotency_keys)
    }

    /// What was told of a channel: keys, and `-` before those that were removed.
    fn told(&self, channel: &str) -> Vec<String> {
        let told = |one: &Arc<Publication>| {
            let sign = if one.removed { "-" } else { "" };
            format!("{sign}{}", one.key.as_deref().unwrap_or_default())
        };
        self.log.publications(channel).iter().map(told).collect()
    }
}

fn value(channel: &str, key: &str, policy: MapPolicy) -> MapPublish {
    MapPublish::new(Channel::from(channel), key, Payload::from("{}"), policy)
}

#[test]
fn a_key_that_is_due_is_not_shown_even_before_that_is_told() {
    let rig = Rig::new();
    let policy = recoverable();
    rig.set("a", "x", policy);
    rig.clock.advance(KEY_TTL / 2);
    rig.set("a", "y", policy);
    rig.clock.advance(KEY_TTL / 2);
    let page = rig.read("a", &MapQuery::page("", 1), policy);
    let keys: Vec<_> = page.entries.iter().filter_map(|entry| entry.key.as_deref()).collect();
    assert_eq!((keys, page.cursor.as_str(), page.position.offset), (vec!["y"], "", 2));
    assert!(rig.read("a", &MapQuery::of_key("x"), policy).entries.is_empty());
    assert_eq!((rig.keys("a"), rig.told("a")), (1, vec!["x".to_owned(), "y".to_owned()]));
    rig.maps.expire();
    assert_eq!((rig.keys("a"), rig.told("a").len()), (1, 3));
}

#[test]
fn whoever_uses_a_key_that_is_due_has_its_end_told_first() {
    let rig = Rig::new();
    let policy = recoverable();
    for key in ["set", "new", "gone", "other"] {
        rig.set("a", key, policy);
    }
    rig.clock.advance(KEY_TTL);
    assert_eq!(rig.set("a", "set", policy).position.offset, 6);
    let mut new = value("a", "new", policy);
    new.options.mode = KeyMode::IfExists;
    let missing = rig.publish(new);
    assert_eq!((missing.suppressed, missing.position.offset), (Some(MapSuppressed::KeyNotFound), 7));
    let removed = rig.remove("a", "gone", policy);
    assert_eq!((removed.suppressed, removed.position.offset), (Some(MapSuppressed::KeyNotFound), 8));
    assert_eq!(rig.told("a")[4..], ["-set", "set", "-new", "-gone"]);
    rig.maps.expire();
    assert_eq!(rig.told("a")[8..], ["-other"]);
}

#[test]
fn ends_are_told_before_a_channel_ends_with_them() {
    // A channel that lasts no longer than its keys.
    let policy = MapPolicy::ephemeral(KEY_TTL);
    for reads_first in [false, true] {
        let rig = Rig::new();
        for number in 0..500 {
            rig.set("a", &number.to_string(), policy);
        }
        rig.clock.advance(KEY_TTL);
        if reads_first {
            assert!(rig.read("a", &MapQuery::default(), policy).entries.is_empty());
        } else {
            rig.maps.expire();
            assert_eq!(rig.stats(), (0, 0, 0, 0));
        }
        let told = rig.told("a");
        assert_eq!((told.len(), told.iter().filter(|told| told.starts_with('-')).count()), (1000, 500));
        assert!(rig.log.lost().is_empty());
    }
}

#[test]
fn subscribers_of_a_channel_that_ends_with_keys_are_told() {
    let rig = Rig::new();
    let policy = MapPolicy { meta_ttl: Some(KEY_TTL), ..MapPolicy::persistent(MapStream::default()) };
    rig.set("swept", "x", policy);
    rig.set("used", "x", policy);
    rig.clock.advance(KEY_TTL);
    assert!(rig.read("used", &MapQuery::default(), policy).entries.is_empty());
    rig.maps.expire();
    assert_eq!(rig.log.lost(), [Some(Channel::from("used")), Some(Channel::from("swept"))]);
}

#[test]
fn memory_is_free_when_its_time_has_come() {
    let rig = Rig::new();
    let policy = recoverable();
    for number in 0..5_000 {
        let mut publish = value(&format!("channel-{}", number % 50), &format!("key-{number}"), policy);
        publish.options.idempotency_key = number.to_string();
        rig.publish(publish);
    }
    assert_eq!(rig.stats(), (50, 5_000, 5_000, 5_000));
    rig.clock.advance(KEY_TTL);
    rig.maps.expire();
    // The ends of keys are in the streams, of which each holds a hundred.
    assert_eq!(rig.stats(), (50, 0, 5_000, 5_000));
    rig.clock.advance(Duration::from_secs(300));
    rig.maps.expire();
    assert_eq!(rig.stats(), (50, 0, 0, 0));
    rig.clock.advance(Duration::from_secs(600));
    rig.maps.expire();
    assert_eq!(rig.maps.stats(), MemoryMapsStats::default());
}

#[test]
fn reading_what_is_kept_for_ever_takes_no_memory() {
    let rig = Rig::new();
    let policy = MapPolicy::persistent(MapStream::default());
    let epoch = rig.read("a", &MapQuery::position(), policy).position.epoch;
    for number in 0..1000 {
        let channel = format!("made-up-{number}");
        rig.read(&channel, &MapQuery::default(), policy);
        let query = HistoryQuery::default();
        let page = at_once(MapStore::stream(&rig.maps, &Channel::from(channel.as_str()), &query, &policy));
        assert_eq!(
            page.expect("a page").position.epoch,
            rig.read(&channel, &MapQuery::position(), policy).position.epoch
        );
        assert_eq!(rig.remove(&channel, "x", policy).suppressed, Some(MapSuppressed::KeyNotFound));
        at_once(MapStore::clear(&rig.maps, &Channel::from(channel.as_str()))).expect("cleared");
    }
    assert_eq!(rig.stats(), (0, 0, 0, 0));
    assert!(rig.log.lost().is_empty(), "who is subscribed to what was never written to has lost nothing");
    assert_eq!(rig.set("a", "x", policy).position, StreamPosition { offset: 1, epoch });
}

#[test]
fn a_key_of_idempotency_goes_with_the_epoch() {
    let rig = Rig::new();
    let policy = recoverable();
    let mut once = value("a", "x", policy);
    once.options.idempotency_key = "once".to_owned();
    rig.publish(once.clone());
    at_once(MapStore::clear(&rig.maps, &Channel::from("a"))).expect("cleared");
    assert_eq!(rig.publish(once.clone()).suppressed, None, "its place was of an epoch that is gone");
    assert_eq!(rig.publish(once).suppressed, Some(MapSuppressed::Idempotency));
}

#[test]
fn a_channel_that_is_used_for_ever_takes_no_more_room() {
    let rig = Rig::new();
    let policy = recoverable();
    let hour = |rig: &Rig| {
        for round in 0..240 {
            for key in ["kept", "kept too"] {
                let mut beat = value("a", key, policy);
                beat.options.mode = KeyMode::IfNew;
                beat.options.refresh_ttl = true;
                rig.publish(beat);
            }
            // Set and removed again, with another end each time.
            let shorter = MapPolicy { key_ttl: Some(KEY_TTL - Duration::from_secs(round % 7)), ..policy };
            rig.set("a", "comes and goes", shorter);
            rig.remove("a", "comes and goes", policy);
            rig.clock.advance(Duration::from_secs(15));
            rig.maps.expire();
        }
    };
    let quiet = MemoryMaps::with_clock(rig.clock.clone());
    let rig = Rig { maps: quiet, ..rig };
    hour(&rig);
    let more = allocation_counter::measure(|| hour(&rig));
    assert!(more.bytes_current <= 1024, "{} bytes more", more.bytes_current);
    assert_eq!((rig.keys("a"), rig.maps.stats().keys), (2, 2));
}

#[test]
fn a_page_costs_what_is_in_it() {
    let rig = Rig::new();
    let policy = MapPolicy::persistent(MapStream::default());
    for number in 0..20_000 {
        rig.set("large", &format!("key-{number:06}"), policy);
    }
    for number in 0..20 {
        rig.set("small", &format!("key-{number:06}"), policy);
    }
    let cost = |channel: &str| {
        let query = MapQuery::page("key-000005", 10);
        let costs = allocation_counter::measure(|| {
            assert_eq!(rig.read(channel, &query, policy).entries.len(), 10);
        });
        (costs.count_total, costs.bytes_total)
    };
    assert_eq!(cost("large"), cost("small"));
    assert!(cost("large").0 <= 8, "{:?}: entries are shared, not copied", cost("large"));
    // All of it is read in stretches and comes out whole.
    let all = rig.read("large", &MapQuery::default(), policy);
    assert_eq!((all.entries.len(), all.cursor.as_str(), all.position.offset), (20_000, "", 20_000));
    let most = rig.read("large", &MapQuery::page("", 19_999), policy);
    assert_eq!((most.entries.len(), most.cursor.as_str()), (19_999, "key-019998"));
}

#[test]
fn a_key_takes_little_besides_its_data_and_holds_on_to_no_buffer() {
    const COUNT: usize = 10_000;
    let maps = MemoryMaps::with_clock(Arc::new(ManualClock::new(0)));
    let policy = MapPolicy::ephemeral(KEY_TTL);
    let frame = Payload::from(vec![b'1'; 4096]);
    let costs = allocation_counter::measure(|| {
        for number in 0..COUNT {
            let mut publish = value("a", &format!("key-{number:06}"), policy);
            publish.data = Payload::from_json(frame.bytes().slice(0..100));
            assert!(at_once(MapStore::publish(&maps, publish)).is_ok());
        }
    });
    let each = (costs.bytes_current as f64 - (COUNT * 110) as f64) / COUNT as f64;
    assert!(each <= 400.0, "{each} bytes for each key besides its name and its value");
    assert!(frame.bytes().is_unique(), "the frame is held on to");
}

#[tokio::test(start_paused = true)]
async fn running_ends_keys_by_itself_and_ends_when_told() {
    /// The runtime's time, which stands still unless there is nothing else to do.
    #[derive(Debug)]
    struct Paused(tokio::time::Instant);

    impl Clock for Paused {
        fn now(&self) -> tourbillon_types::Now {
            let nanos = u64::try_from(self.0.elapsed().as_nanos()).expect("not that long");
            let instant = tourbillon_types::Instant::from_nanos(nanos);
            tourbillon_types::Now { instant, unix_millis: 0 }
        }
    }

    let log = Arc::new(Log::default());
    let maps = MemoryMaps::with_clock(Arc::new(Paused(tokio::time::Instant::now())));
    MapStore::attach(&maps, EventSink::new(log.clone()));
    MapStore::publish(&maps, value("a", "x", recoverable())).await.expect("published");
    let stop = Box::pin(tokio::time::sleep(KEY_TTL + Duration::from_secs(2)));
    MapStore::run(&maps, stop).await.expect("an orderly end");
    assert_eq!(maps.stats().keys, 0);
    assert!(log.publications("a").last().is_some_and(|last| last.removed && last.offset == 2));
}

/// Notes the offsets that arrive, slowly.
#[derive(Default)]
struct Ear(Mutex<Vec<u64>>);

impl BrokerEvents for Ear {
    fn publication(&self, _: &Channel, publication: Arc<Publication>) {
        self.0.lock().push(publication.offset);
        // Whoever comes between this and the next one would show it.
        thread::yield_now();
    }

    fn join(&self, _: &Channel, _: Arc<ClientInfo>) {}
    fn leave(&self, _: &Channel, _: Arc<ClientInfo>) {}
    fn position_lost(&self, _: Option<&Channel>) {}
}

#[test]
fn changes_ends_and_removals_of_many_threads_have_one_order() {
    let ear = Arc::new(Ear::default());
    let clock = Arc::new(ManualClock::new(0));
    let maps = MemoryMaps::with_clock(clock.clone());
    MapStore::attach(&maps, EventSink::new(ear.clone()));
    let policy = MapPolicy { key_ttl: Some(Duration::from_secs(3)), ..recoverable() };
    thread::scope(|scope| {
        for thread in 0..4 {
            let maps = &maps;
            scope.spawn(move || {
                for round in 0..500 {
                    let key = format!("{}", (thread + round) % 7);
                    if round % 5 == 4 {
                        let remove = MapRemove::new(Channel::from("a"), key, policy);
                        at_once(MapStore::remove(maps, remove)).expect("removed");
                    } else {
                        at_once(MapStore::publish(maps, value("a", &key, policy))).expect("published");
                    }
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..500 {
                clock.advance(Duration::from_secs(1));
                maps.expire();
            }
        });
        scope.spawn(|| {
            for _ in 0..500 {
                let told = ear.0.lock().last().copied().unwrap_or_default();
                let page =
                    at_once(MapStore::state(&maps, &Channel::from("a"), &MapQuery::default(), &policy));
                assert!(page.expect("a page").position.offset >= told);
            }
        });
    });
    let arrived = ear.0.lock();
    assert_eq!(*arrived, (1..=arrived.len() as u64).collect::<Vec<_>>());
}
