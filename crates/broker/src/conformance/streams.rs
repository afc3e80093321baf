//! What a broker that keeps streams is held to.

use std::sync::Arc;
use std::time::Duration;

use tourbillon_types::{
    Channel, ClientInfo, Epoch, HistoryPolicy, HistoryQuery, Page, Payload, Publication, StreamPosition,
    UserId,
};

use super::{Event, Harness, Log, data, must_publish, publish, start};
use crate::{Attempt, DynBroker, Publish, PublishOptions, Published, SharedHistory, Suppressed};

const TTL: Duration = Duration::from_secs(60);
const META_TTL: Duration = Duration::from_secs(600);
const POLICY: HistoryPolicy = HistoryPolicy { size: 5, ttl: TTL, meta_ttl: META_TTL };

/// A broker and its streams, if it keeps any.
async fn streams(harness: &impl Harness) -> Option<(Arc<Log>, Arc<dyn DynBroker>, SharedHistory)> {
    let (log, broker) = start(harness, &["a", "b"]).await;
    let history = broker.clone().parts().history;
    assert_eq!(broker.capabilities().history, history.is_some(), "what it can do and what it brings");
    history.map(|history| (log, broker, history))
}

fn kept(channel: &str, data: &str) -> Publish {
    let mut publish = publish(channel, data);
    publish.options.history = Some(POLICY);
    publish
}

async fn fill(broker: &Arc<dyn DynBroker>, count: u64) -> Published {
    let mut last = Published::default();
    for number in 1..=count {
        last = must_publish(broker, kept("a", &number.to_string())).await;
    }
    last
}

async fn read(history: &SharedHistory, query: &HistoryQuery) -> Page {
    let page = history.history(&Channel::from("a"), query, META_TTL).await;
    assert!(page.is_ok(), "reading failed: {page:?}");
    page.unwrap_or_default()
}

async fn all(history: &SharedHistory) -> Vec<String> {
    data(&read(history, &HistoryQuery::default()).await.publications)
}

fn offsets(publications: &[Arc<Publication>]) -> Vec<u64> {
    publications.iter().map(|publication| publication.offset).collect()
}

/// A stream's publications are numbered from 1 within one epoch, in their answers and in what is delivered.
pub async fn offsets_count_from_one(harness: impl Harness) {
    let Some((log, broker, history)) = streams(&harness).await else { return };
    let epoch = fill(&broker, 1).await.position.epoch;
    assert!(!epoch.is_unknown());
    for offset in 2..=4 {
        let published = must_publish(&broker, kept("a", "x")).await;
        assert_eq!(published.position, StreamPosition { offset, epoch: epoch.clone() });
    }
    let other = must_publish(&broker, kept("b", "x")).await;
    assert_eq!(other.position.offset, 1, "channels have streams of their own");
    harness.settled(&log, 5).await;
    let delivered = log.publications("a");
    assert_eq!(offsets(&delivered), [1, 2, 3, 4]);
    assert!(delivered.iter().all(|publication| publication.epoch == epoch), "each names its epoch");
    let position = history.position(&Channel::from("a"), META_TTL).await.unwrap_or_default();
    assert_eq!(position, StreamPosition { offset: 4, epoch });
    let unused = history.position(&Channel::from("unused"), META_TTL).await.unwrap_or_default();
    assert_eq!(unused.offset, 0);
}

/// Publishing without waiting does what publishing does, or nothing.
pub async fn publishing_now_is_publishing(harness: impl Harness) {
    let (log, broker) = start(&harness, &["a"]).await;
    let capabilities = broker.capabilities();
    let mut count = 0;
    for number in 1..=4 {
        let keeps = capabilities.history && number > 2;
        let attempted =
            if keeps { kept("a", &number.to_string()) } else { publish("a", &number.to_string()) };
        match broker.publish_now(attempted.clone()) {
            Attempt::Done(published) => {
                let position = published.map(|published| published.position).unwrap_or_default();
                assert_eq!(position.offset, if keeps { number - 2 } else { 0 });
            }
            Attempt::Later(publish) => {
                assert_eq!(publish, attempted, "handed back as it was");
                harness.settled(&log, count).await;
                assert_eq!(log.len(), count, "nothing has happened to it");
                must_publish(&broker, publish).await;
            }
        }
        count += 1;
    }
    harness.settled(&log, count).await;
    assert_eq!(log.data("a"), ["1", "2", "3", "4"]);
}

/// What is read later is what was delivered.
pub async fn history_is_what_was_delivered(harness: impl Harness) {
    let Some((log, broker, history)) = streams(&harness).await else { return };
    let mut rich = kept("a", "\u{0}\u{1}binary\u{7f}");
    rich.options.tags = Some(Arc::new([("key".to_owned(), "value".to_owned())].into()));
    rich.options.info = Some(Arc::new(ClientInfo {
        user: UserId::from("user"),
        client: None,
        connection: Payload::from("{}"),
        channel: Payload::empty(),
    }));
    must_publish(&broker, rich.clone()).await;
    must_publish(&broker, kept("a", "plain")).await;
    harness.settled(&log, 2).await;
    let page = read(&history, &HistoryQuery::default()).await;
    let content = |publications: &[Arc<Publication>]| {
        let content = publications.iter();
        let content = content.map(|p| (p.offset, p.data.clone(), p.tags.clone(), p.info.clone()));
        content.collect::<Vec<_>>()
    };
    assert_eq!(content(&page.publications), content(&log.publications("a")));
    let first = page.publications.first().cloned().unwrap_or_default();
    assert_eq!((&first.data, &first.tags, &first.info), (&rich.data, &rich.options.tags, &rich.options.info));
}

/// Pages begin anywhere, have any size, and go either way.
pub async fn pages_go_both_ways(harness: impl Harness) {
    let Some((_, broker, history)) = streams(&harness).await else { return };
    let top = fill(&broker, 7).await.position;
    let since = |offset| HistoryQuery::since(StreamPosition { offset, epoch: top.epoch.clone() });
    for (query, expected) in [
        (HistoryQuery::default(), vec![3, 4, 5, 6, 7]),
        (HistoryQuery::default().limited(2), vec![3, 4]),
        (HistoryQuery::position(), vec![]),
        (since(4), vec![5, 6, 7]),
        (since(4).limited(2), vec![5, 6]),
        (since(1), vec![3, 4, 5, 6, 7]),
        (since(0), vec![3, 4, 5, 6, 7]),
        (since(7), vec![]),
        (since(99), vec![]),
        (HistoryQuery::since(StreamPosition { offset: 5, epoch: Epoch::UNKNOWN }), vec![6, 7]),
    ] {
        let page = read(&history, &query).await;
        assert_eq!(offsets(&page.publications), expected, "{query:?}");
        assert_eq!(page.position, top, "{query:?}");
    }
    for (query, expected) in [
        (HistoryQuery::default().reversed(), vec![7, 6, 5, 4, 3]),
        (HistoryQuery::latest(1), vec![7]),
        (since(5).reversed(), vec![4, 3]),
        (since(5).reversed().limited(1), vec![4]),
        (since(3).reversed(), vec![]),
    ] {
        match history.history(&Channel::from("a"), &query, META_TTL).await {
            Ok(page) => assert_eq!(offsets(&page.publications), expected, "{query:?}"),
            Err(error) => assert!(error.is_unsupported(), "{error}"),
        }
    }
}

/// Only the newest are kept.
pub async fn history_is_bounded_by_size(harness: impl Harness) {
    let Some((_, broker, history)) = streams(&harness).await else { return };
    fill(&broker, 50).await;
    assert_eq!(all(&history).await, ["46", "47", "48", "49", "50"]);
}

/// When nothing was published for a while, the publications go and the position stays.
pub async fn history_ends_in_time(harness: impl Harness) {
    let Some((_, broker, history)) = streams(&harness).await else { return };
    fill(&broker, 2).await;
    if !harness.pass(TTL / 2).await {
        return;
    }
    let top = must_publish(&broker, kept("a", "3")).await.position;
    assert!(harness.pass(TTL * 3 / 4).await);
    assert_eq!(all(&history).await, ["1", "2", "3"], "the last one keeps the others");
    assert!(harness.pass(TTL / 2).await);
    let page = read(&history, &HistoryQuery::default()).await;
    assert_eq!((page.publications, page.position), (vec![], top.clone()));
    let next = must_publish(&broker, kept("a", "4")).await.position;
    assert_eq!(next, StreamPosition { offset: top.offset + 1, epoch: top.epoch });
    assert_eq!(all(&history).await, ["4"]);
}

/// When a stream was not used for long, the next one has another epoch and begins again.
pub async fn positions_end_in_time(harness: impl Harness) {
    let Some((log, broker, history)) = streams(&harness).await else { return };
    let first = fill(&broker, 3).await.position;
    if !harness.pass(META_TTL + TTL).await {
        return;
    }
    let second = must_publish(&broker, kept("a", "new")).await.position;
    assert_eq!(second.offset, 1);
    assert_ne!(second.epoch, first.epoch);
    assert_eq!(all(&history).await, ["new"]);
    harness.settled(&log, 4).await;
    let last = log.publications("a").pop().unwrap_or_default();
    assert_eq!((last.offset, &last.epoch), (1, &second.epoch));
}

/// Offsets of another epoch say nothing: nothing is given, and where the stream stands is told.
pub async fn another_epoch_gets_nothing(harness: impl Harness) {
    let Some((_, broker, history)) = streams(&harness).await else { return };
    let top = fill(&broker, 3).await.position;
    let other = StreamPosition { offset: 1, epoch: Epoch::from("elsewhere") };
    let page = read(&history, &HistoryQuery::since(other)).await;
    assert_eq!((page.publications, page.position), (vec![], top));
}

/// Removed publications are gone, and nobody loses the position (HID-74).
pub async fn removing_history_keeps_the_position(harness: impl Harness) {
    let Some((log, broker, history)) = streams(&harness).await else { return };
    let top = fill(&broker, 3).await.position;
    assert!(history.remove_history(&Channel::from("a")).await.is_ok());
    assert!(history.remove_history(&Channel::from("never")).await.is_ok(), "removing nothing is harmless");
    let page = read(&history, &HistoryQuery::default()).await;
    assert_eq!((page.publications, page.position), (vec![], top.clone()));
    let next = must_publish(&broker, kept("a", "4")).await.position;
    assert_eq!(next, StreamPosition { offset: 4, epoch: top.epoch });
    harness.settled(&log, 4).await;
    assert_eq!(log.data("a"), ["1", "2", "3", "4"]);
}

/// A publication that is not to be kept goes past the stream (PUBS-03).
pub async fn nothing_is_kept_unless_asked(harness: impl Harness) {
    let Some((log, broker, history)) = streams(&harness).await else { return };
    fill(&broker, 1).await;
    must_publish(&broker, publish("a", "past")).await;
    let position = must_publish(&broker, kept("a", "2")).await.position;
    assert_eq!(position.offset, 2);
    assert_eq!(all(&history).await, ["1", "2"]);
    harness.settled(&log, 3).await;
    assert_eq!(log.data("a"), ["1", "past", "2"]);
}

/// A policy that keeps nothing is a mistake, and nothing comes of it.
pub async fn policies_that_keep_nothing_are_refused(harness: impl Harness) {
    let Some((log, broker, _)) = streams(&harness).await else { return };
    for policy in [HistoryPolicy { size: 0, ..POLICY }, HistoryPolicy { ttl: Duration::ZERO, ..POLICY }] {
        let mut empty = publish("a", "1");
        empty.options.history = Some(policy);
        let refused = broker.publish(empty).await;
        assert!(refused.is_err_and(|error| error.is_invalid()), "{policy:?}");
    }
    assert!(log.is_empty());
}

fn keyed(data: &str) -> Publish {
    let mut publish = kept("a", data);
    "key".clone_into(&mut publish.options.idempotency_key);
    publish
}

/// A repeated key appends nothing and gets the first one's position, whatever came in between (HID-77).
pub async fn keys_and_streams(harness: impl Harness) {
    let Some((log, broker, history)) = streams(&harness).await else { return };
    if !broker.capabilities().idempotency {
        return;
    }
    let first = must_publish(&broker, keyed("1")).await;
    must_publish(&broker, kept("a", "2")).await;
    let again = must_publish(&broker, keyed("3")).await;
    assert_eq!(again, Published { suppressed: Some(Suppressed::Idempotency), position: first.position });
    assert_eq!(all(&history).await, ["1", "2"]);
    harness.settled(&log, 2).await;
    assert_eq!(log.data("a"), ["1", "2"]);
}

/// Keys can be used again after five minutes, or when the publication said (MEM-03).
pub async fn keys_are_forgotten_in_time(harness: impl Harness) {
    let (_, broker) = start(&harness, &["a"]).await;
    if !broker.capabilities().idempotency {
        return;
    }
    let keyed = |key: &str, ttl| {
        let mut publish = publish("a", "x");
        key.clone_into(&mut publish.options.idempotency_key);
        publish.options.idempotency_ttl = ttl;
        publish
    };
    let short = Some(Duration::from_secs(10));
    must_publish(&broker, keyed("short", short)).await;
    must_publish(&broker, keyed("usual", None)).await;
    if !harness.pass(Duration::from_secs(9)).await {
        return;
    }
    assert!(must_publish(&broker, keyed("short", short)).await.suppressed.is_some());
    assert!(harness.pass(Duration::from_secs(2)).await);
    assert_eq!(
        must_publish(&broker, keyed("short", short)).await.suppressed,
        None,
        "a repetition does not prolong"
    );
    let rest = PublishOptions::IDEMPOTENCY_TTL.saturating_sub(Duration::from_secs(12));
    assert!(harness.pass(rest).await);
    assert!(must_publish(&broker, keyed("usual", None)).await.suppressed.is_some());
    assert!(harness.pass(Duration::from_secs(2)).await);
    assert_eq!(must_publish(&broker, keyed("usual", None)).await.suppressed, None);
}

fn versioned(data: &str, version: u64, epoch: &str) -> Publish {
    let mut publish = kept("a", data);
    publish.options.version = version;
    epoch.clone_into(&mut publish.options.version_epoch);
    publish
}

/// A version that is not above the latest is suppressed and gets the stream's position (PUBS-02, HID-78).
pub async fn versions_ascend(harness: impl Harness) {
    let Some((log, broker, history)) = streams(&harness).await else { return };
    if !broker.capabilities().versions {
        return;
    }
    let mut expected = Vec::new();
    for (version, taken) in [(5, true), (5, false), (4, false), (7, true), (0, true), (7, false), (8, true)] {
        let name = format!("{version}-{}", expected.len());
        let published = must_publish(&broker, versioned(&name, version, "")).await;
        assert_eq!(published.suppressed.is_none(), taken, "version {version}: {published:?}");
        if taken {
            expected.push(name);
        } else {
            assert_eq!(published.suppressed, Some(Suppressed::Version));
        }
        assert_eq!(published.position.offset, expected.len() as u64, "where the stream stands");
        assert!(!published.position.epoch.is_unknown());
    }
    assert_eq!(all(&history).await, expected);
    harness.settled(&log, expected.len()).await;
    assert_eq!(log.data("a"), expected);
    // What was suppressed has not used its key.
    let mut keyed = versioned("keyed", 1, "");
    "key".clone_into(&mut keyed.options.idempotency_key);
    assert_eq!(must_publish(&broker, keyed.clone()).await.suppressed, Some(Suppressed::Version));
    keyed.options.version = 9;
    assert_eq!(must_publish(&broker, keyed).await.suppressed, None);
}

/// Versions of different epochs are not compared.
pub async fn versions_of_epochs(harness: impl Harness) {
    let Some((_, broker, _)) = streams(&harness).await else { return };
    if !broker.capabilities().versions {
        return;
    }
    for (version, epoch, taken) in [
        (5, "x", true),
        (5, "x", false),
        (5, "", false),
        (1, "y", true),
        (1, "y", false),
        // Only the latest epoch is known.
        (2, "x", true),
        (3, "", true),
        (3, "z", true),
    ] {
        let published = must_publish(&broker, versioned("v", version, epoch)).await;
        assert_eq!(published.suppressed.is_none(), taken, "version {version} of {epoch:?}");
    }
}

/// A publication for deltas comes with the one before it in the stream (DELTA-02).
pub async fn deltas_come_with_what_they_follow(harness: impl Harness) {
    let Some((log, broker, history)) = streams(&harness).await else { return };
    if !broker.capabilities().deltas {
        return;
    }
    let delta = |data: &str| {
        let mut publish = kept("a", data);
        publish.options.delta = true;
        publish
    };
    must_publish(&broker, delta("1")).await;
    must_publish(&broker, kept("a", "2")).await;
    must_publish(&broker, delta("3")).await;
    assert!(history.remove_history(&Channel::from("a")).await.is_ok());
    must_publish(&broker, delta("4")).await;
    harness.settled(&log, 4).await;
    let seen: Vec<_> = log
        .events()
        .into_iter()
        .map(|event| match event {
            Event::Delta(_, publication, previous) => {
                (publication.offset, true, previous.map(|previous| previous.offset))
            }
            Event::Publication(_, publication) => (publication.offset, false, None),
            Event::Join(..) | Event::Leave(..) => (0, false, None),
        })
        .collect();
    assert_eq!(seen, [(1, true, None), (2, false, None), (3, true, Some(2)), (4, true, None)]);
    assert_eq!(log.data("a"), ["1", "2", "3", "4"], "whole: the node makes the deltas");
}

/// Concurrent publishers get different offsets, and offsets have the order of delivery (MEM-04).
pub async fn streams_of_concurrent_publishers(harness: impl Harness) {
    let Some((log, broker, history)) = streams(&harness).await else { return };
    let publisher = |name: usize| {
        let broker = broker.clone();
        async move {
            for number in 0..25 {
                must_publish(&broker, kept("a", &format!("{name}:{number}"))).await;
            }
        }
    };
    let mut publishers: Vec<_> = (0..4).map(|name| Box::pin(publisher(name))).collect();
    std::future::poll_fn(|cx| {
        publishers.retain_mut(|publisher| publisher.as_mut().poll(cx).is_pending());
        if publishers.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    harness.settled(&log, 100).await;
    assert_eq!(offsets(&log.publications("a")), (1..=100).collect::<Vec<_>>());
    let delivered = log.data("a");
    assert_eq!(all(&history).await, delivered.get(95..).unwrap_or_default());
}
