//! What answers come to.

use std::time::Duration;

use expect_test::expect;
use tourbillon_broker::HistoryPolicy;
use tourbillon_hooks::{ClientRights, Rights};
use tourbillon_types::Tags;

use super::*;
use crate::{Endpoint, Event};

/// Rules of a program with two namespaces: that of channels without one has everything, `plain` has nothing.
struct Program;

#[derive(Debug)]
struct Holds(Vec<Capability>);

impl Rights for Holds {
    fn holds(&self, channel: &str) -> bool {
        self.0.iter().any(|capability| capability.channels.iter().any(|other| other == channel))
    }
}

impl Rules for Program {
    fn endpoint(&self, _: Event, _: &str) -> Result<Option<Arc<Endpoint>>, Refusal> {
        Ok(None)
    }

    fn channel_options(&self, channel: &str) -> Result<ChannelOptions, ReplyError> {
        match channel.split_once(':') {
            None => Ok(everything()),
            Some(("plain", _)) => Ok(ChannelOptions::default()),
            Some(_) => Err(ReplyError::UNKNOWN_CHANNEL),
        }
    }

    fn rights(&self, capabilities: Vec<Capability>) -> Result<Option<ClientRights>, Refusal> {
        Ok(Some(ClientRights::new(Holds(capabilities))))
    }
}

fn history() -> HistoryPolicy {
    HistoryPolicy { size: 10, ttl: Duration::from_secs(60), meta_ttl: Duration::from_secs(600) }
}

fn everything() -> ChannelOptions {
    let mut options = ChannelOptions::default();
    options.history = Some(history());
    options.presence = true;
    options.join_leave = true;
    options.force_recovery = true;
    options.force_positioning = true;
    options.delta_publish = true;
    options.auto_cache_recover = true;
    options
}

/// The result of an answer as a backend writes it.
fn result<R: serde::de::DeserializeOwned>(text: &str) -> Option<R> {
    Some(serde_json::from_str(text).expect("an answer"))
}

fn connected(text: &str) -> ConnectDecision {
    connect(result(text), &Program).expect("a connection")
}

#[test]
fn prx_14_a_disconnect_comes_before_an_error_and_an_error_before_a_result() {
    let envelope = |error: bool, disconnect: bool| Envelope {
        result: Some(7),
        error: error.then(|| proto::Error { code: 400, message: "no".to_owned(), temporary: true }),
        disconnect: disconnect.then(|| proto::Disconnect { code: 4100, reason: "go".to_owned() }),
    };
    assert_eq!(envelope(true, true).open(), Err(Disconnect::custom(4100, "go").into()));
    assert_eq!(envelope(true, false).open(), Err(ReplyError::custom(400, "no", true).into()));
    assert_eq!(envelope(false, false).open(), Ok(Some(7)));
    let nothing: Envelope<u8> = Envelope { result: None, error: None, disconnect: None };
    assert_eq!(nothing.open(), Ok(None));
}

#[test]
fn codes_that_clients_would_not_understand_are_replaced() {
    let ended = |code, reason: &str| {
        let disconnect = Some(proto::Disconnect { code, reason: reason.to_owned() });
        let envelope: Envelope<()> = Envelope { result: None, error: None, disconnect };
        match envelope.open() {
            Err(Refusal::Disconnect(disconnect)) => disconnect,
            other => panic!("{other:?}"),
        }
    };
    for code in [0, 1, 1000, 2999, 5000, u32::MAX] {
        assert_eq!(ended(code, "x"), Disconnect::FORCE_DISCONNECT);
    }
    assert_eq!(ended(3000, "x").code, 3000);
    let long = ended(4000, &"ü".repeat(100));
    assert_eq!((long.reason.len(), long.reason.chars().count()), (122, 61));
    let error = Some(proto::Error::default());
    let envelope: Envelope<()> = Envelope { result: None, error, disconnect: None };
    assert_eq!(envelope.open(), Err(ReplyError::INTERNAL.into()));
}

#[test]
fn hid_12_base64_wins_over_data() {
    let decision = connected(r#"{"user":"u","info":{"a":1},"b64info":"AAE=","data":{"b":2}}"#);
    assert_eq!(decision.info, Payload::from(vec![0, 1]));
    assert_eq!(decision.data, Payload::from(r#"{"b":2}"#));
    let wrong = connect(result(r#"{"b64data":"?"}"#), &Program).map(drop);
    assert_eq!(wrong, Err(Unfit::Nonsense(Nonsense::Base64("b64data"))));
}

#[test]
fn prx_20_a_connection_is_as_the_backend_says() {
    let decision = connected(
        r#"{"user":"ann","expire_at":1700000000,"meta":{"k":1},"labels":{"tier":"gold"},
            "caps":[{"channels":["news"],"allow":["sub","pub"],"match":"wildcard"}],
            "channels":["one","two"],
            "subs":{"two":{"override":{"presence":{"value":false},"force_recovery":{"value":false}},
                           "info":{"i":1},"data":{"d":1},"expire_at":5},
                    "plain:three":{"cache_recover":true,
                                   "server_tags_filter":{"key":"a","cmp":"eq","val":"b"}}}}"#,
    );
    assert_eq!(decision.user, UserId::from("ann"));
    assert_eq!((decision.expire_at, decision.undecided), (Some(1_700_000_000), false));
    assert_eq!(decision.meta, Payload::from(r#"{"k":1}"#));
    assert_eq!(decision.labels.as_deref(), Some(&Tags::from([("tier".to_owned(), "gold".to_owned())])));
    let rights = decision.rights.expect("rights");
    assert!(rights.holds("news") && !rights.holds("other"));
    let names: Vec<&str> = decision.subscriptions.iter().map(|(channel, _)| &**channel).collect();
    assert_eq!(names, ["one", "plain:three", "two"]);
    let options = |name: &str| {
        let found = decision.subscriptions.iter().find(|(channel, _)| **channel == *name);
        &found.expect("subscribed").1
    };
    assert_eq!(*options("one"), everything().subscription());
    let two = options("two");
    assert!(!two.presence && two.join_leave && two.positioned && !two.recoverable && !two.auto_cache_recover);
    assert_eq!((two.expire_at, &*two.info.bytes().clone()), (Some(5), &br#"{"i":1}"#[..]));
    assert_eq!(two.data, Payload::from(r#"{"d":1}"#));
    let three = options("plain:three");
    assert!(three.auto_cache_recover && three.server_tags_filter.is_some());
}

#[test]
fn prx_20_an_unknown_channel_is_102_and_no_result_is_no_decision() {
    for text in [r#"{"channels":["other:x"]}"#, r#"{"subs":{"other:x":{}}}"#] {
        let refused = connect(result(text), &Program).map(drop);
        assert_eq!(refused, Err(Unfit::Refused(ReplyError::UNKNOWN_CHANNEL.into())));
    }
    assert!(connect(None, &Program).expect("an answer").undecided);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let text = r#"{"subs":{"x":{"server_tags_filter":{"op":"xor"}}}}"#;
    assert_eq!(connect(result(text), &Program).map(drop), Err(Unfit::Nonsense(Nonsense::Filter)));
    let text = r#"{"caps":[{"channels":["x"],"allow":["fly"]}]}"#;
    assert_eq!(connect(result(text), &Program).map(drop), Err(Unfit::Nonsense(Nonsense::Permission)));
    let text = r#"{"allow":["fly"]}"#;
    let refused = subscribe(result(text), &everything()).map(drop);
    assert_eq!(refused, Err(Unfit::Nonsense(Nonsense::Permission)));
    expect!["allow has a permission that there is not"].assert_eq(&Nonsense::Permission.to_string());
}

#[test]
fn prx_30_a_subscription_is_the_channels_with_what_the_backend_changes() {
    let plain = subscribe(None, &everything()).expect("allowed");
    assert_eq!(plain.options, everything().subscription());
    let text = r#"{"override":{"force_push_join_leave":{"value":true},"force_positioning":{"value":false}},
        "allow":["pub","hst"],"info":1,"b64data":"AA==","expire_at":9,
        "server_tags_filter":{"key":"k","cmp":"ex"}}"#;
    let SubscribeDecision { options, .. } = subscribe(result(text), &everything()).expect("allowed");
    assert!(options.push_join_leave && !options.positioned && options.recoverable && options.presence);
    assert_eq!(options.allow, Permissions::PUBLISH | Permissions::HISTORY);
    assert_eq!((options.info, options.data), (Payload::from("1"), Payload::from(vec![0])));
    assert_eq!(options.expire_at, Some(9));
    assert!(options.server_tags_filter.is_some());
}

#[test]
fn prx_31_a_publication_is_as_the_backend_wants_it() {
    let published = |text: Option<&str>| {
        let decision = publish(text.and_then(result), &everything()).expect("allowed");
        let PublishDecision::Publish { data, options, as_is: true } = decision else {
            panic!("{decision:?}")
        };
        (data, options)
    };
    let (data, options) = published(None);
    assert_eq!((data, options.history, options.delta), (None, Some(history()), false), "HID-83");
    let (data, options) = published(Some(
        r#"{"data":{"new":1},"skip_history":true,"tags":{"a":"b"},"idempotency_key":"k","delta":true,
            "version":18446744073709551615,"version_epoch":"e"}"#,
    ));
    assert_eq!(data, Some(Payload::from(r#"{"new":1}"#)));
    assert_eq!((options.history, options.delta, options.version), (None, true, u64::MAX));
    assert_eq!((&*options.idempotency_key, &*options.version_epoch), ("k", "e"));
    assert_eq!(options.tags.as_deref(), Some(&Tags::from([("a".to_owned(), "b".to_owned())])));
}

#[test]
fn prx_40_the_answer_of_a_call_may_be_nothing() {
    assert_eq!(rpc(None).expect("an answer").data, Payload::empty());
    assert_eq!(rpc(result(r#"{"data":[1]}"#)).expect("an answer").data, Payload::from("[1]"));
    assert_eq!(rpc(result(r#"{"b64data":"AQ=="}"#)).expect("an answer").data, Payload::from(vec![1]));
}

#[test]
fn prx_21_prx_32_what_expired_is_over_and_no_result_is_too() {
    let refreshed = |text: Option<&str>| refresh(text.and_then(result), &Program).expect("an answer");
    assert!(refreshed(None).expired && refreshed(Some(r#"{"expired":true,"expire_at":9}"#)).expired);
    let text = r#"{"expire_at":9,"info":{"i":1},"meta":{"m":1},"caps":[{"channels":["a"],"allow":["sub"]}]}"#;
    let decision = refreshed(Some(text));
    assert_eq!((decision.expired, decision.expire_at), (false, Some(9)));
    assert_eq!(decision.info, Some(Payload::from(r#"{"i":1}"#)));
    assert_eq!(decision.meta, Some(Payload::from(r#"{"m":1}"#)));
    assert!(decision.rights.expect("rights").holds("a"));
    let decision = refreshed(Some("{}"));
    assert_eq!((decision.expire_at, decision.info, decision.meta), (None, None, None));

    assert!(sub_refresh(None).expect("an answer").expired);
    let decision = sub_refresh(result(r#"{"expire_at":7,"b64info":"AA=="}"#)).expect("an answer");
    assert_eq!((decision.expire_at, decision.info), (Some(7), Some(Payload::from(vec![0]))));
}
