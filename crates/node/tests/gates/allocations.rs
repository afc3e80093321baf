//! How often the memory allocator is asked.

use std::sync::Arc;
use std::time::Duration;

use tourbillon_node::{HistoryPolicy, PublishOptions};
use tourbillon_types::{Channel, Payload, Tags};

use crate::budget::{within, within_so_far};
use crate::harness::{Bench, connect};
use crate::wire::Wire;

const ROUNDS: usize = 200;

fn data() -> Payload {
    Payload::from(format!(r#"{{"text":"{}"}}"#, "x".repeat(117)).into_bytes())
}

/// Allocations of a publish and all its deliveries.
fn publishing(subscribers: usize) -> f64 {
    publishing_to(subscribers, "", &PublishOptions::default())
}

/// The same for subscribers that ask for more.
fn publishing_to(subscribers: usize, asked: &str, options: &PublishOptions) -> f64 {
    let bench = Bench::new();
    let (channel, data) = (Channel::from("news"), data());
    let wires = bench.run(bench.subscribers_of(subscribers, "news", asked));
    let publish = async |rounds: usize| {
        for _ in 0..rounds {
            let before = wires.first().map_or(0, |wire| wire.counts().messages);
            bench.publish_with(&channel, &data, options.clone()).await;
            for wire in &wires {
                wire.until(before + 1).await;
            }
        }
    };
    bench.run(publish(10));
    let cost = |rounds| bench.cost(publish(rounds)).count_total;
    let (few, many) = (cost(10), cost(10 + ROUNDS));
    bench.end();
    (many - few) as f64 / ROUNDS as f64
}

#[test]
fn a_delivery_allocates_nothing() {
    // Either is enough for the frame to be made once for all.
    let (few, many) = (publishing(20), publishing(120));
    within("allocations per delivery", (many - few) / 100.0, 0.0);
}

#[test]
fn a_delivery_with_position_filter_and_delta_allocates_nothing() {
    let mut options = PublishOptions::default();
    let (ttl, meta_ttl) = (Duration::from_secs(60), Duration::from_secs(3600));
    options.history = Some(HistoryPolicy { size: 10, ttl, meta_ttl });
    options.tags = Some(Arc::new(Tags::from([("place".to_owned(), "here".to_owned())])));
    options.delta = true;
    let filter = r#","positioned":true,"tf":{"key":"place","cmp":"eq","val":"here"}"#;
    let delta = r#","positioned":true,"delta":"fossil""#;
    for (name, asked) in [("a filter", filter), ("deltas", delta)] {
        let (few, many) = (publishing_to(20, asked, &options), publishing_to(120, asked, &options));
        within(&format!("allocations per delivery with position and {name}"), (many - few) / 100.0, 0.0);
    }
}

#[test]
fn allocations_of_a_publish() {
    within("allocations per publish", publishing(10), 2.0);
    within("allocations per publish without subscribers", publishing(0), 2.0);
}

/// Allocations of one command, from the frame to the reply.
fn command(text: &str) -> f64 {
    let bench = Bench::new();
    let wire = bench.run(bench.client());
    let call = async |rounds: usize| {
        for _ in 0..rounds {
            let before = wire.counts().messages;
            wire.send([text.as_bytes()]);
            wire.until(before + 1).await;
        }
    };
    bench.run(call(10));
    let cost = |rounds| bench.cost(call(rounds)).count_total;
    let (few, many) = (cost(10), cost(10 + ROUNDS));
    bench.end();
    (many - few) as f64 / ROUNDS as f64
}

#[test]
fn allocations_of_an_rpc() {
    within("allocations per RPC", command(r#"{"id":7,"rpc":{"method":"echo","data":{"n":12345678}}}"#), 1.0);
}

#[test]
fn allocations_of_a_publish_command() {
    let publish = r#"{"id":7,"publish":{"channel":"news","data":{"n":12345678}}}"#;
    // The channel's name, the options, who publishes, the publication, its message, the reply.
    within("allocations per publish command", command(publish), 6.0);
}

#[test]
fn allocations_of_a_connect() {
    const COUNT: usize = 1_024;
    let bench = Bench::new();
    let first = bench.run(bench.subscribers(COUNT, "news"));
    let mut ends = Vec::with_capacity(COUNT);
    let mut wires = Vec::with_capacity(COUNT);
    for _ in 0..COUNT {
        let (wire, reader, writer) = Wire::new();
        ends.push((reader, writer));
        wires.push(wire);
    }
    let cost = bench.cost(async {
        for (wire, (reader, writer)) in wires.iter().zip(ends.drain(..)) {
            bench.accept(reader, writer);
            connect(wire).await;
        }
    });
    within("allocations per connect", cost.count_total as f64 / COUNT as f64, 10.5);
    // The connection, its task, its writer, what the reader leaves for the writer, the client that hooks see; and
    // now and then a table grows.
    within_so_far("live allocations per connect", cost.count_current as f64 / COUNT as f64, 5.1, 3.0);
    drop(first);
    bench.end();
}
