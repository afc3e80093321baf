//! Many threads at once: order and atomicity.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;
use tourbillon_broker::{Broker, BrokerEvents, EventSink, History, HistoryQuery, Suppressed};
use tourbillon_broker_memory::MemoryEngine;
use tourbillon_types::{Channel, ClientInfo, Publication};

use crate::rig::{META_TTL, at_once, kept};

const THREADS: usize = 8;
const ROUNDS: usize = 500;
const CHANNELS: usize = 3;

/// Notes what arrives, and what is in the history at that moment.
#[derive(Default)]
struct Ear {
    arrived: Mutex<HashMap<Channel, Vec<u64>>>,
}

impl BrokerEvents for Ear {
    fn publication(&self, channel: &Channel, publication: Arc<Publication>) {
        self.arrived.lock().entry(channel.clone()).or_default().push(publication.offset);
        // Whoever comes between this and the next one would show it.
        thread::yield_now();
    }

    fn join(&self, _: &Channel, _: Arc<ClientInfo>) {}
    fn leave(&self, _: &Channel, _: Arc<ClientInfo>) {}
    fn position_lost(&self, _: Option<&Channel>) {}
}

fn engine() -> (Arc<Ear>, MemoryEngine) {
    let ear = Arc::new(Ear::default());
    let engine = MemoryEngine::default();
    engine.attach(EventSink::new(ear.clone()));
    (ear, engine)
}

#[test]
fn offsets_of_a_channel_and_its_deliveries_have_one_order() {
    let (ear, engine) = engine();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let engine = &engine;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let channel = format!("channel-{}", (thread + round) % CHANNELS);
                    let published = at_once(Broker::publish(engine, kept(&channel)));
                    assert!(published.expect("published").position.offset > 0);
                }
            });
        }
    });
    let arrived = ear.arrived.lock();
    assert_eq!(arrived.values().map(Vec::len).sum::<usize>(), THREADS * ROUNDS);
    for (channel, offsets) in arrived.iter() {
        let expected: Vec<u64> = (1..=offsets.len() as u64).collect();
        assert_eq!(*offsets, expected, "{channel}");
    }
}

#[test]
fn what_was_delivered_is_in_the_history_and_what_is_answered_was_delivered() {
    let (ear, engine) = engine();
    let channel = Channel::from("a");
    thread::scope(|scope| {
        for _ in 0..4 {
            let (engine, ear, channel) = (&engine, &ear, &channel);
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    let offset =
                        at_once(Broker::publish(engine, kept("a"))).expect("published").position.offset;
                    assert!(ear.arrived.lock().get(channel).is_some_and(|arrived| arrived.contains(&offset)));
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..ROUNDS {
                let delivered = ear.arrived.lock().get(&channel).and_then(|arrived| arrived.last().copied());
                let page =
                    at_once(engine.history(&channel, &HistoryQuery::default(), META_TTL)).expect("a page");
                assert!(page.position.offset >= delivered.unwrap_or_default());
                let offsets: Vec<_> =
                    page.publications.iter().map(|publication| publication.offset).collect();
                assert!(offsets.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{offsets:?}");
                assert_eq!(offsets.last().copied().unwrap_or_default(), page.position.offset);
            }
        });
    });
}

#[test]
fn of_publications_with_one_key_one_is_published() {
    let (ear, engine) = engine();
    let published: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let mut publish = kept("a");
                    "key".clone_into(&mut publish.options.idempotency_key);
                    at_once(Broker::publish(&engine, publish)).expect("published")
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let suppressed =
        |published: &&tourbillon_broker::Published| published.suppressed == Some(Suppressed::Idempotency);
    assert_eq!(published.iter().filter(suppressed).count(), THREADS - 1);
    assert!(published.windows(2).all(|pair| pair[0].position == pair[1].position));
    assert_eq!(ear.arrived.lock().get("a").map(Vec::len), Some(1));
}
