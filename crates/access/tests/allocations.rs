//! What a decision costs in memory: nothing.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]

use std::hint::black_box;

use allocation_counter::measure;
use tourbillon_access::{
    Asked, ChannelConfig, NamespaceConfig, Namespaces, NamespacesConfig, PublishQuery, ReadQuery,
    SubscribeQuery, TokenCheck,
};
use tourbillon_auth::Overrides;
use tourbillon_types::Payload;

#[test]
fn looking_channels_up_and_deciding_allocates_nothing() {
    let channel = ChannelConfig {
        presence: true,
        allow_user_limited_channels: true,
        allow_presence_for_subscriber: true,
        allow_publish_for_subscriber: true,
        channel_regex: "^[a-z]".to_owned(),
        ..ChannelConfig::default()
    };
    let config = NamespacesConfig {
        patterns: true,
        namespaces: vec![
            NamespaceConfig {
                name: "path".to_owned(),
                pattern: "/a/:b".to_owned(),
                channel: channel.clone(),
            },
            NamespaceConfig { name: "ns".to_owned(), pattern: String::new(), channel },
        ],
        ..NamespacesConfig::default()
    };
    let namespaces = Namespaces::new(&config).expect("is sound");
    let data = Payload::from("{}");
    let names = ["ns:room-17", "$ns:room", "ns:room#ben,anna", "room", "no:room", "ns:ü", "/a/b", "/b"];
    let round = || {
        for channel in names {
            for user in ["", "anna"] {
                let _ = black_box(namespaces.channel_options(channel));
                let query = SubscribeQuery {
                    attributes: Default::default(),
                    channel,
                    user,
                    kind: 0,
                    token: TokenCheck::Absent,
                };
                black_box(namespaces.check_subscribe(&query));
                let query = ReadQuery { attributes: Default::default(), channel, user, subscribed: true };
                black_box(namespaces.check_presence(&query));
                black_box(namespaces.check_history(&query));
                black_box(namespaces.check_publish(&PublishQuery {
                    attributes: Default::default(),
                    channel,
                    user,
                    subscribed: true,
                    data: &data,
                }));
                let asked = Asked { positioned: true, recoverable: true, join_leave: true };
                let _ = black_box(namespaces.features(
                    channel,
                    user,
                    Default::default(),
                    asked,
                    Overrides::default(),
                ));
            }
        }
    };
    // The expression engine takes its scratch memory once.
    round();
    let counted = measure(|| (0..100).for_each(|_| round()));
    assert_eq!(counted.count_total, 0, "{counted:?}");
}
