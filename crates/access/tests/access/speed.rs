//! How long decisions take: `cargo test --release -p tourbillon-access -- --ignored --nocapture speed`.

use std::hint::black_box;

use tourbillon_access::{
    Attributes, Caps, Live, Namespaces, Patterns, PublishQuery, SubscribeQuery, TokenCheck,
};
use tourbillon_auth::{Capability, Matching};
use tourbillon_types::{Clock, Payload, Permissions, SystemClock};

use crate::harness::{config, namespaces};

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
    with_attributes();
}

/// What the rules beyond the options cost: they are asked only where they are used.
fn with_attributes() {
    let patterns = Patterns::default();
    let mut some = Capability::default();
    some.channels = vec!["news".to_owned(), "ns:*".to_owned()];
    some.matching = Matching::Wildcard;
    some.allow = Permissions::SUBSCRIBE;
    let caps = Caps::new(&[some], &patterns).expect("compiles");
    let mut config = config(|_| {});
    config.patterns = true;
    let mut path = config.namespaces[0].clone();
    "path".clone_into(&mut path.name);
    "/users/:user".clone_into(&mut path.pattern);
    path.channel.allow_subscribe_for_client = true;
    let mut cel = config.namespaces[0].clone();
    "cel".clone_into(&mut cel.name);
    "/cel/:user".clone_into(&mut cel.pattern);
    "vars.user == user || 'admin' in meta.roles".clone_into(&mut cel.channel.subscribe_cel);
    config.namespaces.extend([path, cel]);
    let rules = Live::new(Namespaces::new(&config).expect("sound"));
    let meta = Payload::from(r#"{"roles":["editor","admin"]}"#);
    let with_caps = Attributes { capabilities: Some(&caps), ..Attributes::default() };
    let with_meta = Attributes { meta: Some(&meta), ..Attributes::default() };
    for (name, channel, attributes) in [
        ("capabilities", "ns:room-17", with_caps),
        ("pattern", "/users/anna", Attributes::default()),
        ("pattern and expression", "/cel/ben", with_meta),
    ] {
        let query = SubscribeQuery { channel, user: "anna", attributes, kind: 0, token: TokenCheck::Absent };
        assert!(rules.with(|rules| rules.check_subscribe(&query)).is_allowed(), "{name}");
        measure(name, || {
            black_box(rules.with(|rules| rules.check_subscribe(black_box(&query))));
        });
    }
}
