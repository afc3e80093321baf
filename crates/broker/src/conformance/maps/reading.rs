//! How keyed channels are read, counted and begun anew.

use std::collections::BTreeSet;
use std::sync::Arc;

use tourbillon_types::{Channel, Epoch, HistoryQuery, MapQuery, Page, Publication, StreamPosition};

use super::{Bench, MapHarness, offsets, told};
use crate::MapSuppressed;

impl<H: MapHarness> Bench<H> {
    /// A part of the stream.
    pub(super) async fn changes(&self, query: &HistoryQuery) -> Page {
        let page = self.store.stream(&Channel::from("a"), query, &self.policy()).await;
        assert!(page.is_ok(), "reading failed: {page:?}");
        page.unwrap_or_default()
    }

    /// All pages of the state. Between them `meanwhile` is called with the number of the page.
    async fn pages(&self, limit: usize, mut meanwhile: impl AsyncFnMut(usize)) -> Vec<Arc<Publication>> {
        let mut all = Vec::new();
        let mut cursor = String::new();
        for number in 0..1000 {
            let page = self.page(&MapQuery::page(cursor, limit)).await;
            let is_exact = page.entries.len() <= limit || !self.harness.has_exact_pages();
            assert!(is_exact, "{} entries of {limit}", page.entries.len());
            all.extend(page.entries);
            if page.cursor.is_empty() {
                return all;
            }
            cursor = page.cursor;
            meanwhile(number).await;
        }
        assert!(all.is_empty(), "the pages have no end");
        all
    }

    async fn fill(&self, keys: usize) {
        for number in 0..keys {
            self.set(&format!("key-{number}"), &number.to_string()).await;
        }
    }

    async fn keys(&self) -> usize {
        let stats = self.store.stats(&Channel::from("a")).await;
        assert!(stats.is_ok(), "stats failed: {stats:?}");
        stats.unwrap_or_default().keys
    }
}

fn keys(entries: &[Arc<Publication>]) -> BTreeSet<&str> {
    let keys: BTreeSet<_> = entries.iter().filter_map(|entry| entry.key.as_deref()).collect();
    assert_eq!(keys.len(), entries.len(), "a key is in more than one page");
    keys
}

/// Being read is a use: the epoch that is told is the one that changes go on in (MAPB-10).
pub async fn map_reading_makes_the_epoch(harness: impl MapHarness) {
    let bench = Bench::new(harness).await;
    let read = bench.position().await;
    assert_eq!(read.offset, 0);
    assert!(!read.epoch.is_unknown());
    assert_eq!(bench.changes(&HistoryQuery::position()).await.position, read);
    assert_eq!(bench.take(bench.removal("x")).await.position, read);
    assert_eq!(bench.set("x", "1").await, StreamPosition { offset: 1, epoch: read.epoch });
}

/// The pages of a state have every entry once, whatever their size, and 0 asks for none.
pub async fn map_pages_cover_the_state(harness: impl MapHarness) {
    let bench = Bench::new(harness).await;
    assert!(bench.pages(10, async |_| ()).await.is_empty(), "an empty state has an empty page");
    bench.fill(57).await;
    let position = StreamPosition { offset: 57, ..bench.position().await };
    for limit in [1, 7, 56, 57, 58, 1000] {
        let all = bench.pages(limit, async |_| ()).await;
        assert_eq!(keys(&all).len(), 57, "pages of {limit}");
        for entry in &all {
            assert_eq!(told(entry), format!("key-{0}={0}", entry.offset - 1));
        }
    }
    let all = bench.page(&MapQuery::default()).await;
    assert_eq!((keys(&all.entries).len(), all.cursor.as_str()), (57, ""));
    assert_eq!(all.position, position);
    let none = bench.page(&MapQuery::position()).await;
    assert_eq!((none.entries, none.position), (Vec::new(), position));
}

/// Entries that are there from the first page to the last are in one of them, once, whatever else changes meanwhile.
pub async fn map_pages_are_stable_under_change(harness: impl MapHarness) {
    let bench = Bench::new(harness).await;
    bench.fill(60).await;
    let stays = |number: usize| number.is_multiple_of(3);
    let all = bench
        .pages(4, async |page| {
            // Something goes before and behind the cursor, something is set again, something is new.
            for number in (0..60).filter(|number| !stays(*number)).skip(page * 2).take(2) {
                bench.take(bench.removal(&format!("key-{number}"))).await;
            }
            bench.set(&format!("key-{}", page % 20 * 3), "again").await;
            bench.set(&format!("new-{page}"), "new").await;
        })
        .await;
    let seen: Vec<_> = all.iter().filter_map(|entry| entry.key.as_deref()).collect();
    for number in (0..60).filter(|number| stays(*number)) {
        let key = format!("key-{number}");
        assert_eq!(seen.iter().filter(|seen| **seen == key).count(), 1, "{key} in {seen:?}");
    }
}

/// One entry can be asked for alone; there are no pages then.
pub async fn map_one_key_is_read(harness: impl MapHarness) {
    let bench = Bench::new(harness).await;
    bench.fill(5).await;
    for (key, expected) in [("key-3", vec!["key-3=3".to_owned()]), ("none", Vec::new()), ("key-", Vec::new())]
    {
        let page = bench.page(&MapQuery::of_key(key)).await;
        let entries: Vec<_> = page.entries.iter().map(|entry| told(entry)).collect();
        assert_eq!((entries, page.cursor.as_str(), page.position.offset), (expected, "", 5), "{key}");
    }
}

/// Whoever makes up a cursor is refused, or gets a page: nothing worse.
pub async fn map_foreign_cursors(harness: impl MapHarness) {
    let bench = Bench::new(harness).await;
    bench.fill(5).await;
    for cursor in ["x", "0", "-1", "18446744073709551616", "key-3", "\u{0}", "\u{1f600}", "a b:c"] {
        match bench.store.state(&Channel::from("a"), &MapQuery::page(cursor, 2), &bench.policy()).await {
            Ok(page) => assert!(keys(&page.entries).len() <= 5, "{cursor:?}"),
            Err(error) => assert!(error.is_invalid(), "{cursor:?}: {error}"),
        }
    }
}

/// Pages of the stream begin anywhere, have any size, and go either way.
pub async fn map_streams_page_both_ways(harness: impl MapHarness) {
    let bench = Bench::new(harness).await;
    bench.fill(5).await;
    bench.set("key-1", "again").await;
    let top = bench.take(bench.removal("key-0")).await.position;
    let since = |offset| HistoryQuery::since(StreamPosition { offset, epoch: top.epoch.clone() });
    for (query, expected) in [
        (HistoryQuery::default(), vec![1, 2, 3, 4, 5, 6, 7]),
        (HistoryQuery::default().limited(2), vec![1, 2]),
        (HistoryQuery::position(), vec![]),
        (since(4), vec![5, 6, 7]),
        (since(4).limited(2), vec![5, 6]),
        (since(0), vec![1, 2, 3, 4, 5, 6, 7]),
        (since(7), vec![]),
        (since(99), vec![]),
        (HistoryQuery::since(StreamPosition { offset: 5, epoch: Epoch::UNKNOWN }), vec![6, 7]),
    ] {
        let page = bench.changes(&query).await;
        assert_eq!(offsets(&page.publications), expected, "{query:?}");
        assert_eq!(page.position, top, "{query:?}");
    }
    for (query, expected) in [
        (HistoryQuery::default().reversed(), vec![7, 6, 5, 4, 3, 2, 1]),
        (HistoryQuery::latest(1), vec![7]),
        (since(3).reversed(), vec![2, 1]),
        (since(5).reversed().limited(1), vec![4]),
        (since(1).reversed(), vec![]),
    ] {
        match bench.store.stream(&Channel::from("a"), &query, &bench.policy()).await {
            Ok(page) => assert_eq!(offsets(&page.publications), expected, "{query:?}"),
            Err(error) => assert!(query.reverse && error.is_unsupported(), "{error}"),
        }
    }
    let told: Vec<_> = bench.changes(&since(5)).await.publications.iter().map(|one| told(one)).collect();
    assert_eq!(told, ["key-1=again", "-key-0"], "the stream has what was delivered");
}

/// Only the newest changes are kept, and all of the state.
pub async fn map_streams_are_trimmed(harness: impl MapHarness) {
    let bench = Bench::new(harness).await;
    bench.fill(250).await;
    let kept = bench.changes(&HistoryQuery::default()).await;
    let oldest = kept.publications.first().map_or(0, |oldest| oldest.offset);
    assert_eq!(offsets(&kept.publications), (oldest..=250).collect::<Vec<_>>());
    // What trims roughly keeps some more, which nobody minds.
    assert!((100..=241).contains(&oldest), "{} changes are kept of 10", 251 - oldest);
    let start = StreamPosition { offset: 3, epoch: kept.position.epoch };
    let after = bench.changes(&HistoryQuery::since(start).limited(2)).await;
    assert_eq!(offsets(&after.publications), [oldest, oldest + 1], "the page shows the hole");
    assert_eq!(bench.state().await.len(), 250);
}

/// Offsets of another epoch say nothing: nothing is given, and where the channel stands is told.
pub async fn map_another_epoch_gets_nothing(harness: impl MapHarness) {
    let bench = Bench::new(harness).await;
    bench.fill(3).await;
    let other = StreamPosition { offset: 1, epoch: Epoch::from("elsewhere") };
    let page = bench.changes(&HistoryQuery::since(other)).await;
    assert_eq!((page.publications, page.position.offset), (vec![], 3));
}

/// Keys are counted (API-38).
pub async fn map_stats_count_keys(harness: impl MapHarness) {
    let bench = Bench::new(harness).await;
    assert_eq!(bench.keys().await, 0);
    bench.fill(5).await;
    bench.set("key-1", "again").await;
    assert_eq!(bench.keys().await, 5);
    bench.take(bench.removal("key-2")).await;
    bench.take(bench.removal("key-2")).await;
    assert_eq!(bench.keys().await, 4);
}

/// A cleared channel has nothing left and begins anew in another epoch, and subscribers are told (API-39).
pub async fn map_clear_begins_anew(harness: impl MapHarness) {
    let bench = Bench::new(harness).await;
    let mut versioned = bench.value("x", "1");
    versioned.options.version = 7;
    let before = bench.publish(versioned).await.position;
    bench.fill(3).await;
    bench.arrived(4).await;
    let channel = Channel::from("a");
    assert!(bench.store.clear(&channel).await.is_ok());
    assert!(bench.store.clear(&Channel::from("never")).await.is_ok(), "clearing nothing is harmless");
    let lost = || bench.log.lost().iter().any(|lost| lost.as_ref().is_none_or(|lost| *lost == channel));
    bench.harness.until(lost).await;
    assert!(lost(), "nobody was told");
    let now = bench.position().await;
    assert_eq!(now.offset, 0);
    assert_ne!(now.epoch, before.epoch);
    assert_eq!((bench.state().await.len(), bench.keys().await), (0, 0));
    let stream = bench.changes(&HistoryQuery::default()).await;
    assert_eq!((stream.publications, &stream.position), (vec![], &now));
    assert_eq!(bench.take(bench.removal("x")).await.suppressed, Some(MapSuppressed::KeyNotFound));
    let mut versioned = bench.value("x", "2");
    versioned.options.version = 1;
    let after = bench.publish(versioned).await;
    assert_eq!((after.suppressed, after.position.offset, after.position.epoch), (None, 1, now.epoch));
    assert_eq!(bench.state().await, ["x=2"]);
    assert_eq!(bench.told(5).await[4..], ["1:x=2"], "nothing of it is told as removed");
}
