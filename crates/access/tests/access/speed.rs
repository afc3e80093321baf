//! How long decisions take: `cargo test --release -p tourbillon-access -- --ignored --nocapture speed`.

use std::hint::black_box;

use tourbillon_access::{Live, PublishQuery, SubscribeQuery, TokenCheck};
use tourbillon_types::{Clock, Payload, SystemClock};

use crate::harness::namespaces;

#[expect(clippy::print_stdout, reason = "the output is what this is for")]
fn measure(name: &str, mut work: impl FnMut()) {
    let clock = SystemClock::new();
    let rounds = 2_000_000;
    let start = clock.now().instant;
    for _ in 0..rounds {
        work();
    }
    println!("{name}: {:?}", clock.now().instant.saturating_since(start) / rounds);
}

#[test]
#[ignore = "a measurement, not a check"]
fn a_decision_in_nanoseconds() {
    let rules = Live::new(namespaces(|channel| {
        channel.allow_user_limited_channels = true;
        channel.allow_subscribe_for_client = true;
        channel.allow_publish_for_subscriber = true;
    }));
    let data = Payload::from(r#"{"text":"hello"}"#);
    measure("options", || {
        let found = rules.with(|rules| rules.channel_options(black_box("ns:room-17")));
        assert!(black_box(found).is_ok());
    });
    for (name, channel, user) in [
        ("subscribe", "ns:room-17", "anna"),
        ("user-limited", "ns:room#ben,anna", "anna"),
        ("refused", "ns:x", ""),
    ] {
        let query = SubscribeQuery {
            attributes: Default::default(),
            channel,
            user,
            kind: 0,
            token: TokenCheck::Absent,
        };
        measure(name, || {
            black_box(rules.with(|rules| rules.check_subscribe(black_box(&query))));
        });
    }
    let query = PublishQuery {
        attributes: Default::default(),
        channel: "ns:room-17",
        user: "anna",
        subscribed: true,
        data: &data,
    };
    measure("publish", || {
        black_box(rules.with(|rules| rules.check_publish(black_box(&query))));
    });
}
