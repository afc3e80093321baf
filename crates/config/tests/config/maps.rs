//! Options of keyed channels (OPT-22, OPT-23, OPT-25, MAP-01 to MAP-13).

use std::time::Duration;

use tourbillon::types::{MapPolicy, MapStream, Payload, SubscriptionKind};
use tourbillon_access::{Attributes, MapChange, MapChangeQuery};
use tourbillon_config::Settings;

use crate::harness::Sources;

fn settings(sources: Sources) -> Settings {
    Settings::new(&sources.taken().options).expect("sound")
}

#[test]
fn opt_22_23_options_of_keyed_channels_reach_the_channels() {
    let file = r#"{
        "map_broker": {"type": "memory"},
        "channel": {"namespaces": [
            {"name": "board", "subscription_type": "map", "map": {
                "mode": "recoverable", "key_ttl": "10m", "stream_size": 7, "stream_ttl": "2m", "meta_ttl": "1h",
                "remove_client_on_unsubscribe": true, "client_key": "user_id",
                "allow_publish_for_client": true, "allow_remove_for_subscriber": true,
                "default_page_size": 20, "min_page_size": 10, "max_page_size": 30,
                "live_transition_max_publication_limit": 40, "subscribe_catch_up_timeout": "-1s"
            }},
            {"name": "here", "subscription_type": "map_clients", "map": {"mode": "ephemeral", "key_ttl": "60s"}},
            {"name": "news", "map_clients_presence_channel_prefix": "here:"}
        ]}
    }"#;
    let namespaces = settings(Sources::json(file)).namespaces;
    let board = namespaces.channel_options("board:a").expect("the namespace exists");
    let rules = board.map.expect("there are keys");
    let [minute, hour] = [Duration::from_secs(60), Duration::from_secs(3600)];
    let stream = MapStream { size: 7, ttl: 2 * minute };
    let policy = MapPolicy { key_ttl: Some(10 * minute), stream: Some(stream), meta_ttl: Some(hour) };
    assert_eq!((board.kind, rules.policy), (SubscriptionKind::Map, policy));
    assert_eq!((rules.pages.default, rules.pages.min, rules.pages.max), (20, 10, 30));
    assert_eq!((rules.live_transition_limit, rules.catch_up_timeout), (40, Duration::MAX));
    assert!(rules.remove_client_on_unsubscribe);
    let here = namespaces.channel_options("here:a").expect("the namespace exists");
    assert_eq!(here.kind, SubscriptionKind::MapClients);
    assert_eq!(here.map.expect("there are keys").policy, MapPolicy::ephemeral(minute));
    let may = |user: &str, subscribed: bool, change: MapChange<'_>| {
        let attributes = Attributes::default();
        let query = MapChangeQuery { channel: "board:a", user, attributes, subscribed, change };
        namespaces.check_map_change(&query).is_allowed()
    };
    let data = Payload::from("1");
    assert!(may("anna", false, MapChange::Publish(&data)) && !may("", true, MapChange::Publish(&data)));
    assert!(may("anna", true, MapChange::Remove) && !may("anna", false, MapChange::Remove));
    let options = namespaces.subscription_options(
        "news:a",
        "anna",
        Attributes::default(),
        Default::default(),
        Default::default(),
    );
    let presence = options.expect("the namespace exists").map_presence.expect("it is shown somewhere");
    assert_eq!(presence.clients.as_deref(), Some("here:news:a"));
}

#[test]
fn conf_04_options_of_keyed_channels_come_from_variables_too() {
    let file = r#"{"channel": {"namespaces": [{"name": "board", "subscription_type": "map"}]}}"#;
    let variables = [
        ("CENTRIFUGO_CHANNEL_NAMESPACES_BOARD_MAP_MODE", "persistent"),
        ("CENTRIFUGO_CHANNEL_NAMESPACES_BOARD_MAP_STREAM_SIZE", "5"),
        ("CENTRIFUGO_CHANNEL_WITHOUT_NAMESPACE_SUBSCRIPTION_TYPE", "map_users"),
        ("CENTRIFUGO_CHANNEL_WITHOUT_NAMESPACE_MAP_MODE", "ephemeral"),
        ("CENTRIFUGO_CHANNEL_WITHOUT_NAMESPACE_MAP_KEY_TTL", "1m"),
    ];
    let namespaces = settings(Sources::json(file).variables(&variables)).namespaces;
    let policy = |channel: &str| {
        let options = namespaces.channel_options(channel).expect("the namespace exists");
        options.map.expect("there are keys").policy
    };
    let stream = MapStream { size: 5, ..MapStream::default() };
    assert_eq!(policy("board:a"), MapPolicy::persistent(stream));
    assert_eq!(policy("a"), MapPolicy::ephemeral(Duration::from_secs(60)));
}

#[test]
fn what_contradicts_itself_is_refused_with_its_path() {
    for (options, problem) in [
        (
            r#""subscription_type":"map""#,
            "map.mode: is needed where `subscription_type` is map, map_clients or map_users",
        ),
        (
            r#""subscription_type":"map","map":{"mode":"recoverable"}"#,
            r#"map.key_ttl: is needed for mode "recoverable""#,
        ),
        (
            r#""subscription_type":"map","map":{"mode":"ephemeral","key_ttl":"-1s"}"#,
            "map.key_ttl: must not be negative",
        ),
        (
            r#""subscription_type":"map_users","map":{"mode":"persistent"}"#,
            r#"map.mode: must not be "persistent" for map_clients and map_users, whose keys have to end by themselves"#,
        ),
        (
            r#""subscription_type":"map","map":{"mode":"persistent"},"batch_max_size":2"#,
            "batch_max_size: needs `subscription_type` stream: what channels with keys send is neither collected nor dropped",
        ),
        (
            r#""subscription_type":"map_clients","map":{"mode":"ephemeral","key_ttl":"1m"},"batch_max_delay":"1s""#,
            "batch_max_delay: needs `subscription_type` stream",
        ),
        (
            r#""subscription_type":"map","map":{"mode":"persistent"},"overflow_policy":"drop_oldest""#,
            "overflow_policy: needs `subscription_type` stream",
        ),
        (
            r#""map_users_presence_channel_prefix":"here:""#,
            r#"map_users_presence_channel_prefix: leads to namespace "here", which must be there and have `subscription_type` map_users"#,
        ),
    ] {
        let file = format!(r#"{{"channel":{{"namespaces":[{{"name":"aa",{options}}}]}}}}"#);
        let refused = Sources::json(&file).read().expect_err(problem);
        let wanted = format!("channel.namespaces[0].{problem}");
        assert!(refused.lines().any(|line| line.contains(&wanted)), "{refused}");
    }
}

#[test]
fn who_has_no_room_in_a_channel_with_keys_is_disconnected() {
    let file = r#"{"channel":{"namespaces":[{"name":"board","subscription_type":"map","overflow_policy":"disconnect",
        "batch_max_size":0,"map":{"mode":"persistent"}}]}}"#;
    let namespaces = settings(Sources::json(file)).namespaces;
    assert!(namespaces.find("board:a").is_ok_and(|found| found.rules.batching.is_none()));
    let file = r#"{"channel":{"proxy":{"shared_poll_refresh":{"endpoint":"http://a"}},"namespaces":[{"name":"polled",
        "subscription_type":"shared_poll","overflow_policy":"keep_latest"}]},"shared_poll":{"hmac_secret_key":"s"}}"#;
    let refused = Sources::json(file).read().expect_err("refused");
    assert!(refused.starts_with("channel.namespaces[0].overflow_policy: needs"), "{refused}");
}
