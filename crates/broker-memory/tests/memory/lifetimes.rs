//! What the engine keeps, for how long, and when the memory is free again.

use std::sync::Arc;
use std::time::Duration;

use tourbillon_broker::{Broker, HistoryQuery};
use tourbillon_broker_memory::MemoryEngine;
use tourbillon_types::{Channel, Clock, ManualClock, SystemClock};

use crate::rig::{META_TTL, Rig, TTL, at_once, kept};

#[test]
fn epochs_are_eight_letters_and_every_stream_has_its_own() {
    let rig = Rig::new();
    let first = rig.keep("a").position.epoch;
    let second = rig.keep("b").position.epoch;
    assert_ne!(first, second);
    for epoch in [first, second] {
        assert!(
            epoch.as_str().len() == 8 && epoch.as_str().bytes().all(|letter| letter.is_ascii_alphabetic())
        );
    }
    assert_ne!(Rig::new().keep("a").position.epoch, rig.keep("a").position.epoch, "a restart begins anew");
}

#[test]
fn reading_makes_the_epoch_that_publishing_goes_on_with() {
    let rig = Rig::new();
    let before = rig.read("a", &HistoryQuery::position()).position;
    assert_eq!(before.offset, 0);
    assert!(!before.epoch.is_unknown());
    let published = rig.keep("a").position;
    assert_eq!((published.offset, published.epoch), (1, before.epoch));
}

#[test]
fn being_read_prolongs_the_life_of_a_position() {
    let rig = Rig::new();
    let epoch = rig.keep("a").position.epoch;
    for _ in 0..5 {
        rig.clock.advance(META_TTL * 3 / 4);
        rig.memory.expire();
        assert_eq!(rig.read("a", &HistoryQuery::position()).position.epoch, epoch);
    }
    rig.clock.advance(META_TTL);
    assert_ne!(rig.read("a", &HistoryQuery::position()).position.epoch, epoch, "no later than due");
}

#[test]
fn memory_is_free_when_its_time_has_come() {
    let rig = Rig::new();
    for number in 0..10_000 {
        let mut publish = kept(&format!("channel-{number}"));
        "key".clone_into(&mut publish.options.idempotency_key);
        rig.publish(publish);
    }
    let stats = rig.memory.stats();
    assert_eq!((stats.streams, stats.publications, stats.keys), (10_000, 10_000, 10_000));
    rig.clock.advance(TTL / 2);
    rig.keep("channel-7");
    rig.clock.advance(TTL / 2);
    rig.memory.expire();
    let stats = rig.memory.stats();
    assert_eq!((stats.streams, stats.publications, stats.keys), (10_000, 2, 10_000), "one was used since");
    rig.clock.advance(TTL / 2);
    rig.memory.expire();
    assert_eq!(rig.memory.stats().publications, 0);
    rig.clock.advance(Duration::from_secs(300));
    rig.memory.expire();
    assert_eq!(rig.memory.stats().keys, 0);
    rig.clock.advance(META_TTL);
    rig.memory.expire();
    assert_eq!(rig.memory.stats(), tourbillon_broker_memory::MemoryStats::default());
}

#[test]
fn a_stream_that_is_used_for_ever_takes_no_more_room() {
    let rig = Rig::new();
    let hour = |rig: &Rig| {
        for _ in 0..120 {
            rig.keep("a");
            rig.clock.advance(Duration::from_secs(30));
            rig.memory.expire();
            rig.clock.advance(TTL);
            rig.memory.expire();
        }
    };
    hour(&rig);
    let more = allocation_counter::measure(|| hour(&rig));
    assert!(more.bytes_current <= 512, "{} bytes more", more.bytes_current);
    assert_eq!(rig.memory.stats().streams, 1);
}

#[tokio::test(start_paused = true)]
async fn running_frees_memory_by_itself_and_ends_when_told() {
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

    let engine = MemoryEngine::with_clock(Arc::new(Paused(tokio::time::Instant::now())));
    Broker::publish(&engine, kept("a")).await.expect("published");
    let stop = Box::pin(tokio::time::sleep(TTL + Duration::from_secs(2)));
    engine.run(stop).await.expect("an orderly end");
    assert_eq!((engine.stats().streams, engine.stats().publications), (1, 0));
}

#[test]
fn publications_have_their_time_and_no_more_than_their_own_bytes() {
    let rig = Rig::new();
    rig.clock.advance(Duration::from_millis(234));
    let frame = tourbillon_types::Payload::from(vec![b'1'; 4096]);
    let mut publish = kept("a");
    publish.data = tourbillon_types::Payload::from_json(frame.bytes().slice(7..9));
    rig.publish(publish);
    let page = rig.read("a", &HistoryQuery::default());
    let read = page.publications.first().expect("a publication");
    assert_eq!((read.time, read.data.as_ref(), read.data.is_known_json()), (1_234, b"11".as_slice(), true));
    assert!(frame.bytes().is_unique(), "the frame is not held on to");
}

#[test]
fn a_policy_can_change_at_any_time() {
    let rig = Rig::new();
    for _ in 0..5 {
        rig.keep("a");
    }
    let mut smaller = kept("a");
    smaller.options.history =
        Some(tourbillon_broker::HistoryPolicy { size: 2, ttl: TTL / 10, meta_ttl: META_TTL });
    rig.publish(smaller);
    assert_eq!(rig.read("a", &HistoryQuery::default()).publications.len(), 2);
    rig.clock.advance(TTL / 10);
    assert!(rig.read("a", &HistoryQuery::default()).publications.is_empty());
}

#[test]
fn clocks_of_the_system_do_as_well() {
    let engine = MemoryEngine::with_clock(Arc::new(SystemClock::new()));
    let published = at_once(Broker::publish(&engine, kept("a"))).expect("published");
    assert_eq!(published.position.offset, 1);
    let clock = ManualClock::new(0);
    assert_eq!(clock.now().unix_millis, 0);
    let removed = at_once(tourbillon_broker::History::remove_history(&engine, &Channel::from("a")));
    assert!(removed.is_ok());
}
