//! What a store of keyed channels is held to.

mod lifetimes;
mod reading;
mod rules;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tourbillon_types::{
    Channel, ClientInfo, HistoryQuery, KeyMode, MapPage, MapPolicy, MapQuery, MapStream, Payload,
    Publication, StreamPosition, Tags, UserId,
};

use super::{Event, Log};
use crate::{EventSink, MapChanged, MapPublish, MapRemove, MapSuppressed, SharedMapStore};
pub use lifetimes::*;
pub use reading::*;
pub use rules::*;

/// Makes stores to be tested.
pub trait MapHarness {
    /// A store, attached to `events` and running, with a name space of its own.
    fn store(&self, events: EventSink) -> impl Future<Output = SharedMapStore>;

    /// What lifetimes in the checks are multiples of. A store whose time cannot be moved has one for which it is
    /// possible to wait; it must be long enough that the calls of a check take no time in comparison.
    fn unit(&self) -> Duration {
        Duration::from_secs(60)
    }

    /// Lets time pass for the store; `false` if that cannot be done, and what needs it is not tested then. When it
    /// returns, keys that had been due for a [unit](Self::unit) have ended and were told of.
    fn pass(&self, duration: Duration) -> impl Future<Output = bool> {
        let _ = duration;
        std::future::ready(false)
    }

    /// Waits until this is so, or gives up after a while. The default suits stores that deliver inside their calls.
    fn until(&self, condition: impl Fn() -> bool) -> impl Future<Output = ()> {
        let _ = condition;
        std::future::ready(())
    }

    /// Whether a page never has more entries than were asked for. A store that cannot help it says `false`.
    fn has_exact_pages(&self) -> bool {
        true
    }

    /// Whether nothing arrives of channels that are not subscribed.
    fn needs_interest(&self) -> bool {
        false
    }
}

/// A store under test: of one channel, `a`, unless a check says otherwise.
struct Bench<H> {
    harness: H,
    log: Arc<Log>,
    store: SharedMapStore,
    unit: Duration,
}

impl<H: MapHarness> Bench<H> {
    async fn new(harness: H) -> Self {
        let log = Arc::new(Log::default());
        let store = harness.store(EventSink::new(log.clone())).await;
        let unit = harness.unit();
        let bench = Self { harness, log, store, unit };
        bench.subscribe(&["a", "b"]).await;
        bench
    }

    async fn subscribe(&self, channels: &[&str]) {
        let channels: Vec<_> = channels.iter().copied().map(Channel::from).collect();
        let subscribed = self.store.subscribe(&channels).await;
        assert!(subscribed.is_ok(), "subscribe: {subscribed:?}");
    }

    /// Keys for 100 units, a stream of 10 changes for 20 units, and positions for 1000 units.
    fn policy(&self) -> MapPolicy {
        let stream = MapStream { size: 10, ttl: self.unit * 20 };
        MapPolicy { meta_ttl: Some(self.unit * 1000), ..MapPolicy::recoverable(self.unit * 100, stream) }
    }

    fn value(&self, key: &str, data: &str) -> MapPublish {
        MapPublish::new(Channel::from("a"), key, payload(data), self.policy())
    }

    fn removal(&self, key: &str) -> MapRemove {
        MapRemove::new(Channel::from("a"), key, self.policy())
    }

    async fn publish(&self, publish: MapPublish) -> MapChanged {
        let published = self.store.publish(publish).await;
        assert!(published.is_ok(), "publishing failed: {published:?}");
        published.unwrap_or_default()
    }

    /// Sets a key, which must have an effect.
    async fn set(&self, key: &str, data: &str) -> StreamPosition {
        let set = self.publish(self.value(key, data)).await;
        assert_eq!(set.suppressed, None, "{key}={data}");
        set.position
    }

    async fn suppressed(&self, publish: MapPublish) -> Option<MapSuppressed> {
        self.publish(publish).await.suppressed
    }

    async fn take(&self, remove: MapRemove) -> MapChanged {
        let removed = self.store.remove(remove).await;
        assert!(removed.is_ok(), "removing failed: {removed:?}");
        removed.unwrap_or_default()
    }

    async fn page(&self, query: &MapQuery) -> MapPage {
        let page = self.store.state(&Channel::from("a"), query, &self.policy()).await;
        assert!(page.is_ok(), "reading failed: {page:?}");
        page.unwrap_or_default()
    }

    /// The whole state, as `key=data`, in the order of keys.
    async fn state(&self) -> Vec<String> {
        let entries = self.page(&MapQuery::default()).await.entries;
        let all: BTreeMap<_, _> = entries.iter().map(|entry| (entry.key.clone(), told(entry))).collect();
        assert_eq!(all.len(), entries.len(), "a key is there twice");
        all.into_values().collect()
    }

    /// Where the channel stands.
    async fn position(&self) -> StreamPosition {
        self.page(&MapQuery::position()).await.position
    }

    async fn arrived(&self, events: usize) {
        self.harness.until(|| self.log.len() >= events).await;
    }

    /// What arrived of the channel, as `offset:key=data` and `offset:-key`.
    async fn told(&self, events: usize) -> Vec<String> {
        self.arrived(events).await;
        let publications = self.log.publications("a");
        publications.iter().map(|one| format!("{}:{}", one.offset, told(one))).collect()
    }

    /// Lets so many units pass.
    async fn pass(&self, units: u32) -> bool {
        self.harness.pass(self.unit * units).await
    }
}

fn payload(data: &str) -> Payload {
    Payload::from(data.as_bytes().to_vec())
}

fn text(publication: &Publication) -> String {
    String::from_utf8_lossy(publication.data.as_ref()).into_owned()
}

/// A change as text: `key=data`, or `-key` for a removal, which has no data.
fn told(publication: &Publication) -> String {
    let key = publication.key.as_deref().unwrap_or_default();
    if publication.removed {
        assert!(publication.data.is_empty(), "a removal has no data");
        format!("-{key}")
    } else {
        format!("{key}={}", text(publication))
    }
}

fn tags(value: &str) -> Option<Arc<Tags>> {
    Some(Arc::new([("tag".to_owned(), value.to_owned())].into()))
}

fn tag(publication: &Publication) -> Option<&str> {
    publication.tags.as_deref()?.get("tag").map(String::as_str)
}

fn offsets(publications: &[Arc<Publication>]) -> Vec<u64> {
    publications.iter().map(|publication| publication.offset).collect()
}

/// Changes are numbered from 1 within one epoch, in their answers, in what is delivered and in the state.
pub async fn map_changes_are_numbered(harness: impl MapHarness) {
    let bench = Bench::new(harness).await;
    let first = bench.set("x", "1").await;
    assert_eq!(first.offset, 1);
    assert!(!first.epoch.is_unknown());
    for (key, data, offset) in [("y", "2", 2), ("x", "3", 3), ("z", "4", 4)] {
        let position = bench.set(key, data).await;
        assert_eq!(position, StreamPosition { offset, epoch: first.epoch.clone() });
    }
    assert_eq!(bench.told(4).await, ["1:x=1", "2:y=2", "3:x=3", "4:z=4"]);
    for publication in bench.log.publications("a") {
        assert_eq!(publication.epoch, first.epoch, "every change says its epoch");
    }
    let page = bench.page(&MapQuery::default()).await;
    assert_eq!(page.position, StreamPosition { offset: 4, epoch: first.epoch.clone() });
    let mut entries: Vec<_> = page.entries.iter().map(|one| (one.offset, told(one))).collect();
    entries.sort();
    assert_eq!(entries, [(2, "y=2".to_owned()), (3, "x=3".to_owned()), (4, "z=4".to_owned())]);
    let other = MapPublish { channel: Channel::from("b"), ..bench.value("x", "1") };
    assert_eq!(bench.publish(other).await.position.offset, 1, "channels are apart");
}

/// Data, tags and publisher are the same in what is delivered, in the state and in the stream.
pub async fn map_content_is_kept(harness: impl MapHarness) {
    let bench = Bench::new(harness).await;
    let mut rich = bench.value("key:\u{0}\u{fc}\u{1f600}", "\u{0}\u{1}binary:\u{7f}");
    rich.options.tags = tags("value");
    rich.options.info = Some(Arc::new(ClientInfo {
        user: UserId::from("user"),
        client: None,
        connection: payload("1"),
        channel: payload("2"),
    }));
    bench.publish(rich.clone()).await;
    bench.arrived(1).await;
    let delivered = bench.log.publications("a");
    let state = bench.page(&MapQuery::default()).await.entries;
    let stream = bench.changes(&HistoryQuery::default()).await.publications;
    for publications in [delivered, state, stream] {
        assert_eq!(publications.len(), 1);
        let one = publications.first().cloned().unwrap_or_default();
        assert_eq!((&one.data, &one.tags, &one.info), (&rich.data, &rich.options.tags, &rich.options.info));
        assert_eq!((one.key.as_ref(), one.removed, one.offset), (Some(&rich.key), false, 1));
    }
}

/// A removal is a change with a key and without data. It carries the tags of the entry, or those that it was given
/// (MAP-31).
pub async fn map_removals_are_changes(harness: impl MapHarness) {
    let bench = Bench::new(harness).await;
    for key in ["x", "y", "z"] {
        let mut tagged = bench.value(key, "1");
        tagged.options.tags = tags("entry");
        bench.publish(tagged).await;
    }
    let removed = bench.take(bench.removal("x")).await;
    assert_eq!((removed.suppressed, removed.position.offset), (None, 4));
    bench.take(MapRemove { tags: tags("removal"), ..bench.removal("y") }).await;
    assert_eq!(bench.state().await, ["z=1"]);
    assert_eq!(bench.told(5).await[3..], ["4:-x", "5:-y"]);
    let stream = bench.changes(&HistoryQuery::default()).await.publications;
    for removals in [bench.log.publications("a"), stream] {
        let removals: Vec<_> = removals.iter().skip(3).map(|one| (one.offset, told(one), tag(one))).collect();
        assert_eq!(removals, [(4, "-x".to_owned(), Some("entry")), (5, "-y".to_owned(), Some("removal"))]);
    }
    // What is not there cannot be removed, and nobody hears of it.
    for key in ["x", "never"] {
        let again = bench.take(bench.removal(key)).await;
        assert_eq!(again.suppressed, Some(MapSuppressed::KeyNotFound), "{key}");
        assert_eq!((again.position.offset, &again.position.epoch), (5, &removed.position.epoch), "{key}");
    }
    assert_eq!(bench.set("x", "2").await.offset, 6);
    assert_eq!(bench.told(6).await[5..], ["6:x=2"]);
}

/// A change for deltas comes with the value that the same key had before, and with none if it had none (MAP-29).
pub async fn map_deltas_are_of_keys(harness: impl MapHarness) {
    let bench = Bench::new(harness).await;
    let delta = |key: &str, data: &str| {
        let mut publish = bench.value(key, data);
        publish.options.delta = true;
        publish
    };
    bench.publish(delta("x", "x1")).await;
    bench.publish(delta("y", "y1")).await;
    bench.publish(delta("x", "x2")).await;
    bench.publish(bench.value("y", "y2")).await;
    bench.publish(delta("y", "y3")).await;
    bench.take(bench.removal("x")).await;
    bench.publish(delta("x", "x3")).await;
    bench.arrived(7).await;
    let seen = |event: Event| match event {
        Event::Delta(_, publication, previous) => {
            (told(&publication), Some(previous.map(|previous| told(&previous))))
        }
        Event::Publication(_, publication) => (told(&publication), None),
        Event::Join(..) | Event::Leave(..) => (String::new(), None),
    };
    let seen: Vec<_> = bench.log.events().into_iter().map(seen).collect();
    let whole = |text: &str| (text.to_owned(), None);
    let against = |text: &str, previous: Option<&str>| (text.to_owned(), Some(previous.map(str::to_owned)));
    let expected = [
        against("x=x1", None),
        against("y=y1", None),
        against("x=x2", Some("x=x1")),
        whole("y=y2"),
        against("y=y3", Some("y=y2")),
        whole("-x"),
        against("x=x3", None),
    ];
    assert_eq!(seen, expected);
}

/// Without a stream there are no offsets, and no way to ask for what needs them; everything else is the same.
pub async fn map_channels_without_streams(harness: impl MapHarness) {
    let bench = Bench::new(harness).await;
    let policy = MapPolicy::ephemeral(bench.unit * 100);
    let value = |key: &str, data: &str| MapPublish { policy, ..bench.value(key, data) };
    for (key, data) in [("x", "1"), ("y", "1"), ("x", "2")] {
        let set = bench.publish(value(key, data)).await;
        assert_eq!((set.suppressed, set.position.offset), (None, 0));
    }
    let mut new = value("x", "3");
    new.options.mode = KeyMode::IfNew;
    assert_eq!(bench.suppressed(new).await, Some(MapSuppressed::KeyExists));
    let mut once = value("z", "1");
    "once".clone_into(&mut once.options.idempotency_key);
    assert_eq!(bench.suppressed(once.clone()).await, None);
    assert_eq!(bench.suppressed(once).await, Some(MapSuppressed::Idempotency));
    let removed = bench.take(MapRemove { policy, ..bench.removal("y") }).await;
    assert_eq!((removed.suppressed, removed.position.offset), (None, 0));
    let removed = bench.take(MapRemove { policy, ..bench.removal("y") }).await;
    assert_eq!(removed.suppressed, Some(MapSuppressed::KeyNotFound));
    assert_eq!(bench.told(5).await, ["0:x=1", "0:y=1", "0:x=2", "0:z=1", "0:-y"]);
    let channel = Channel::from("a");
    let page = bench.store.state(&channel, &MapQuery::default(), &policy).await.unwrap_or_default();
    let mut entries: Vec<_> = page.entries.iter().map(|entry| told(entry)).collect();
    entries.sort();
    assert_eq!((entries.join(" "), page.position.offset), ("x=2 z=1".to_owned(), 0));
    let query = HistoryQuery::default();
    let stream = bench.store.stream(&channel, &query, &policy).await;
    assert!(stream.is_ok_and(|page| page.publications.is_empty() && page.position.offset == 0));
    let mut versioned = value("x", "4");
    versioned.options.version = 1;
    let mut expecting = value("x", "4");
    expecting.options.expected = Some(StreamPosition::default());
    for refused in [versioned, expecting] {
        let refused = bench.store.publish(refused).await;
        assert!(refused.is_err_and(|error| error.is_invalid()));
    }
    let expecting = MapRemove { expected: Some(StreamPosition::default()), policy, ..bench.removal("x") };
    assert!(bench.store.remove(expecting).await.is_err_and(|error| error.is_invalid()));
}

/// What makes no sense is refused, and nothing comes of it.
pub async fn map_nonsense_is_refused(harness: impl MapHarness) {
    let bench = Bench::new(harness).await;
    let refused = bench.store.publish(bench.value("", "1")).await;
    assert!(refused.is_err_and(|error| error.is_invalid()), "a key without a name");
    let refused = bench.store.remove(bench.removal("")).await;
    assert!(refused.is_err_and(|error| error.is_invalid()), "a key without a name");
    assert_eq!(bench.position().await.offset, 0);
    assert!(bench.log.is_empty());
}

/// When `subscribe` has answered, the very next change arrives.
pub async fn map_subscribe_is_a_barrier(harness: impl MapHarness) {
    let bench = Bench::new(harness).await;
    for number in 0..50 {
        let channel = format!("barrier-{number}");
        bench.subscribe(&[&channel]).await;
        let value = MapPublish { channel: Channel::from(channel), ..bench.value("x", "1") };
        bench.publish(value).await;
    }
    bench.arrived(50).await;
    assert!((0..50).all(|number| bench.log.data(&format!("barrier-{number}")) == ["1"]));
}

/// After `unsubscribe` has answered, a store that needs interest delivers nothing of the channel any more.
pub async fn map_unsubscribe_stops_delivery(harness: impl MapHarness) {
    let bench = Bench::new(harness).await;
    bench.set("x", "before").await;
    bench.arrived(1).await;
    for channel in ["a", "never"] {
        let unsubscribed = bench.store.unsubscribe(&[Channel::from(channel)]).await;
        assert!(unsubscribed.is_ok(), "{channel}: {unsubscribed:?}");
    }
    bench.set("x", "after").await;
    bench.publish(MapPublish { channel: Channel::from("b"), ..bench.value("x", "end") }).await;
    bench.harness.until(|| !bench.log.publications("b").is_empty()).await;
    assert_eq!(bench.log.data("b"), ["end"]);
    if bench.harness.needs_interest() {
        assert_eq!(bench.log.data("a"), ["before"]);
    }
}

/// Concurrent changes get different offsets, and offsets have the order of delivery.
pub async fn map_concurrent_changes(harness: impl MapHarness) {
    let bench = Bench::new(harness).await;
    let changer = |name: usize| {
        let bench = &bench;
        async move {
            for number in 0..25 {
                bench.set(&format!("{}", number % 3), &format!("{name}:{number}")).await;
            }
        }
    };
    let mut changers: Vec<_> = (0..4).map(|name| Box::pin(changer(name))).collect();
    std::future::poll_fn(|cx| {
        changers.retain_mut(|changer| changer.as_mut().poll(cx).is_pending());
        if changers.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    bench.arrived(100).await;
    let delivered = bench.log.publications("a");
    assert_eq!(offsets(&delivered), (1..=100).collect::<Vec<_>>());
    for entry in bench.page(&MapQuery::default()).await.entries {
        let last = delivered.iter().rfind(|one| one.key == entry.key);
        assert!(last.is_some_and(|last| told(last) == told(&entry) && last.offset == entry.offset));
    }
}

/// Compiles the suite of [`MapStore`](crate::MapStore) into a test module, as
/// [`conformance_suite!`](crate::conformance_suite) does for brokers; `$harness` makes a [`MapHarness`].
#[macro_export]
macro_rules! map_conformance_suite {
    ($block_on:expr, $harness:expr) => {
        $crate::map_conformance_suite!(@tests $block_on, $harness,
            map_changes_are_numbered map_content_is_kept map_removals_are_changes map_deltas_are_of_keys
            map_channels_without_streams map_nonsense_is_refused map_subscribe_is_a_barrier
            map_unsubscribe_stops_delivery map_concurrent_changes
            map_idempotency map_versions_are_of_keys map_versions_of_epochs map_key_modes
            map_expected_positions map_checks_have_an_order
            map_reading_makes_the_epoch map_pages_cover_the_state map_pages_are_stable_under_change
            map_one_key_is_read map_foreign_cursors map_streams_page_both_ways map_streams_are_trimmed
            map_another_epoch_gets_nothing map_stats_count_keys map_clear_begins_anew
            map_keys_end_in_time map_setting_prolongs map_refreshing_prolongs map_keys_without_an_end
            map_ended_keys_are_not_there map_streams_end_in_time map_channels_end_in_time
            map_idempotency_ends_in_time);
    };
    (@tests $block_on:expr, $harness:expr, $($check:ident)*) => {
        $(#[test]
        fn $check() {
            ($block_on)($crate::conformance::$check($harness));
        })*
    };
}
