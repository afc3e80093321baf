//! PERM-06: who may change keys, and the options of keyed channels.

use std::sync::Arc;
use std::time::Duration;

use tourbillon_access::{
    Action, Attributes, Caps, ChannelConfig, ExplainQuery, Live, MapChange, MapChangeQuery, Namespaces,
    Patterns, Rule, SubscribeQuery, TokenCheck, explain,
};
use tourbillon_node::{
    Hooks, MapPublishDecision, MapPublishRequest, MapRemoveDecision, MapRemoveRequest, SubscriptionKind,
};
use tourbillon_types::{Channel, MapPolicy, MapPresence, MapStream, PageSizes, Payload, Permissions};

use crate::harness::End::{self, Allowed, Error};
use crate::harness::{
    NOW, chain, client, config, connect_token, decided, end, insecure, namespaces, now, tokens_config,
};

const MINUTE: Duration = Duration::from_secs(60);

fn keyed(channel: &mut ChannelConfig) {
    channel.subscription_type = "map".to_owned();
    channel.map.mode = "recoverable".to_owned();
    channel.map.key_ttl = MINUTE;
}

fn rules(set: impl FnOnce(&mut ChannelConfig)) -> Namespaces {
    namespaces(|channel| {
        keyed(channel);
        set(channel);
    })
}

/// Sets a key, or removes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Set,
    Remove,
}

#[track_caller]
fn check(namespaces: &Namespaces, what: What, (user, subscribed): (&str, bool), by: Rule, expect: End) {
    let data = Payload::from("{}");
    let change = if what == What::Set { MapChange::Publish(&data) } else { MapChange::Remove };
    for channel in ["news", "ns:news"] {
        let query = MapChangeQuery { channel, user, attributes: Attributes::default(), subscribed, change };
        let decision = namespaces.check_map_change(&query);
        assert_eq!(decided(&decision), expect, "{what:?} {user:?} {subscribed}: {decision:#?}");
        assert_eq!(decision.deciding().map(|step| step.rule), Some(by), "{what:?}: {decision:#?}");
    }
}

#[test]
fn perm_06_nothing_is_allowed_by_default_or_by_the_options_of_streams() {
    let streams = rules(|channel| {
        channel.allow_publish_for_client = true;
        channel.allow_publish_for_subscriber = true;
        channel.allow_publish_for_anonymous = true;
        channel.map.allow_publish_for_anonymous = true;
        channel.map.allow_remove_for_anonymous = true;
    });
    for what in [What::Set, What::Remove] {
        for who in [("anna", false), ("anna", true), ("", false), ("", true)] {
            check(&rules(|_| ()), what, who, Rule::Otherwise, Error(103));
            check(&streams, what, who, Rule::Otherwise, Error(103));
        }
    }
}

#[test]
fn map_08_setting_and_removing_have_options_of_their_own() {
    for (set, what, other, by, while_subscribed) in [
        (
            (|channel: &mut ChannelConfig| channel.map.allow_publish_for_client = true) as fn(&mut _),
            What::Set,
            What::Remove,
            Rule::MapAllowPublishForClient,
            false,
        ),
        (
            |channel| channel.map.allow_publish_for_subscriber = true,
            What::Set,
            What::Remove,
            Rule::MapAllowPublishForSubscriber,
            true,
        ),
        (
            |channel| channel.map.allow_remove_for_client = true,
            What::Remove,
            What::Set,
            Rule::MapAllowRemoveForClient,
            false,
        ),
        (
            |channel| channel.map.allow_remove_for_subscriber = true,
            What::Remove,
            What::Set,
            Rule::MapAllowRemoveForSubscriber,
            true,
        ),
    ] {
        let named = rules(set);
        check(&named, what, ("anna", true), by, Allowed);
        let (rule, outside) = if while_subscribed { (Rule::Otherwise, Error(103)) } else { (by, Allowed) };
        check(&named, what, ("anna", false), rule, outside);
        check(&named, what, ("", true), Rule::Otherwise, Error(103));
        check(&named, other, ("anna", true), Rule::Otherwise, Error(103));
        let anybody = rules(|channel| {
            set(channel);
            channel.map.allow_publish_for_anonymous = what == What::Set;
            channel.map.allow_remove_for_anonymous = what == What::Remove;
        });
        check(&anybody, what, ("", true), by, Allowed);
        let wrong_one = rules(|channel| {
            set(channel);
            channel.map.allow_publish_for_anonymous = what == What::Remove;
            channel.map.allow_remove_for_anonymous = what == What::Set;
        });
        check(&wrong_one, what, ("", true), Rule::Otherwise, Error(103));
    }
}

#[test]
fn perm_06_insecure_mode_replaces_the_last_refusal() {
    let rules = insecure(keyed);
    for what in [What::Set, What::Remove] {
        check(&rules, what, ("", false), Rule::Insecure, Allowed);
    }
}

/// Stricter than the original, which looks at `map.allow_*` alone.
#[test]
fn hid_44_keys_are_changed_where_there_are_some_and_values_have_the_format_of_the_channel() {
    let allow = |channel: &mut ChannelConfig| {
        channel.map.allow_publish_for_client = true;
        channel.map.allow_remove_for_client = true;
    };
    for kind in ["", "stream", "shared_poll"] {
        let rules = insecure(|channel| {
            allow(channel);
            kind.clone_into(&mut channel.subscription_type);
        });
        for what in [What::Set, What::Remove] {
            check(&rules, what, ("anna", true), Rule::SubscriptionType, Error(107));
        }
    }
    for (format, data, fine) in [
        ("", "", true),
        ("", "binary\u{1}", true),
        ("json", "1", true),
        ("json", "", false),
        ("json", "{", false),
        ("json_object", "{}", true),
        ("json_object", "1", false),
        ("binary", "", true),
    ] {
        let rules = rules(|channel| {
            allow(channel);
            format.clone_into(&mut channel.publication_data_format);
        });
        let data = Payload::from(data);
        let change = MapChange::Publish(&data);
        let attributes = Attributes::default();
        let query = MapChangeQuery { channel: "news", user: "anna", attributes, subscribed: true, change };
        let expected = if fine { Allowed } else { Error(107) };
        assert_eq!(decided(&rules.check_map_change(&query)), expected, "{format:?} {data:?}");
    }
    let elsewhere = MapChangeQuery {
        channel: "nowhere:news",
        user: "anna",
        attributes: Attributes::default(),
        subscribed: true,
        change: MapChange::Remove,
    };
    assert_eq!(decided(&insecure(keyed).check_map_change(&elsewhere)), Error(102));
    let umlaut = MapChangeQuery { channel: "\u{fc}", ..elsewhere };
    assert_eq!(decided(&insecure(keyed).check_map_change(&umlaut)), Error(107));
}

#[test]
fn pro_40_capabilities_let_keys_be_set_and_not_removed() {
    let rules = rules(|_| ());
    let claim = serde_json::json!([{"channels": ["news"], "allow": ["pub"]}]);
    let token = connect_token("anna", None, serde_json::json!({"caps": claim}));
    let claims = tokens_config().token.verify_connect(&token, NOW).expect("is genuine");
    let caps = Caps::new(&claims.capabilities, &Patterns::default()).expect("capabilities");
    let by_caps = Attributes { capabilities: Some(&caps), ..Attributes::default() };
    let by_subscription = Attributes::default().with_allow(Permissions::PUBLISH);
    let data = Payload::from("{}");
    for (attributes, rule) in [(by_caps, Rule::Capabilities), (by_subscription, Rule::SubscriptionAllow)] {
        let query =
            |change| MapChangeQuery { channel: "news", user: "anna", attributes, subscribed: true, change };
        let set = rules.check_map_change(&query(MapChange::Publish(&data)));
        assert_eq!(set.deciding().map(|step| step.rule), Some(rule), "{set:#?}");
        assert_eq!(decided(&set), Allowed);
        assert_eq!(decided(&rules.check_map_change(&query(MapChange::Remove))), Error(103));
    }
}

#[test]
fn map_07_clients_change_any_key_or_that_of_their_connection_or_their_user() {
    let anna = client("anna");
    let nobody = client("");
    let by = |key: &str| {
        rules(|channel| {
            key.clone_into(&mut channel.map.client_key);
            channel.map.allow_publish_for_client = true;
            channel.map.allow_publish_for_anonymous = true;
            channel.map.allow_remove_for_client = true;
            channel.map.allow_remove_for_anonymous = true;
        })
    };
    let connection: Arc<str> = Arc::from(anna.id.to_string());
    for (key, of_anna) in [("", None), ("client_id", Some(connection)), ("user_id", Some(Arc::from("anna")))]
    {
        let (hooks, asked) = chain(tokens_config(), by(key));
        let set = MapPublishRequest::new(
            anna.clone(),
            Channel::from("news"),
            "any".into(),
            Payload::from("{}"),
            false,
        );
        let decided = now(hooks.map_publish(set)).expect("is allowed");
        assert!(matches!(decided, MapPublishDecision::Publish { key, data: None, .. } if key == of_anna));
        let remove = MapRemoveRequest::new(anna.clone(), Channel::from("news"), "any".into(), false);
        let decided = now(hooks.map_remove(remove)).expect("is allowed");
        assert!(matches!(decided, MapRemoveDecision::Remove { key, .. } if key == of_anna));
        let remove = MapRemoveRequest::new(nobody.clone(), Channel::from("news"), "any".into(), false);
        let expected = if key == "user_id" { Error(103) } else { Allowed };
        assert_eq!(end(&now(hooks.map_remove(remove))), expected, "{key:?}");
        assert!(asked.take().is_empty(), "nobody else is asked");
    }
    check(&by("user_id"), What::Set, ("", true), Rule::MapClientKey, Error(103));
}

#[test]
fn map_09_a_backend_decides_alone_where_it_is_to() {
    let rules = |channel: &mut ChannelConfig| {
        channel.map.allow_publish_for_client = true;
        channel.map.allow_remove_for_client = true;
        channel.proxies.map_publish = Some(Arc::from("default"));
        channel.proxies.map_remove = Some(Arc::from("default"));
    };
    let (hooks, asked) = chain(tokens_config(), self::rules(rules));
    let anna = client("anna");
    let data = Payload::from("{}");
    let set = MapPublishRequest::new(anna.clone(), Channel::from("news"), "k".into(), data, false);
    assert_eq!(now(hooks.map_publish(set)), Ok(MapPublishDecision::Done));
    let remove = MapRemoveRequest::new(anna, Channel::from("news"), "k".into(), false);
    assert_eq!(now(hooks.map_remove(remove)), Ok(MapRemoveDecision::Done));
    assert_eq!(asked.take(), ["map_publish", "map_remove"]);
    check(&self::rules(rules), What::Set, ("", false), Rule::MapPublishProxy, Allowed);
    check(&self::rules(rules), What::Remove, ("", false), Rule::MapRemoveProxy, Allowed);
}

#[test]
fn opt_22_each_type_is_subscribed_to_as_what_it_is() {
    for (name, kind) in [("map", 1), ("map_clients", 2), ("map_users", 3), ("shared_poll", 4)] {
        let rules = rules(|channel| {
            name.clone_into(&mut channel.subscription_type);
            channel.allow_subscribe_for_client = true;
        });
        for asked in [0, 1, 2, 3, 4, 5] {
            let expected = match asked {
                asked if asked == kind => Allowed,
                _ if kind == 4 => Error(107),
                4 => Error(108),
                _ => Error(103),
            };
            let query = SubscribeQuery {
                channel: "news",
                user: "anna",
                attributes: Attributes::default(),
                kind: asked,
                token: TokenCheck::Absent,
            };
            assert_eq!(decided(&rules.check_subscribe(&query)), expected, "{name} as {asked}");
            let with_token = SubscribeQuery { token: TokenCheck::Genuine, ..query };
            assert_eq!(decided(&rules.check_subscribe(&with_token)), expected, "no token changes the type");
        }
    }
}

#[test]
fn changes_of_keys_explain_themselves() {
    let rules = Live::new(rules(|channel| channel.map.allow_publish_for_subscriber = true));
    let explained = |action: Action| {
        let query = ExplainQuery {
            action,
            channel: "ns:news".to_owned(),
            user: "anna".to_owned(),
            data: Payload::from("1"),
            ..ExplainQuery::default()
        };
        now(explain(&rules, &Live::new(tokens_config()), &query)).to_string()
    };
    assert_eq!(
        explained(Action::MapPublish),
        "namespace: ns\n\
         namespace: satisfied (the namespace exists)\n\
         channel_regex: satisfied (the channel's name is valid)\n\
         subscription_type: satisfied (the channel has keys)\n\
         publication_data_format: satisfied (the data has the channel's format)\n\
         map.allow_publish_for_client: silent (the option is off)\n\
         map.allow_publish_for_subscriber: silent (the client is not subscribed)\n\
         otherwise: refuses (no rule allows it)\n\
         verdict: refused: permission denied (103)\n"
    );
    assert!(explained(Action::MapRemove).contains("map.allow_remove_for_client: silent"));
    assert!(!explained(Action::Subscribe).contains("subscription_type: refuses"), "as the type that it is");
    assert_eq!(Action::named("map_remove"), Some(Action::MapRemove));
}

#[test]
fn map_01_to_04_modes_say_what_is_kept() {
    let kept = |set: fn(&mut ChannelConfig)| {
        let options = rules(set).channel_options("ns:a").expect("the namespace exists");
        assert_eq!(options.kind, SubscriptionKind::Map);
        options.map.expect("there are keys").policy
    };
    let usual = MapStream { size: 100, ttl: MINUTE };
    assert_eq!(kept(|_| ()), MapPolicy::recoverable(MINUTE, usual));
    assert_eq!(kept(|channel| channel.map.key_ttl = 60 * MINUTE).meta_ttl, Some(60 * MINUTE));
    let set = kept(|channel| {
        channel.map.stream_size = 7;
        channel.map.stream_ttl = 2 * MINUTE;
        channel.map.meta_ttl = 5 * MINUTE;
    });
    assert_eq!(set.stream, Some(MapStream { size: 7, ttl: 2 * MINUTE }));
    assert_eq!(set.meta_ttl, Some(5 * MINUTE));
    assert_eq!(kept(|channel| channel.map.mode = "ephemeral".to_owned()), MapPolicy::ephemeral(MINUTE));
    let persistent = kept(|channel| {
        channel.map.mode = "persistent".to_owned();
        channel.map.key_ttl = Duration::ZERO;
    });
    assert_eq!(persistent, MapPolicy::persistent(usual));
}

#[test]
fn map_06_10_11_12_how_keyed_channels_are_read() {
    let read = |set: fn(&mut ChannelConfig)| {
        rules(set).channel_options("a").expect("the namespace exists").map.expect("there are keys")
    };
    let usual = read(|_| ());
    assert_eq!(usual.pages, PageSizes { default: 100, min: 100, max: 1000 });
    assert_eq!((usual.live_transition_limit, usual.catch_up_timeout), (1000, Duration::from_secs(5)));
    assert!(!usual.remove_client_on_unsubscribe);
    let set = read(|channel| {
        (channel.map.min_page_size, channel.map.default_page_size, channel.map.max_page_size) = (5, 10, 20);
        channel.map.subscribe_catch_up_timeout = Duration::MAX;
        channel.map.remove_client_on_unsubscribe = true;
    });
    assert_eq!(set.pages, PageSizes { default: 10, min: 5, max: 20 });
    assert_eq!((set.live_transition_limit, set.catch_up_timeout), (20, Duration::MAX));
    assert!(set.remove_client_on_unsubscribe);
    assert_eq!(
        read(|channel| channel.map.live_transition_max_publication_limit = 3).live_transition_limit,
        3
    );
}

#[test]
fn options_of_keyed_channels_are_checked_with_their_path() {
    type Set = fn(&mut ChannelConfig);
    let wrong: [(Set, &str); 16] = [
        (
            |channel| channel.subscription_type = "maps".to_owned(),
            r#"subscription_type: unknown type "maps": it must be "", "stream", "map", "map_clients", "map_users" or "shared_poll""#,
        ),
        (
            |channel| channel.map.mode = String::new(),
            "map.mode: is needed where `subscription_type` is map, map_clients or map_users",
        ),
        (
            |channel| channel.map.mode = "durable".to_owned(),
            r#"map.mode: unknown mode "durable": it must be "ephemeral", "recoverable" or "persistent""#,
        ),
        (|channel| channel.map.key_ttl = Duration::ZERO, r#"map.key_ttl: is needed for mode "recoverable""#),
        (
            |channel| channel.map.mode = "persistent".to_owned(),
            r#"map.key_ttl: must not be set for mode "persistent", which keeps keys until they are removed"#,
        ),
        (
            |channel| {
                channel.subscription_type = "map_users".to_owned();
                channel.map.mode = "persistent".to_owned();
                channel.map.key_ttl = Duration::ZERO;
            },
            r#"map.mode: must not be "persistent" for map_clients and map_users, whose keys have to end by themselves"#,
        ),
        (
            |channel| {
                channel.map.mode = "ephemeral".to_owned();
                channel.map.stream_size = 1;
            },
            r#"map.stream_size: must not be set for mode "ephemeral", which has no stream"#,
        ),
        (
            |channel| {
                channel.map.mode = "ephemeral".to_owned();
                channel.map.stream_ttl = MINUTE;
            },
            r#"map.stream_ttl: must not be set for mode "ephemeral", which has no stream"#,
        ),
        (
            |channel| {
                channel.map.mode = "ephemeral".to_owned();
                channel.map.meta_ttl = MINUTE;
            },
            r#"map.meta_ttl: must not be set for mode "ephemeral", which has no stream"#,
        ),
        (
            |channel| channel.map.meta_ttl = MINUTE / 2,
            "map.meta_ttl: must not be shorter than `stream_ttl`, 60s",
        ),
        (
            |channel| {
                channel.map.key_ttl = 3 * MINUTE;
                channel.map.meta_ttl = 2 * MINUTE;
            },
            "map.meta_ttl: must not be shorter than `key_ttl`, 180s",
        ),
        (
            |channel| channel.map.client_key = "session".to_owned(),
            r#"map.client_key: unknown key "session": it must be "", "client_id" or "user_id""#,
        ),
        (
            |channel| {
                channel.map.client_key = "user_id".to_owned();
                channel.proxies.map_remove = Some(Arc::from("default"));
            },
            "map.client_key: excludes `map.remove_proxy_enabled`",
        ),
        (
            |channel| {
                channel.subscription_type = "stream".to_owned();
                channel.map.remove_client_on_unsubscribe = true;
            },
            "map.remove_client_on_unsubscribe: needs `subscription_type` map, map_clients or map_users",
        ),
        (
            |channel| (channel.map.min_page_size, channel.map.max_page_size) = (9, 8),
            "map.min_page_size: must not be larger than `max_page_size`, 8",
        ),
        (
            |channel| (channel.map.min_page_size, channel.map.default_page_size) = (9, 8),
            "map.min_page_size: must not be larger than `default_page_size`, 8",
        ),
    ];
    for (set, message) in wrong {
        let config = config(|channel| {
            keyed(channel);
            set(channel);
        });
        let refused = Namespaces::new(&config).expect_err(message).to_string();
        assert_eq!(refused, format!("channel.without_namespace.{message}"));
    }
}

#[test]
fn opt_25_presence_in_keyed_channels_needs_one_of_the_right_type() {
    let config = |prefix: &str, kind: &str| {
        let mut config = config(|_| ());
        "is:".clone_into(&mut config.namespaces[0].channel.map_users_presence_channel_prefix);
        prefix.clone_into(&mut config.namespaces[0].channel.map_clients_presence_channel_prefix);
        for (name, kind) in [("here", kind), ("is", "map_users")] {
            let mut target = config.namespaces[0].clone();
            target.channel = ChannelConfig::default();
            keyed(&mut target.channel);
            name.clone_into(&mut target.name);
            kind.clone_into(&mut target.channel.subscription_type);
            config.namespaces.push(target);
        }
        config
    };
    let rules = Namespaces::new(&config("here:", "map_clients")).expect("can be used");
    let presence = |channel: &str, user: &str| {
        let options = rules.subscription_options(
            channel,
            user,
            Attributes::default(),
            Default::default(),
            Default::default(),
        );
        options.expect("the namespace exists").map_presence.map(|presence| *presence)
    };
    let (clients, users) = (Some(Channel::from("here:ns:a")), Some(Channel::from("is:ns:a")));
    assert_eq!(presence("ns:a", "anna"), Some(MapPresence { clients: clients.clone(), users }));
    assert_eq!(presence("ns:a", ""), Some(MapPresence { clients, users: None }), "it has no key among users");
    assert_eq!(presence("a", "anna"), None);
    for (prefix, kind, namespace) in
        [("nowhere:", "map_clients", "nowhere"), ("here:", "map", "here"), ("here", "map_clients", "")]
    {
        let refused = Namespaces::new(&config(prefix, kind)).expect_err("cannot be used").to_string();
        let expected = format!(
            "channel.namespaces[0].map_clients_presence_channel_prefix: leads to namespace {namespace:?}, which must be \
             there and have `subscription_type` map_clients"
        );
        assert_eq!(refused, expected);
    }
}
