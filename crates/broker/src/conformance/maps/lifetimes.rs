//! How long keyed channels keep what they hold.

use std::time::Duration;

use tourbillon_types::{Channel, HistoryQuery, KeyMode, MapPolicy, MapQuery, StreamPosition};

use super::{Bench, MapHarness, tag, tags, told};
use crate::{MapPublish, MapSuppressed};

impl<H: MapHarness> Bench<H> {
    /// A value for so many units.
    fn lasting(&self, key: &str, data: &str, units: u32) -> MapPublish {
        let policy = MapPolicy { key_ttl: Some(self.unit * units), ..self.policy() };
        MapPublish { policy, ..self.value(key, data) }
    }
}

/// Keys that were not set again for their time are gone, and each is told as a removal with an offset of its own and
/// the tags of its entry; the stream has it, too.
pub async fn map_keys_end_in_time(harness: impl MapHarness) {
    let bench = Bench::new(harness).await;
    for key in ["x", "y", "z"] {
        let mut publish = bench.lasting(key, "1", 2);
        publish.options.tags = tags(key);
        bench.publish(publish).await;
    }
    let epoch = bench.publish(bench.lasting("long", "1", 60)).await.position.epoch;
    if !bench.pass(1).await {
        return;
    }
    assert_eq!(bench.state().await.len(), 4, "not before their time");
    assert!(bench.pass(3).await);
    assert_eq!(bench.state().await, ["long=1"]);
    bench.arrived(7).await;
    let delivered = bench.log.publications("a");
    let mut ended: Vec<_> = delivered.iter().skip(4).map(|one| told(one)).collect();
    ended.sort();
    assert_eq!(ended, ["-x", "-y", "-z"]);
    for (offset, removal) in (5..).zip(delivered.iter().skip(4)) {
        assert_eq!((removal.offset, &removal.epoch), (offset, &epoch));
        assert_eq!(tag(removal), removal.key.as_deref());
    }
    let since = HistoryQuery::since(StreamPosition { offset: 4, epoch: epoch.clone() });
    let stream: Vec<_> = bench.changes(&since).await.publications.iter().map(|one| told(one)).collect();
    assert_eq!(stream, delivered.iter().skip(4).map(|one| told(one)).collect::<Vec<_>>());
    assert_eq!(bench.position().await, StreamPosition { offset: 7, epoch });
    // Without a stream it is told just so.
    let policy = MapPolicy::ephemeral(bench.unit * 2);
    bench.publish(MapPublish { channel: "b".into(), policy, ..bench.value("x", "1") }).await;
    assert!(bench.pass(4).await);
    bench.harness.until(|| bench.log.publications("b").len() >= 2).await;
    let told: Vec<_> = bench.log.publications("b").iter().map(|one| (one.offset, told(one))).collect();
    assert_eq!(told, [(0, "x=1".to_owned()), (0, "-x".to_owned())]);
}

/// A key that is set again lives on from there, as long as was said then.
pub async fn map_setting_prolongs(harness: impl MapHarness) {
    let bench = Bench::new(harness).await;
    bench.publish(bench.lasting("x", "1", 3)).await;
    bench.publish(bench.lasting("y", "1", 60)).await;
    if !bench.pass(2).await {
        return;
    }
    bench.publish(bench.lasting("x", "2", 3)).await;
    bench.publish(bench.lasting("y", "2", 1)).await;
    assert!(bench.pass(2).await);
    assert_eq!(bench.state().await, ["x=2"]);
    assert!(bench.pass(3).await);
    assert!(bench.state().await.is_empty());
    assert_eq!(bench.told(6).await[4..], ["5:-y", "6:-x"]);
}

/// A key that is there already, and is to be set only if it is new, can be made to live on, without anybody being told
/// (MAP-33).
pub async fn map_refreshing_prolongs(harness: impl MapHarness) {
    let bench = Bench::new(harness).await;
    let beat = |key: &str, refresh_ttl: bool| {
        let mut publish = bench.lasting(key, "1", 4);
        publish.options.mode = KeyMode::IfNew;
        publish.options.refresh_ttl = refresh_ttl;
        publish
    };
    for key in ["x", "y"] {
        assert_eq!(bench.suppressed(beat(key, true)).await, None);
    }
    for _ in 0..4 {
        if !bench.pass(2).await {
            return;
        }
        assert_eq!(bench.suppressed(beat("x", true)).await, Some(MapSuppressed::KeyExists));
        // One that is not refreshed ends, and is set again when it has.
        bench.suppressed(beat("y", false)).await;
    }
    assert_eq!(bench.state().await.first().map(String::as_str), Some("x=1"));
    let told = bench.told(4).await;
    assert!(told.contains(&"3:-y".to_owned()) && !told.iter().any(|told| told.ends_with("-x")), "{told:?}");
    assert!(bench.pass(6).await);
    assert!(bench.state().await.is_empty());
}

/// Keys without a time stay.
pub async fn map_keys_without_an_end(harness: impl MapHarness) {
    let bench = Bench::new(harness).await;
    let stream = bench.policy().stream.unwrap_or_default();
    let policy = MapPolicy::persistent(stream);
    let channel = Channel::from("a");
    let read = async |query: &MapQuery| bench.store.state(&channel, query, &policy).await.unwrap_or_default();
    let before = read(&MapQuery::position()).await.position;
    assert_eq!((before.offset, before.epoch.is_unknown()), (0, false));
    let set = bench.publish(MapPublish { policy, ..bench.value("x", "1") }).await.position;
    assert_eq!(set, StreamPosition { offset: 1, epoch: before.epoch.clone() });
    if !bench.pass(30).await {
        return;
    }
    let page = read(&MapQuery::default()).await;
    let entries: Vec<_> = page.entries.iter().map(|entry| told(entry)).collect();
    assert_eq!((entries, page.position), (vec!["x=1".to_owned()], set.clone()));
    let stream = bench.store.stream(&channel, &HistoryQuery::default(), &policy).await.unwrap_or_default();
    assert_eq!((stream.publications, stream.position), (vec![], set), "the stream has its own time");
    assert!(bench.store.clear(&channel).await.is_ok());
    let after = read(&MapQuery::default()).await;
    assert_eq!((after.entries, after.position.offset), (vec![], 0));
    assert_ne!(after.position.epoch, before.epoch);
}

/// A key that has ended is as one that never was, its version included, and what a change for deltas follows.
pub async fn map_ended_keys_are_not_there(harness: impl MapHarness) {
    let bench = Bench::new(harness).await;
    let value = |data: &str, mode: KeyMode, version: u64| {
        let mut publish = bench.lasting("x", data, 2);
        publish.options.mode = mode;
        publish.options.version = version;
        publish.options.delta = true;
        publish
    };
    assert_eq!(bench.suppressed(value("1", KeyMode::IfNew, 9)).await, None);
    if !bench.pass(4).await {
        return;
    }
    assert!(bench.page(&MapQuery::of_key("x")).await.entries.is_empty());
    assert_eq!(bench.suppressed(value("2", KeyMode::IfExists, 0)).await, Some(MapSuppressed::KeyNotFound));
    assert_eq!(bench.take(bench.removal("x")).await.suppressed, Some(MapSuppressed::KeyNotFound));
    assert_eq!(bench.suppressed(value("3", KeyMode::IfNew, 1)).await, None);
    assert_eq!(bench.told(3).await, ["1:x=1", "2:-x", "3:x=3"]);
    let events = bench.log.events();
    let previous = events.iter().filter_map(|event| match event {
        super::Event::Delta(_, _, previous) => Some(previous.is_some()),
        _ => None,
    });
    assert_eq!(previous.collect::<Vec<_>>(), [false, false]);
}

/// When nothing was changed for a while, the stream goes, and state and position stay.
pub async fn map_streams_end_in_time(harness: impl MapHarness) {
    let bench = Bench::new(harness).await;
    bench.set("x", "1").await;
    let top = bench.set("y", "1").await;
    if !bench.pass(25).await {
        return;
    }
    let page = bench.changes(&HistoryQuery::default()).await;
    assert_eq!((page.publications, page.position), (vec![], top.clone()));
    assert_eq!(bench.state().await, ["x=1", "y=1"]);
    let next = bench.set("x", "2").await;
    assert_eq!(next, StreamPosition { offset: 3, epoch: top.epoch });
    assert_eq!(bench.changes(&HistoryQuery::default()).await.publications.len(), 1);
}

/// When a channel was not used for long, the next use has another epoch and begins again, whatever keys there were
/// (MAPB-10).
pub async fn map_channels_end_in_time(harness: impl MapHarness) {
    let bench = Bench::new(harness).await;
    let policy = MapPolicy { key_ttl: None, meta_ttl: Some(bench.unit * 25), ..bench.policy() };
    let value = |data: &str| {
        let mut publish = MapPublish { policy, ..bench.value("x", data) };
        publish.options.version = 5;
        publish
    };
    let first = bench.publish(value("1")).await.position;
    // Each use keeps it.
    for _ in 0..3 {
        if !bench.pass(15).await {
            return;
        }
        let read = bench.store.state(&Channel::from("a"), &MapQuery::default(), &policy).await;
        assert!(read.is_ok_and(|page| page.position == first && page.entries.len() == 1));
    }
    assert!(bench.pass(30).await);
    let page =
        bench.store.state(&Channel::from("a"), &MapQuery::default(), &policy).await.unwrap_or_default();
    assert_eq!((page.entries, page.position.offset), (vec![], 0));
    assert_ne!(page.position.epoch, first.epoch);
    let second = bench.publish(value("2")).await;
    assert_eq!(second.suppressed, None, "versions of an earlier epoch are gone");
    assert_eq!(second.position, StreamPosition { offset: 1, epoch: page.position.epoch });
    assert_eq!(bench.state().await, ["x=2"]);
}

/// Keys of idempotency can be used again when the change said.
pub async fn map_idempotency_ends_in_time(harness: impl MapHarness) {
    let bench = Bench::new(harness).await;
    let once = |key: &str, ttl: Option<Duration>| {
        let mut publish = bench.value("x", "1");
        key.clone_into(&mut publish.options.idempotency_key);
        publish.options.idempotency_ttl = ttl;
        publish
    };
    let short = Some(bench.unit * 2);
    assert_eq!(bench.suppressed(once("short", short)).await, None);
    assert_eq!(bench.suppressed(once("usual", Some(bench.unit * 60))).await, None);
    if !bench.pass(1).await {
        return;
    }
    assert_eq!(bench.suppressed(once("short", short)).await, Some(MapSuppressed::Idempotency));
    assert!(bench.pass(2).await);
    assert_eq!(bench.suppressed(once("short", short)).await, None, "a repetition does not prolong");
    assert_eq!(bench.suppressed(once("usual", short)).await, Some(MapSuppressed::Idempotency));
}
