//! Whatever is published, missed, lost and hidden, and whoever comes and goes: a follower gets what was published, or is
//! told that it does not.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use proptest::prelude::*;
use tourbillon_broker::{
    Broker, BrokerError, Capabilities, EventSink, History, HistoryPolicy, HistoryQuery, Page, Parts, Publish,
    Published, Stop,
};
use tourbillon_node::NodeConfig;
use tourbillon_recovery::StreamLog;
use tourbillon_types::{
    Channel, Encoding, Epoch, Instant, Payload, Publication, StreamPosition, TagFilter, TagMatcher, Tags,
};

use crate::follower::{Follower, Received};
use crate::harness::{TestNode, start_on};
use crate::scripted::ByName;

const POLICY: HistoryPolicy =
    HistoryPolicy { size: 12, ttl: Duration::from_secs(3600), meta_ttl: Duration::from_secs(3600) };

/// A broker that loses what the test wants lost.
#[derive(Clone, Debug)]
struct Lossy(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    events: OnceLock<EventSink>,
    log: Mutex<StreamLog>,
}

impl Lossy {
    fn new() -> Self {
        let log = StreamLog::new(Epoch::from("abcd"), Instant::ZERO, POLICY.meta_ttl);
        Self(Arc::new(Inner { events: OnceLock::new(), log: Mutex::new(log) }))
    }

    fn publish(
        &self,
        channel: &str,
        publication: Publication,
        in_stream: bool,
        delta: bool,
        lost: bool,
    ) -> Arc<Publication> {
        let publication = if in_stream {
            self.0.log.lock().append(Instant::ZERO, &POLICY, publication)
        } else {
            Arc::new(publication)
        };
        if !lost {
            let events = self.0.events.get().expect("the node listens");
            let channel = Channel::from(channel);
            if delta {
                events.delta_publication(&channel, publication.clone(), None);
            } else {
                events.publication(&channel, publication.clone());
            }
        }
        publication
    }
}

impl Broker for Lossy {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.history = true;
        capabilities
    }

    fn parts(self: Arc<Self>) -> Parts {
        let mut parts = Parts::default();
        parts.history = Some(self);
        parts
    }

    async fn publish(&self, _: Publish) -> Result<Published, BrokerError> {
        Err(BrokerError::unsupported("publish"))
    }

    async fn subscribe(&self, _: &[Channel]) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn unsubscribe(&self, _: &[Channel]) -> Result<(), BrokerError> {
        Ok(())
    }

    fn attach(&self, events: EventSink) {
        let _ = self.0.events.set(events);
    }

    async fn run(&self, stop: Stop) -> Result<(), BrokerError> {
        stop.await;
        Ok(())
    }
}

impl History for Lossy {
    async fn history(
        &self,
        _: &Channel,
        query: &HistoryQuery,
        meta_ttl: Duration,
    ) -> Result<Page, BrokerError> {
        Ok(self.0.log.lock().read(Instant::ZERO, query, meta_ttl))
    }

    async fn remove_history(&self, _: &Channel) -> Result<(), BrokerError> {
        Ok(())
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Follower so-and-so comes, or comes again, with or without what it had.
    Join {
        who: usize,
        protobuf: bool,
        delta: bool,
        filter: bool,
        recover: bool,
    },
    Leave {
        who: usize,
    },
    Publish {
        text: usize,
        tagged: bool,
        delta: bool,
        lost: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let join =
        (0..4_usize, any::<bool>(), prop::bool::weighted(0.8), prop::bool::weighted(0.3), any::<bool>());
    let publish =
        (0..TEXTS.len(), prop::bool::weighted(0.6), prop::bool::weighted(0.8), prop::bool::weighted(0.1));
    prop_oneof![
        2 => join.prop_map(|(who, protobuf, delta, filter, recover)| Step::Join { who, protobuf, delta, filter, recover }),
        1 => (0..4_usize).prop_map(|who| Step::Leave { who }),
        6 => publish.prop_map(|(text, tagged, delta, lost)| Step::Publish { text, tagged, delta, lost }),
    ]
}

/// Some that deltas are good for, and some that they are not.
const TEXTS: [&str; 4] = [
    r#""a text that comes again and again, with <ümläuts> and all of that in it""#,
    r#""a text that comes again and again, with <ümlauts> and most of that in it, and some of it twice""#,
    r#""1""#,
    r#"{"nothing":["like","the",  "others",{"at":"all"}]}"#,
];

struct World {
    test: TestNode,
    broker: Lossy,
    channel: &'static str,
    in_stream: bool,
    published: Vec<Arc<Publication>>,
    followers: [Option<Member>; 4],
}

struct Member {
    follower: Follower,
    filter: Option<TagMatcher>,
    /// What was published before it came.
    since: usize,
    /// How many it has of those that it should have.
    seen: Vec<Received>,
}

fn tags() -> Tags {
    Tags::from([("shown".to_owned(), "yes".to_owned())])
}

fn shown() -> TagFilter {
    TagFilter { key: "shown".to_owned(), cmp: "ex".to_owned(), ..TagFilter::default() }
}

impl World {
    async fn run(&mut self, step: Step) {
        match step {
            Step::Join { who, protobuf, delta, filter, recover } => {
                let position = match self.followers[who].take() {
                    Some(mut member) => {
                        member.follower.settle().await;
                        member.follower.position.clone()
                    }
                    None => StreamPosition::default(),
                };
                let encoding = if protobuf { Encoding::Protobuf } else { Encoding::Json };
                let mut follower = Follower::connect(&self.test, encoding, self.channel).await;
                let since = position.offset;
                let result = follower.subscribe(|subscribe| {
                    subscribe.delta = if delta { "fossil".to_owned() } else { String::new() };
                    subscribe.filter = filter.then(|| Box::new(shown()));
                    subscribe.recover = recover;
                    subscribe.flag = 1;
                    subscribe.position = position;
                });
                let result = result.await.expect("subscribed");
                let since = if result.recovered {
                    usize::try_from(since).expect("small")
                } else {
                    self.published.len()
                };
                let filter = filter.then(|| TagMatcher::new(&shown(), Default::default()).expect("a filter"));
                self.followers[who] = Some(Member { follower, filter, since, seen: Vec::new() });
            }
            Step::Leave { who } => {
                if let Some(member) = &mut self.followers[who]
                    && member.follower.unsubscribed.is_none()
                {
                    member.follower.unsubscribe().await;
                    self.check(who).await;
                    self.followers[who] = None;
                }
            }
            Step::Publish { text, tagged, delta, lost } => {
                let number = self.published.len() + 1;
                let data =
                    Payload::from(format!(r#"{{"number":{number},"text":{}}}"#, TEXTS[text]).into_bytes());
                let tags = tagged.then(|| Arc::new(tags()));
                let publication = Publication { data, tags, ..Publication::default() };
                // Outside a stream nobody learns that something is lost.
                let lost = lost && self.in_stream;
                let published = self.broker.publish(self.channel, publication, self.in_stream, delta, lost);
                self.published.push(published);
            }
        }
        for who in 0..self.followers.len() {
            self.check(who).await;
        }
    }

    /// What a follower has is what was published, shown, and not before it came; and all of it, or it was told.
    async fn check(&mut self, who: usize) {
        let Some(member) = &mut self.followers[who] else { return };
        member.seen.extend(member.follower.news().await);
        let due = self.published[member.since..].iter().filter(|publication| {
            member.filter.as_ref().is_none_or(|filter| filter.matches_publication(publication))
        });
        let due: Vec<_> = due.collect();
        let seen = &member.seen;
        assert!(seen.len() <= due.len());
        for (seen, due) in seen.iter().zip(&due) {
            assert_eq!(
                (seen.offset, String::from_utf8_lossy(&seen.data)),
                (due.offset, String::from_utf8_lossy(due.data.as_ref()))
            );
        }
    }

    /// After something that is not lost, everybody has everything or was told.
    async fn end(mut self) {
        self.run(Step::Publish { text: 0, tagged: true, delta: true, lost: false }).await;
        self.run(Step::Publish { text: 1, tagged: true, delta: true, lost: false }).await;
        for member in self.followers.iter().flatten() {
            if member.follower.unsubscribed.is_some() {
                continue;
            }
            let last = member.seen.last().expect("something came");
            assert_eq!(Some(&last.data[..]), self.published.last().map(|last| last.data.as_ref()));
        }
        drop(self.followers);
        self.test.end().await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn followers_get_what_was_published(
        steps in prop::collection::vec(step(), 1..60),
        channel in prop::sample::select(vec!["recover_delta_filter", "position_delta_filter_compact", "delta_filter_keep", "recover_delta_filter_loose", "delta_filter_keep_compact_loose", "delta_filter"]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async move {
            let broker = Lossy::new();
            let test = start_on(broker.clone(), ByName, NodeConfig::default());
            let in_stream = !channel.starts_with("delta");
            let followers = [const { None }; 4];
            let mut world = World { test, broker, channel, in_stream, published: Vec::new(), followers };
            for step in steps {
                world.run(step).await;
            }
            world.end().await;
        });
    }
}
