//! One node, simulated: clients that drop at any moment and come back, streams that are published to, trimmed and
//! forgotten, and a broker that loses and swaps deliveries. Whatever happens, what a client has of a channel is a piece
//! of the channel's stream without a hole, or the client was told where it was cut (invariant 8).
//!
//! Time is virtual and everything runs in one thread. A failure names its seed; the order in which tasks run is part
//! of the seed, but for maps with random keys inside the node.

mod client;
mod world;

use std::time::Duration;

use client::{Kind, SimClient, Tally};
use world::{Random, World};

const SEEDS: u64 = 200;
const STEPS: u64 = 180;
const CHANNELS: [&str; 2] = ["a", "b"];

/// What may happen in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weather {
    /// Nothing is lost, and everything is kept.
    Calm,
    /// Streams are short, trimmed and forgotten, and the broker loses and swaps deliveries.
    Stormy,
}

/// Everything that happens under one seed.
fn run(seed: u64, positions: bool, weather: Weather) -> Tally {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(simulate(seed, positions, weather))
}

async fn simulate(seed: u64, positions: bool, weather: Weather) -> Tally {
    let mut random = Random::new(seed);
    let mut world = World::start(&mut random, positions, weather);
    let mut clients: Vec<SimClient> = (0..5)
        .map(|at| {
            let kind = if at % 2 == 0 { Kind::Own } else { Kind::Servers };
            SimClient::new(CHANNELS[at % CHANNELS.len()], kind, positions)
        })
        .collect();
    for _ in 0..STEPS {
        let chosen = random.below(clients.len() as u64) as usize;
        let channel = CHANNELS[random.below(CHANNELS.len() as u64) as usize];
        let client = &mut clients[chosen];
        match random.below(100) {
            0..22 => world.publish(channel).await,
            22..57 => client.read(&world, random.below(6)),
            57..77 => client.come(&world, &mut random),
            77..87 => client.drop_connection(),
            87..91 => world.pass(Duration::from_millis(random.below(300))).await,
            91..93 if weather == Weather::Stormy => world.pass(Duration::from_secs(random.below(40))).await,
            93..95 if weather == Weather::Stormy => world.trim(channel).await,
            _ => {
                for _ in 0..random.below(8) {
                    world.publish(channel).await;
                }
            }
        }
        world.settle(random.below(12)).await;
    }
    finish(&mut world, &mut clients, &mut random).await;
    let mut tally = Tally::default();
    for client in clients {
        tally += client.tally;
    }
    world.end().await;
    tally
}

/// Lets everybody come back and catch up, and compares what they have with what was published.
async fn finish(world: &mut World, clients: &mut [SimClient], random: &mut Random) {
    world.calm_down();
    for round in 0..300 {
        for client in clients.iter_mut() {
            client.come(world, random);
            client.read(world, u64::MAX);
        }
        world.settle(30).await;
        // Something is published now and then, so that whoever lost the end finds out; the rest takes the check.
        if round % 40 == 20 {
            for channel in CHANNELS {
                world.publish(channel).await;
            }
        }
        world.pass(Duration::from_millis(500)).await;
        if round > 30 && clients.iter().all(|client| client.is_up_to_date(world)) {
            break;
        }
    }
    for client in clients {
        client.check(world);
    }
}

fn all(positions: bool, weather: fn(u64) -> Weather) -> Tally {
    let mut tally = Tally::default();
    for seed in 0..SEEDS {
        let run = std::panic::catch_unwind(|| run(seed, positions, weather(seed)));
        tally += run.unwrap_or_else(|_| panic!("seed {seed}, positions {positions}"));
    }
    tally
}

#[test]
fn every_client_has_the_stream_or_was_told() {
    let tally = all(true, |seed| if seed % 4 == 0 { Weather::Calm } else { Weather::Stormy });
    // Both ends happen, and often.
    assert!(tally.recovered > 300 && tally.told > 200 && tally.insufficient > 100, "{tally:?}");
}

#[test]
fn where_nothing_is_lost_every_client_recovers_everything() {
    let mut tally = Tally::default();
    for seed in 0..SEEDS / 4 {
        tally += run(1_000 + seed, true, Weather::Calm);
    }
    assert_eq!((tally.told, tally.insufficient), (0, 0), "{tally:?}");
    assert!(tally.recovered > 200, "{tally:?}");
}

#[test]
fn without_positions_a_connection_misses_nothing_while_it_lasts() {
    let tally = all(false, |seed| if seed % 2 == 0 { Weather::Calm } else { Weather::Stormy });
    assert_eq!((tally.recovered, tally.told, tally.insufficient), (0, 0, 0), "{tally:?}");
    assert!(tally.publications > 5_000, "{tally:?}");
}
