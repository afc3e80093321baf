//! The suite every broker passes, compiled into each adapter's tests by [`suite!`](crate::conformance_suite).
//!
//! The checks are plain async functions over a [`Harness`], so that an adapter runs them on whatever runtime it
//! needs. What a broker does not claim in its [`Capabilities`](crate::Capabilities) is not asked of it, but a
//! claim is held to.

mod control;
mod maps;
mod presence;
mod streams;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tourbillon_types::{Channel, ClientInfo, Payload, Publication};

use crate::{BrokerEvents, DynBroker, EventSink, Publish, Suppressed};
pub use control::*;
pub use maps::*;
pub use presence::*;
pub use streams::*;

/// Makes brokers to be tested.
pub trait Harness {
    /// A broker, attached to `events` and running, with a name space of its own.
    fn broker(&self, events: EventSink) -> impl Future<Output = Arc<dyn DynBroker>>;

    /// Lets time pass for the broker; `false` if that cannot be done, and what needs it is not tested then.
    fn pass(&self, duration: Duration) -> impl Future<Output = bool> {
        let _ = duration;
        std::future::ready(false)
    }

    /// Waits until what was published so far has been delivered. The default suits brokers that deliver inside
    /// `publish`.
    fn settled(&self, log: &Log, events: usize) -> impl Future<Output = ()> {
        let _ = (log, events);
        std::future::ready(())
    }
}

/// Everything a broker told its node.
#[derive(Debug, Default)]
pub struct Log {
    events: Mutex<Vec<Event>>,
    lost: Mutex<Vec<Option<Channel>>>,
}

/// One thing that a broker told its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A publication.
    Publication(Channel, Arc<Publication>),
    /// A publication with the one before it.
    Delta(Channel, Arc<Publication>, Option<Arc<Publication>>),
    /// Somebody came.
    Join(Channel, Arc<ClientInfo>),
    /// Somebody left.
    Leave(Channel, Arc<ClientInfo>),
}

impl Event {
    fn publication(&self) -> Option<(&Channel, &Arc<Publication>)> {
        match self {
            Self::Publication(channel, publication) | Self::Delta(channel, publication, _) => {
                Some((channel, publication))
            }
            Self::Join(..) | Self::Leave(..) => None,
        }
    }
}

impl Log {
    /// Everything, in order of arrival.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().clone()
    }

    /// A channel's publications, in order of arrival.
    #[must_use]
    pub fn publications(&self, channel: &str) -> Vec<Arc<Publication>> {
        let log = self.events.lock();
        let publications = log.iter().filter_map(Event::publication);
        publications
            .filter(|(name, _)| name.as_str() == channel)
            .map(|(_, publication)| publication.clone())
            .collect()
    }

    /// The data of a channel's publications, in order of arrival.
    #[must_use]
    pub fn data(&self, channel: &str) -> Vec<String> {
        data(&self.publications(channel))
    }

    /// Of which channels events were said to be lost, in order of arrival; `None` is all of them. They are not among the
    /// [events](Self::events).
    #[must_use]
    pub fn lost(&self) -> Vec<Option<Channel>> {
        self.lost.lock().clone()
    }

    /// The number of events that arrived, whatever their channel.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.lock().len()
    }

    /// Whether nothing arrived.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl BrokerEvents for Log {
    fn publication(&self, channel: &Channel, publication: Arc<Publication>) {
        self.events.lock().push(Event::Publication(channel.clone(), publication));
    }

    fn delta_publication(
        &self,
        channel: &Channel,
        publication: Arc<Publication>,
        previous: Option<Arc<Publication>>,
    ) {
        self.events.lock().push(Event::Delta(channel.clone(), publication, previous));
    }

    fn join(&self, channel: &Channel, info: Arc<ClientInfo>) {
        self.events.lock().push(Event::Join(channel.clone(), info));
    }

    fn leave(&self, channel: &Channel, info: Arc<ClientInfo>) {
        self.events.lock().push(Event::Leave(channel.clone(), info));
    }

    fn position_lost(&self, channel: Option<&Channel>) {
        self.lost.lock().push(channel.cloned());
    }
}

/// The data of publications, as text.
fn data(publications: &[Arc<Publication>]) -> Vec<String> {
    let text =
        |publication: &Arc<Publication>| String::from_utf8_lossy(publication.data.as_ref()).into_owned();
    publications.iter().map(text).collect()
}

fn publish(channel: &str, data: &str) -> Publish {
    Publish::new(Channel::from(channel), Payload::from(data.as_bytes().to_vec()))
}

async fn start(harness: &impl Harness, channels: &[&str]) -> (Arc<Log>, Arc<dyn DynBroker>) {
    let log = Arc::new(Log::default());
    let broker = harness.broker(EventSink::new(log.clone())).await;
    let channels: Vec<_> = channels.iter().copied().map(Channel::from).collect();
    assert!(broker.subscribe(&channels).await.is_ok(), "subscribe");
    (log, broker)
}

async fn must_publish(broker: &Arc<dyn DynBroker>, publish: Publish) -> crate::Published {
    match broker.publish(publish).await {
        Ok(published) => published,
        Err(error) => {
            assert!(error.is_transient(), "publish failed for good: {error}");
            crate::Published::default()
        }
    }
}

/// Publications of a channel arrive once each and in order; those of channels nobody wants may or may not.
pub async fn order(harness: impl Harness) {
    let (log, broker) = start(&harness, &["a", "b"]).await;
    for number in 0..100 {
        must_publish(&broker, publish("a", &number.to_string())).await;
        must_publish(&broker, publish("b", &number.to_string())).await;
    }
    harness.settled(&log, 200).await;
    let expected: Vec<_> = (0..100).map(|number| number.to_string()).collect();
    assert_eq!(log.data("a"), expected);
    assert_eq!(log.data("b"), expected);
}

/// When `subscribe` has answered, the very next publication arrives.
pub async fn subscribe_is_a_barrier(harness: impl Harness) {
    let (log, broker) = start(&harness, &[]).await;
    for number in 0..50 {
        let channel = format!("barrier-{number}");
        assert!(broker.subscribe(&[Channel::from(channel.as_str())]).await.is_ok());
        must_publish(&broker, publish(&channel, "x")).await;
    }
    harness.settled(&log, 50).await;
    assert!((0..50).all(|number| log.data(&format!("barrier-{number}")) == ["x"]));
}

/// After `unsubscribe` has answered, a broker that needs interest delivers nothing of the channel any more.
pub async fn unsubscribe_stops_delivery(harness: impl Harness) {
    let (log, broker) = start(&harness, &["a", "marker"]).await;
    must_publish(&broker, publish("a", "before")).await;
    harness.settled(&log, 1).await;
    assert!(broker.unsubscribe(&[Channel::from("a")]).await.is_ok());
    assert!(broker.unsubscribe(&[Channel::from("never")]).await.is_ok(), "unsubscribing nothing is harmless");
    must_publish(&broker, publish("a", "after")).await;
    must_publish(&broker, publish("marker", "end")).await;
    harness.settled(&log, 2).await;
    if broker.capabilities().needs_interest {
        assert_eq!(log.data("a"), ["before"]);
    }
    assert_eq!(log.data("marker"), ["end"]);
}

/// Data, tags and info arrive as they were published.
pub async fn content_is_kept(harness: impl Harness) {
    let (log, broker) = start(&harness, &["a"]).await;
    let mut tagged = publish("a", "\u{0}\u{1}binary\u{7f}");
    tagged.options.tags = Some(Arc::new([("key".to_owned(), "value".to_owned())].into()));
    must_publish(&broker, tagged).await;
    harness.settled(&log, 1).await;
    let publication = log.publications("a").first().cloned().unwrap_or_default();
    assert_eq!(publication.data.as_ref(), "\u{0}\u{1}binary\u{7f}".as_bytes());
    let tags = publication.tags.as_deref().cloned().unwrap_or_default();
    assert_eq!(tags.get("key").map(String::as_str), Some("value"));
}

/// A repeated idempotency key has no effect, within its channel only.
pub async fn idempotency(harness: impl Harness) {
    let (log, broker) = start(&harness, &["a", "b"]).await;
    if !broker.capabilities().idempotency {
        return;
    }
    let keyed = |channel: &str, data: &str, key: &str| {
        let mut publish = publish(channel, data);
        key.clone_into(&mut publish.options.idempotency_key);
        publish
    };
    let first = must_publish(&broker, keyed("a", "1", "k")).await;
    let again = must_publish(&broker, keyed("a", "2", "k")).await;
    assert_eq!(first.suppressed, None);
    assert_eq!(again.suppressed, Some(Suppressed::Idempotency));
    assert_eq!(again.position, first.position, "the first one's position is told again");
    assert_eq!(must_publish(&broker, keyed("a", "3", "other")).await.suppressed, None);
    assert_eq!(must_publish(&broker, keyed("b", "4", "k")).await.suppressed, None);
    harness.settled(&log, 3).await;
    assert_eq!(log.data("a"), ["1", "3"]);
    assert_eq!(log.data("b"), ["4"]);
}

/// A broker without streams refuses to pretend: what needs one is unsupported, not ignored.
pub async fn capabilities_are_honest(harness: impl Harness) {
    let (log, broker) = start(&harness, &["a"]).await;
    let capabilities = broker.capabilities();
    assert_eq!(capabilities, broker.capabilities(), "constant over its life");
    let policy =
        crate::HistoryPolicy { size: 10, ttl: Duration::from_secs(60), meta_ttl: Duration::from_secs(60) };
    let mut kept = publish("a", "1");
    kept.options.history = Some(policy);
    match broker.publish(kept).await {
        Ok(published) => {
            assert!(capabilities.history, "took a publication to keep without keeping streams");
            assert_eq!(published.position.offset, 1);
            assert!(!published.position.epoch.is_unknown());
        }
        Err(error) => {
            assert!(!capabilities.history && error.is_unsupported(), "{error}");
            assert!(log.is_empty());
        }
    }
    let mut versioned = publish("a", "2");
    versioned.options.version = 7;
    if !capabilities.versions {
        let refused = broker.publish(versioned).await;
        assert!(refused.is_err_and(|error| error.is_unsupported()), "ignored a version");
    }
}

/// Concurrent publishers lose and double nothing, and each one's own order is kept.
pub async fn concurrent_publishers(harness: impl Harness) {
    let (log, broker) = start(&harness, &["a"]).await;
    let publisher = |name: usize| {
        let broker = broker.clone();
        async move {
            for number in 0..50 {
                must_publish(&broker, publish("a", &format!("{name}:{number}"))).await;
            }
        }
    };
    let mut publishers: Vec<_> = (0..4).map(|name| Box::pin(publisher(name))).collect();
    // Polled in turn rather than spawned: the suite names no runtime.
    std::future::poll_fn(|cx| {
        publishers.retain_mut(|publisher| publisher.as_mut().poll(cx).is_pending());
        if publishers.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    harness.settled(&log, 200).await;
    let data = log.data("a");
    assert_eq!(data.iter().collect::<HashSet<_>>().len(), 200);
    for name in 0..4 {
        let own: Vec<_> = data.iter().filter(|text| text.starts_with(&format!("{name}:"))).cloned().collect();
        let expected: Vec<_> = (0..50).map(|number| format!("{name}:{number}")).collect();
        assert_eq!(own, expected);
    }
}

/// Compiles the suite into a test module: one test a check. `$block_on` runs a future to its end; `$harness` makes a
/// [`Harness`].
#[macro_export]
macro_rules! conformance_suite {
    ($block_on:expr, $harness:expr) => {
        $crate::conformance_suite!(@tests $block_on, $harness,
            order subscribe_is_a_barrier unsubscribe_stops_delivery content_is_kept idempotency
            capabilities_are_honest concurrent_publishers publishing_now_is_publishing
            keys_are_forgotten_in_time offsets_count_from_one history_is_what_was_delivered
            pages_go_both_ways history_is_bounded_by_size history_ends_in_time positions_end_in_time
            another_epoch_gets_nothing removing_history_keeps_the_position nothing_is_kept_unless_asked
            policies_that_keep_nothing_are_refused keys_and_streams versions_ascend versions_of_epochs
            deltas_come_with_what_they_follow streams_of_concurrent_publishers
            presence_lists_who_is_there presence_counts_users_once presence_is_replaced_and_removed
            joins_and_leaves_arrive);
    };
    (@tests $block_on:expr, $harness:expr, $($check:ident)*) => {
        $(#[test]
        fn $check() {
            ($block_on)($crate::conformance::$check($harness));
        })*
    };
}
