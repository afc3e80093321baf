//! What is said of a decision, to whom.

use serde_json::json;
use tourbillon_access::{
    Action, ChannelConfig, ExplainQuery, Explanation, Live, Namespaced, Namespaces, Tokens, TokensConfig,
    explain,
};
use tourbillon_node::{Hooks, PresenceRequest, PublishRequest, RefreshRequest, Refusal, SubRefreshRequest};
use tourbillon_types::{Channel, Disconnect, Payload};

use crate::harness::{
    Asked, KEY, NOW, client, connect_request, connect_token, namespaces, now, subscribe_request,
    subscribe_token, tokens_config,
};

fn asked(action: Action, channel: &str, token: &str) -> ExplainQuery {
    ExplainQuery {
        action,
        channel: channel.to_owned(),
        user: "anna".to_owned(),
        token: token.to_owned(),
        data: Payload::from("1"),
        unix_seconds: NOW,
        ..ExplainQuery::default()
    }
}

fn explained(namespaces: Namespaces, query: &ExplainQuery) -> Explanation {
    now(explain(&Live::new(namespaces), &Live::new(tokens_config()), query))
}

#[test]
fn every_rule_is_told_with_its_outcome_and_the_verdict() {
    let rules = || namespaces(|channel| channel.allow_subscribe_for_client = true);
    let explanation = explained(rules(), &asked(Action::Subscribe, "ns:x", ""));
    assert_eq!(
        explanation.to_string(),
        "namespace: ns\nnamespace: satisfied (the namespace exists)\n\
         channel_regex: satisfied (the channel's name is valid)\ntoken: silent (no token came with the request)\n\
         allow_subscribe_for_client: allows (the option is on)\nverdict: allowed by allow_subscribe_for_client\n"
    );
    for (action, verdict) in [
        (Action::Publish, "refused: permission denied (103)"),
        (Action::Presence, "refused: not available (108)"),
        (Action::History, "refused: not available (108)"),
    ] {
        assert_eq!(explained(rules(), &asked(action, "x", "")).verdict(), verdict, "{action:?}");
        assert_eq!(Action::named(action.name()), Some(action));
    }
    let unknown = explained(rules(), &asked(Action::Subscribe, "other:x", ""));
    assert_eq!(
        (unknown.namespace.as_str(), unknown.verdict().as_str()),
        ("other", "refused: unknown channel (102)")
    );
    assert_eq!(Action::named("dance"), None);
}

#[test]
fn a_token_is_shown_to_its_holder_with_what_is_wrong_with_it() {
    let token = subscribe_token(KEY, "anna", "$x", json!({"info": {"planted": 1}}));
    let good = explained(namespaces(|_| {}), &asked(Action::Subscribe, "$x", &token));
    let report = good.token.as_ref().expect("a report");
    assert!(report.claims.contains("planted") && report.problem.is_none());
    assert_eq!(good.verdict(), "allowed by token");
    let text = good.to_string();
    let (signed, signature) = token.rsplit_once('.').expect("a token");
    assert!(text.contains("claims: {") && !text.contains(signature) && !text.contains(signed), "{text}");
    // Neither what comes in nor what goes out is told to logs.
    let query = asked(Action::Subscribe, "$x", &token);
    for told in [format!("{query:?}"), format!("{report:?}"), format!("{good:?}")] {
        assert!(!told.contains("planted") && !told.contains(signature), "{told}");
    }
    let other = explained(namespaces(|_| {}), &asked(Action::Subscribe, "$y", &token));
    assert_eq!(other.verdict(), "disconnected: invalid token (3500)");
    let broken = explained(namespaces(|_| {}), &asked(Action::Subscribe, "$x", &format!("{token}A")));
    assert!(broken.to_string().contains("token: invalid token: "), "{broken}");
    let elsewhere = explained(namespaces(|_| {}), &asked(Action::Publish, "x", &token));
    assert!(elsewhere.to_string().contains("token: only subscriptions look at one"), "{elsewhere}");
}

fn developing(set: impl FnOnce(&mut ChannelConfig), tokens: TokensConfig) -> Tokens<Namespaced<Asked>> {
    let namespaces = Live::new(namespaces(set).telling_reasons());
    Tokens::new(tokens, namespaces.clone(), Namespaced::new(namespaces, Asked::default()))
}

fn text<T>(result: Result<T, Refusal>) -> String {
    match result {
        Ok(_) => "allowed".to_owned(),
        Err(refusal) => refusal.to_string(),
    }
}

#[test]
fn developers_are_told_the_reason_by_the_refusal_itself() {
    let hooks = developing(|_| {}, tokens_config());
    let anna = client("anna");
    let (channel, wrong) = (Channel::from("x"), "not a token".to_owned());
    let other = subscribe_token(KEY, "ben", "x", json!({}));
    for (told, expected) in [
        (
            text(now(hooks.subscribe(subscribe_request(&anna, "x", "")))),
            "error: permission denied: otherwise: refuses (no rule allows it) (103)",
        ),
        (
            text(now(hooks.subscribe(subscribe_request(&anna, "x", &other)))),
            "disconnect: invalid token: token: refuses (the token is for another user) (3500)",
        ),
        (
            text(now(hooks.publish(PublishRequest::new(anna.clone(), channel.clone(), "1".into(), false)))),
            "error: permission denied: otherwise: refuses (no rule allows it) (103)",
        ),
        (
            text(now(hooks.presence(PresenceRequest::new(anna.clone(), channel.clone(), false)))),
            "error: not available: presence: refuses (the channel has none) (108)",
        ),
        (
            text(now(hooks.connect(connect_request(&wrong)))),
            "disconnect: invalid token: not a signed JWT in compact form (3500)",
        ),
        (text(now(hooks.connect(connect_request("")))), "disconnect: bad request: no credentials (3501)"),
        (
            text(now(hooks.refresh(RefreshRequest::new(
                anna.clone(),
                connect_token("ben", None, json!({})),
                NOW,
            )))),
            "disconnect: invalid token: the token is for another user (3500)",
        ),
        (
            text(now(hooks.sub_refresh(SubRefreshRequest::new(anna.clone(), channel, other.clone(), NOW)))),
            "disconnect: invalid token: the token is for another user (3500)",
        ),
    ] {
        assert_eq!(told, expected);
        // A close frame takes no more.
        assert!(expected.len() <= Disconnect::MAX_REASON);
    }
}
