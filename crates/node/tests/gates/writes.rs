//! How often the operating system is asked, and whether bytes are copied on the way to it.

use tourbillon_types::{Channel, Payload};

use crate::budget::within;
use crate::harness::{Bench, since, total};

const SUBSCRIBERS: usize = 100;

#[test]
fn one_write_for_a_delivery_that_comes_alone() {
    const ROUNDS: usize = 50;
    let bench = Bench::new();
    let (channel, data) = (Channel::from("news"), Payload::from(r#"{"n":1}"#));
    let wires = bench.run(bench.subscribers(SUBSCRIBERS, "news"));
    let before = total(&wires);
    bench.run(async {
        for round in 1..=ROUNDS {
            bench.publish(&channel, &data).await;
            for wire in &wires {
                wire.until(2 + round).await;
            }
        }
    });
    let used = since(&wires, before);
    assert_eq!(used.messages, ROUNDS * SUBSCRIBERS);
    within("system calls per delivery, alone", (used.writes + used.reads) as f64 / used.messages as f64, 1.0);
    bench.end();
}

#[test]
fn few_writes_for_deliveries_that_come_together() {
    const ROUNDS: usize = 1_280;
    let bench = Bench::new();
    let (channel, data) = (Channel::from("news"), Payload::from(r#"{"n":1}"#));
    let wires = bench.run(bench.subscribers(SUBSCRIBERS, "news"));
    let before = total(&wires);
    bench.run(async {
        for _ in 0..ROUNDS {
            bench.publish(&channel, &data).await;
        }
        for wire in &wires {
            wire.until(2 + ROUNDS).await;
        }
    });
    let used = since(&wires, before);
    assert_eq!(used.messages, ROUNDS * SUBSCRIBERS);
    let per_delivery = (used.writes + used.reads) as f64 / used.messages as f64;
    within("system calls per delivery, saturated by the server", per_delivery, 0.05);
    bench.end();
}

/// One client publishes as fast as it can, all commands in its socket at once.
#[test]
fn few_writes_for_deliveries_of_a_busy_client() {
    const ROUNDS: usize = 640;
    let bench = Bench::new();
    let wires = bench.run(bench.subscribers(SUBSCRIBERS, "news"));
    let publisher = bench.run(bench.client());
    let before = total(&wires);
    bench.run(async {
        let command = br#"{"id":3,"publish":{"channel":"news","data":{"n":1}}}"#;
        publisher.send(std::iter::repeat_n(&command[..], ROUNDS));
        for wire in &wires {
            wire.until(2 + ROUNDS).await;
        }
        publisher.until(1 + ROUNDS).await;
    });
    let used = since(&wires, before);
    assert_eq!(used.messages, ROUNDS * SUBSCRIBERS);
    let per_delivery = (used.writes + used.reads) as f64 / used.messages as f64;
    within("system calls per delivery, saturated by a client", per_delivery, 0.05);
    let own = publisher.counts();
    within("writes per reply of a busy client", own.writes as f64 / own.messages as f64, 0.05);
    bench.end();
}

/// All subscribers of a channel are sent the same bytes in memory, the ones that the publication was encoded to.
#[test]
fn a_payload_is_not_copied_for_a_delivery() {
    let bench = Bench::new();
    let (channel, data) = (Channel::from("news"), Payload::from(r#"{"n":1}"#));
    let wires = bench.run(bench.subscribers(SUBSCRIBERS, "news"));
    bench.run(async {
        bench.publish(&channel, &data).await;
        for wire in &wires {
            wire.until(3).await;
        }
    });
    let first = wires[0].body();
    let copies = wires.iter().filter(|wire| wire.body() != first).count();
    within("payload copies per delivery", copies as f64 / SUBSCRIBERS as f64, 0.0);
    bench.end();
}
