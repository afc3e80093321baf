//! What hooks make of the rules of history, positions and presence (PERM-03..05, OPT-01..09).

use std::time::Duration;

use serde_json::json;
use tourbillon_access::{ChannelConfig, DenyAll, Namespaced, Namespaces, NamespacesConfig};
use tourbillon_node::{
    ChannelOptions, HistoryPolicy, HistoryQuery, HistoryRequest, Hooks, OverflowPolicy, PresenceRequest,
    RecoveryMode,
};
use tourbillon_types::{Channel, Payload};

use crate::harness::End::{Allowed, Error};
use crate::harness::{
    KEY, chain, client, config, connect_request, connect_token, end, namespaces, now, subscribe_request,
    subscribe_token, tokens_config,
};

fn history(channel: &mut ChannelConfig) {
    channel.history_size = 10;
    channel.history_ttl = Duration::from_secs(60);
}

#[test]
fn hooks_ask_the_ladders() {
    let rules = namespaces(|channel| {
        history(channel);
        channel.presence = true;
        channel.allow_history_for_subscriber = true;
        channel.allow_presence_for_client = true;
    });
    let (hooks, asked) = chain(tokens_config(), rules);
    let (anna, channel) = (client("anna"), Channel::from("ns:x"));
    let history = |subscribed| {
        now(hooks.history(HistoryRequest::new(
            anna.clone(),
            channel.clone(),
            HistoryQuery::latest(1),
            subscribed,
        )))
    };
    assert_eq!((end(&history(true)), end(&history(false))), (Allowed, Error(103)));
    let presence = |user| now(hooks.presence(PresenceRequest::new(client(user), channel.clone(), false)));
    assert_eq!((end(&presence("anna")), end(&presence(""))), (Allowed, Error(103)));
    assert!(asked.take().is_empty(), "namespaces decide");
}

#[test]
fn subt_13_a_token_overrides_what_the_channel_forces() {
    let rules = || {
        namespaces(|channel| {
            channel.force_positioning = true;
            channel.presence = true;
            channel.join_leave = true;
            channel.allow_recovery = true;
        })
    };
    let (hooks, _) = chain(tokens_config(), rules());
    let anna = client("anna");
    let subscribe = |overrides: serde_json::Value, recoverable: bool| {
        let token = subscribe_token(KEY, "anna", "ns:x", json!({ "override": overrides }));
        let mut request = subscribe_request(&anna, "ns:x", &token);
        request.recoverable = recoverable;
        now(hooks.subscribe(request)).expect("granted").options
    };
    let plain = subscribe(json!({}), false);
    assert!(plain.positioned && plain.presence && plain.join_leave && !plain.push_join_leave);
    let other = subscribe(
        json!({
            "force_positioning": {"value": false}, "presence": {"value": false},
            "join_leave": {"value": false}, "force_push_join_leave": {"value": true},
            "force_recovery": {"value": true},
        }),
        false,
    );
    assert!(!other.positioned && !other.presence && !other.join_leave);
    assert!(other.push_join_leave && other.recoverable);
    // What is granted for the asking is added to what the token says (HID-55).
    assert!(subscribe(json!({"force_recovery": {"value": false}}), true).recoverable);
    let subs = json!({"subs": {"ns:x": {"override": {"force_recovery": {"value": true}}}}});
    let token = connect_token("anna", None, subs);
    let decision = now(hooks.connect(connect_request(&token))).expect("accepted");
    let (_, options) = &decision.subscriptions[0];
    assert!(options.recoverable && options.positioned && options.presence);
    assert_eq!(options.info, Payload::empty());
}

#[test]
fn opt_08_09_recovery_modes_are_checked() {
    let refused = |set: &dyn Fn(&mut ChannelConfig)| {
        let error = Namespaces::new(&config(|channel| set(channel))).expect_err("refused");
        error.path.replace("channel.without_namespace.", "")
    };
    assert_eq!(refused(&|channel| "x".clone_into(&mut channel.force_recovery_mode)), "force_recovery_mode");
    assert_eq!(refused(&|channel| channel.auto_cache_recover = true), "auto_cache_recover");
    let stream = |channel: &mut ChannelConfig| {
        history(channel);
        channel.force_recovery = true;
        channel.auto_cache_recover = true;
    };
    assert_eq!(refused(&stream), "auto_cache_recover");
}

#[test]
fn opt_10_to_12_deltas_filters_and_numbers_are_off_unless_allowed() {
    let off = namespaces(|_| {}).channel_options("ns:x").expect("known");
    let subscription = off.subscription();
    assert!(!off.delta_publish && !subscription.allow_delta && !subscription.allow_tags_filter);
    assert!(!subscription.allow_channel_compaction && !subscription.keep_latest_publication);
    assert!(subscription.publish_debounce.is_zero());
    let on = namespaces(|channel| {
        channel.allowed_delta_types = vec!["fossil".to_owned()];
        channel.delta_publish = true;
        channel.keep_latest_publication = true;
        channel.allow_tags_filter = true;
        channel.allow_channel_compaction = true;
        channel.client_publish_debounce_interval = Duration::from_millis(20);
    });
    let on = on.channel_options("ns:x").expect("known");
    let subscription = on.subscription();
    assert!(on.delta_publish && subscription.allow_delta && subscription.allow_tags_filter);
    assert!(subscription.allow_channel_compaction && subscription.keep_latest_publication);
    assert_eq!(subscription.publish_debounce, Duration::from_millis(20));
    for (wrong, set) in [
        (
            "allowed_delta_types",
            (|channel| channel.allowed_delta_types = vec!["xdelta".to_owned()]) as fn(&mut ChannelConfig),
        ),
        ("client_publish_debounce_interval", |channel| {
            channel.client_publish_debounce_interval = Duration::from_micros(1);
        }),
    ] {
        let error = Namespaces::new(&config(set)).expect_err("refused");
        assert_eq!(error.path, format!("channel.without_namespace.{wrong}"));
    }
}

#[test]
fn pro_64_batches_and_policies_are_checked() {
    let options = |set: &dyn Fn(&mut ChannelConfig)| {
        let rules = Namespaces::new(&config(|channel| set(channel)));
        rules.map(|rules| rules.channel_options("ns:x").expect("known"))
    };
    let both = options(&|channel| {
        channel.batch_max_size = 10;
        channel.batch_max_delay = Duration::from_millis(200);
        channel.batch_flush_latest = true;
        channel.overflow_policy = "drop_oldest".to_owned();
    })
    .expect("sound");
    let batching = both.batching.expect("batches");
    assert_eq!(batching.max_size.map(|size| size.get()), Some(10));
    assert_eq!((batching.max_delay, batching.flush_latest), (Some(Duration::from_millis(200)), true));
    assert_eq!(both.overflow, OverflowPolicy::DropOldest);
    let size = options(&|channel| channel.batch_max_size = 1).expect("sound").batching.expect("batches");
    assert_eq!((size.max_delay, size.flush_latest), (None, false));
    let none = options(&|channel| channel.overflow_policy = "disconnect".to_owned()).expect("sound");
    assert_eq!((none.batching, none.overflow), (None, OverflowPolicy::Disconnect));
    let latest = options(&|channel| channel.overflow_policy = "keep_latest".to_owned()).expect("sound");
    assert_eq!(latest.overflow, OverflowPolicy::KeepLatest);
    let refused = |set: &dyn Fn(&mut ChannelConfig)| options(set).expect_err("refused").to_string();
    assert_eq!(
        refused(&|channel| channel.batch_flush_latest = true),
        "channel.without_namespace.batch_flush_latest: needs `batch_max_size` or `batch_max_delay`"
    );
    let unknown = refused(&|channel| channel.overflow_policy = "drop".to_owned());
    assert!(unknown.contains("overflow_policy: unknown policy \"drop\""), "{unknown}");
}

#[test]
fn opt_01_to_09_channels_behave_by_their_options() {
    let rules = namespaces(|channel| {
        history(channel);
        channel.force_positioning = true;
        channel.force_recovery = true;
        channel.force_push_join_leave = true;
        channel.force_recovery_mode = "cache".to_owned();
        channel.auto_cache_recover = true;
    });
    let options = rules.channel_options("ns:x").expect("known");
    let minute = Duration::from_secs(60);
    let meta_ttl = ChannelOptions::HISTORY_META_TTL;
    assert_eq!(options.history, Some(HistoryPolicy { size: 10, ttl: minute, meta_ttl }));
    assert_eq!((options.recovery_mode, options.auto_cache_recover), (RecoveryMode::Cache, true));
    let subscription = options.subscription();
    assert!(subscription.positioned && subscription.recoverable && subscription.push_join_leave);
    assert!(!subscription.presence && !subscription.join_leave);
    let enough = NamespacesConfig { history_meta_ttl: minute, ..config(history) };
    let options = Namespaces::new(&enough).expect("sound").channel_options("x").expect("known");
    assert_eq!(options.history_meta_ttl, minute);
    assert_eq!(options.history.map(|history| history.meta_ttl), Some(minute));
    let asked = now(Namespaced::new(
        namespaces(|channel| {
            channel.allow_subscribe_for_client = true;
            channel.allow_positioning = true;
        }),
        DenyAll,
    )
    .subscribe({
        let mut request = subscribe_request(&client("anna"), "x", "");
        request.positioned = true;
        request.recoverable = true;
        request
    }));
    let options = asked.expect("granted").options;
    assert!(options.positioned && !options.recoverable);
}
