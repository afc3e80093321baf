//! How many bytes a connection keeps, and that they are given back.

use tourbillon_types::{Channel, Payload};

use crate::budget::within;
use crate::harness::{Bench, connect, subscribe};
use crate::wire::Wire;

const COUNT: usize = 1_024;

/// Streams that are there before anything is measured.
fn wires(count: usize) -> (Vec<Wire>, Vec<(crate::wire::WireReader, crate::wire::WireWriter)>) {
    let made = (0..count).map(|_| Wire::new()).map(|(wire, reader, writer)| (wire, (reader, writer)));
    made.unzip()
}

#[test]
fn bytes_of_an_idle_connection() {
    let bench = Bench::new();
    // Two rounds: the second is the slope, tables and scratch memory are there.
    let mut bytes = 0;
    let mut kept = Vec::new();
    for _ in 0..2 {
        let (wires, mut ends) = wires(COUNT);
        kept.reserve(wires.len());
        let cost = bench.cost(async {
            for (wire, (reader, writer)) in wires.iter().zip(ends.drain(..)) {
                bench.accept(reader, writer);
                connect(wire).await;
            }
        });
        bytes = cost.bytes_current;
        kept.extend(wires);
    }
    // A task of 512 bytes, 160 of the client that hooks see, 200 of the connection, 48 of its writer, 40 between
    // reader and writer, and its places in tables.
    within("bytes per idle connection", bytes as f64 / COUNT as f64, 1_024.0);
    let cost = bench.cost(async {
        for wire in &kept {
            subscribe(wire, "news:a_channel_with_a_name_of_usual_length").await;
        }
    });
    within("bytes per subscription to one channel", cost.bytes_current as f64 / kept.len() as f64, 64.0);
    let cost = bench.cost(async {
        for (number, wire) in kept.iter().enumerate() {
            subscribe(wire, &format!("own:{number}")).await;
        }
    });
    within("bytes per subscription to an own channel", cost.bytes_current as f64 / kept.len() as f64, 280.0);
    bench.end();
}

/// The place in the session, the one in the channel with the position, and the one in the index of the channel.
#[test]
fn bytes_of_a_subscription_with_a_position() {
    let bench = Bench::new();
    let (wires, mut ends) = wires(2 * COUNT);
    bench.run(async {
        for (wire, (reader, writer)) in wires.iter().zip(ends.drain(..)) {
            bench.accept(reader, writer);
            connect(wire).await;
        }
    });
    let mut rest = wires.as_slice();
    let mut subscribe_more = |count: usize| {
        let (more, others) = rest.split_at(count);
        rest = others;
        let cost = bench.cost(async {
            for wire in more {
                subscribe(wire, "position:a_channel_with_a_name_of_usual_length").await;
            }
        });
        cost.bytes_current
    };
    // Tables grow by leaps: one of these counts comes just after one. The first ones pay for what is made once.
    subscribe_more(64);
    let (mut count, mut bytes) = (0, 0);
    for more in [COUNT - 127, 65, 65, 257, COUNT - 324] {
        bytes += subscribe_more(more);
        count += more;
        let what = format!("bytes per subscription with a position, of {count}");
        within(&what, bytes as f64 / count as f64, 100.0);
    }
    bench.end();
}

#[test]
fn nothing_is_left_of_connections_that_went() {
    let bench = Bench::new();
    let (channel, data) = (Channel::from("news"), Payload::from(r#"{"n":1}"#));
    let round = |count: usize| {
        let (wires, mut ends) = wires(count);
        let cost = bench.cost(async {
            for (number, (wire, (reader, writer))) in wires.iter().zip(ends.drain(..)).enumerate() {
                bench.accept(reader, writer);
                connect(wire).await;
                subscribe(wire, "news").await;
                subscribe(wire, &format!("own:{number}")).await;
            }
            bench.publish(&channel, &data).await;
            for wire in &wires {
                wire.until(4).await;
                wire.end();
            }
            while bench.node.stats() != Default::default() {
                tokio::task::yield_now().await;
            }
            // What an alarm of the timing wheel still holds is gone after its time.
            tokio::time::advance(std::time::Duration::from_secs(60)).await;
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
        });
        // The halves of the streams were allocated before, and freed meanwhile.
        cost.bytes_current
    };
    // Tables that stay have the size that the unluckiest distribution over shards needs: it is found in a while.
    let rounds = |rounds: usize| (0..rounds).map(|_| round(COUNT)).sum::<i64>();
    rounds(8);
    let left = rounds(8);
    within("bytes left of a connection that went", left as f64 / (8 * COUNT) as f64, 1.0);
    bench.end();
}

#[test]
fn little_waits_for_the_alarm_of_a_connection_that_went() {
    let bench = Bench::new();
    let (wires, mut ends) = wires(COUNT + 1);
    let (stays, wires) = wires.split_first().expect("one more");
    let (reader, writer) = ends.remove(0);
    bench.cost(async {
        bench.accept(reader, writer);
        connect(stays).await;
    });
    let cost = bench.cost(async {
        for (wire, (reader, writer)) in wires.iter().zip(ends.drain(..)) {
            bench.accept(reader, writer);
            connect(wire).await;
            wire.end();
        }
        while bench.node.stats().clients != 1 {
            tokio::task::yield_now().await;
        }
        // A tick of the timing wheel, long before any of their alarms.
        tokio::time::advance(std::time::Duration::from_millis(200)).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    });
    // Of tables that stay; the connections themselves had over 200 each.
    within("bytes until the alarm of a connection that went", cost.bytes_current as f64 / COUNT as f64, 64.0);
    // Whoever stays is pinged as if nothing had been.
    bench.cost(async {
        tokio::time::advance(std::time::Duration::from_secs(26)).await;
        stays.until(2).await;
    });
    bench.end();
}
