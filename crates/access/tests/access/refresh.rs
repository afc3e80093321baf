//! How long connections and subscriptions go on.

use serde_json::json;
use tourbillon_node::{Hooks, RefreshDecision, RefreshRequest, Refusal, SubRefreshRequest};
use tourbillon_types::{Channel, Payload, Permissions};

use crate::harness::End::Disconnect;
use crate::harness::{
    KEY, NOW, chain, client, connect_token, end, insecure, namespaces, now, subscribe_token, tokens_config,
};

fn refresh(token: &str) -> Result<RefreshDecision, Refusal> {
    let (hooks, asked) = chain(tokens_config(), namespaces(|_| {}));
    let decision = now(hooks.refresh(RefreshRequest::new(client("anna"), token.to_owned(), NOW)));
    assert!(asked.take().is_empty(), "the application is not asked");
    decision
}

fn sub_refresh(channel: &str, token: &str) -> Result<RefreshDecision, Refusal> {
    let (hooks, asked) = chain(tokens_config(), namespaces(|_| {}));
    let channel = Channel::from(channel);
    let decision =
        now(hooks.sub_refresh(SubRefreshRequest::new(client("anna"), channel, token.to_owned(), NOW)));
    assert!(asked.take().is_empty(), "the application is not asked");
    decision
}

/// Goes on until then, by a token that says nothing of itself.
fn until(expire_at: Option<i64>) -> RefreshDecision {
    let mut decision = RefreshDecision::until(expire_at);
    decision.token = Some(Box::default());
    decision
}

fn expired() -> RefreshDecision {
    let mut decision = RefreshDecision::default();
    decision.expired = true;
    decision
}

#[test]
fn cmd_14_a_token_prolongs_the_connection() {
    let decision = refresh(&connect_token("anna", Some(NOW + 60), json!({}))).expect("goes on");
    assert_eq!(decision, until(Some(NOW + 60)));
    let decision = refresh(&connect_token("anna", None, json!({"info": {"a": 1}}))).expect("goes on");
    assert_eq!((decision.expire_at, decision.info), (None, Some(Payload::from(r#"{"a":1}"#))));
}

#[test]
fn cmd_14_an_expired_token_ends_the_connection_and_an_invalid_one_disconnects() {
    assert_eq!(refresh(&connect_token("anna", Some(NOW), json!({}))), Ok(expired()));
    assert_eq!(end(&refresh("no token")), Disconnect(3500));
    assert_eq!(end(&refresh(&subscribe_token(KEY, "anna", "x", json!({})))), Disconnect(3500));
}

#[test]
fn life_08_a_token_of_another_user_disconnects() {
    for user in ["ben", ""] {
        assert_eq!(end(&refresh(&connect_token(user, Some(NOW + 60), json!({})))), Disconnect(3500));
    }
}

#[test]
fn mode_03_nothing_expires_in_insecure_mode() {
    let (hooks, _) = chain(tokens_config(), insecure(|_| {}));
    let token = connect_token("anna", Some(NOW + 60), json!({}));
    let decision = now(hooks.refresh(RefreshRequest::new(client("anna"), token, NOW)));
    assert_eq!(decision, Ok(until(None)));
}

#[test]
fn subt_16_a_token_prolongs_the_subscription() {
    let token = subscribe_token(KEY, "anna", "x", json!({"exp": NOW + 60, "info": {"a": 1}}));
    let decision = sub_refresh("x", &token).expect("goes on");
    assert_eq!(decision.expire_at, Some(NOW + 60));
    assert_eq!(decision.info, Some(Payload::from(r#"{"a":1}"#)));
    let mut decision = sub_refresh("x", &subscribe_token(KEY, "anna", "x", json!({}))).expect("goes on");
    decision.token = None;
    let mut forever = RefreshDecision::until(None);
    // What an earlier token allowed is over.
    forever.allow = Some(Permissions::NONE);
    assert_eq!(decision, forever);
}

#[test]
fn tf_04_a_token_changes_the_servers_filter() {
    let filter = json!({"key": "team", "cmp": "eq", "val": "a"});
    let token = subscribe_token(KEY, "anna", "x", json!({"server_tags_filter": filter}));
    assert!(sub_refresh("x", &token).expect("goes on").server_tags_filter.is_some());
    let token = subscribe_token(KEY, "anna", "x", json!({}));
    assert_eq!(sub_refresh("x", &token).expect("goes on").server_tags_filter, None);
}

#[test]
fn hid_53_an_expired_token_does_not_make_a_subscription_last_for_ever() {
    let token = subscribe_token(KEY, "anna", "x", json!({"exp": NOW}));
    assert_eq!(sub_refresh("x", &token), Ok(expired()));
}

#[test]
fn cmd_15_a_token_for_something_else_disconnects() {
    for token in [
        "no token".to_owned(),
        connect_token("anna", None, json!({})),
        subscribe_token("another key", "anna", "x", json!({})),
        subscribe_token(KEY, "anna", "y", json!({})),
        subscribe_token(KEY, "ben", "x", json!({})),
        subscribe_token(KEY, "anna", "x", json!({"client": "other"})),
    ] {
        assert_eq!(end(&sub_refresh("x", &token)), Disconnect(3500), "{token}");
    }
}

#[test]
fn life_03_without_a_token_the_application_is_asked() {
    let (hooks, asked) = chain(tokens_config(), namespaces(|_| {}));
    let anna = client("anna");
    assert!(now(hooks.refresh(RefreshRequest::new(anna.clone(), String::new(), NOW))).is_ok());
    let request = SubRefreshRequest::new(anna, Channel::from("x"), String::new(), NOW);
    assert!(now(hooks.sub_refresh(request)).is_ok());
    assert_eq!(asked.take(), ["refresh", "sub_refresh"]);
}
