//! Who may connect, and as whom.

use http::{HeaderName, HeaderValue};
use serde_json::json;
use tourbillon_access::{DenyAll, Namespaces, PersonalChannel, Tokens, TokensConfig};
use tourbillon_node::{ConnectDecision, ConnectRequest, Hooks, Refusal};
use tourbillon_types::{Channel, Payload};

use crate::harness::End::{Disconnect, Error};
use crate::harness::{
    NOW, chain, connect_request, connect_token, end, insecure, namespaces, now, tokens_config,
};

fn connect(
    tokens: TokensConfig,
    namespaces: Namespaces,
    request: ConnectRequest,
) -> Result<ConnectDecision, Refusal> {
    let (hooks, asked) = chain(tokens, namespaces);
    let decision = now(hooks.connect(request));
    assert!(asked.take().is_empty(), "the application is not asked");
    decision
}

fn with_token(token: &str) -> Result<ConnectDecision, Refusal> {
    connect(tokens_config(), namespaces(|_| {}), connect_request(token))
}

fn channels(decision: &ConnectDecision) -> Vec<&str> {
    decision.subscriptions.iter().map(|(channel, _)| channel.as_str()).collect()
}

fn requesting(mut request: ConnectRequest, channels: &[&str]) -> ConnectRequest {
    request.channels = channels.iter().map(|channel| Channel::from(*channel)).collect();
    request
}

#[test]
fn auth_01_a_token_says_who_connects() {
    let claims = json!({"info": {"a": 1}, "meta": {"b": 2}});
    let decision = with_token(&connect_token("anna", Some(NOW + 60), claims)).expect("is accepted");
    assert_eq!(decision.user.as_str(), "anna");
    assert_eq!(decision.expire_at, Some(NOW + 60));
    assert!(decision.client_side_refresh);
    assert_eq!(decision.info, Payload::from(r#"{"a":1}"#));
    assert_eq!(decision.meta, Payload::from(r#"{"b":2}"#));
    assert!(decision.subscriptions.is_empty());
}

#[test]
fn auth_01_anonymous_tokens_can_be_disallowed() {
    let token = connect_token("", None, json!({}));
    assert!(with_token(&token).expect("is accepted").user.is_anonymous());
    let strict = || TokensConfig { disallow_anonymous_connection_tokens: true, ..tokens_config() };
    let refused = connect(strict(), namespaces(|_| {}), connect_request(&token));
    assert_eq!(end(&refused), Disconnect(3507));
    let named = connect_request(&connect_token("anna", None, json!({})));
    assert!(connect(strict(), namespaces(|_| {}), named).is_ok());
}

#[test]
fn hid_52_an_invalid_token_disconnects_and_an_expired_one_is_an_error() {
    let good = connect_token("anna", None, json!({}));
    assert_eq!(end(&with_token(&format!("{good}A"))), Disconnect(3500));
    assert_eq!(end(&with_token("no token")), Disconnect(3500));
    assert_eq!(end(&with_token(&connect_token("anna", Some(NOW), json!({})))), Error(109));
    assert_eq!(end(&with_token(&connect_token("anna", None, json!({"nbf": NOW + 1})))), Error(109));
    assert_eq!(end(&with_token(&connect_token("anna", None, json!({"channel": "c"})))), Disconnect(3500));
}

#[test]
fn an_invalid_token_is_not_made_up_for_by_other_credentials() {
    let tokens = TokensConfig {
        allow_anonymous_connect_without_token: true,
        user_id_http_header: Some(HeaderName::from_static("x-user-id")),
        ask_inner: true,
        ..tokens_config()
    };
    let mut request = connect_request("no token");
    request.headers.insert("x-user-id", HeaderValue::from_static("anna"));
    assert_eq!(end(&connect(tokens, insecure(|_| {}), request)), Disconnect(3500));
}

#[test]
fn auth_10_expire_at_replaces_exp() {
    let decision = with_token(&connect_token("anna", Some(NOW + 60), json!({"expire_at": 0})));
    assert_eq!(decision.expect("is accepted").expire_at, None);
    let decision = with_token(&connect_token("anna", Some(NOW + 60), json!({"expire_at": NOW + 5})));
    assert_eq!(decision.expect("is accepted").expire_at, Some(NOW + 5));
}

#[test]
fn auth_07_08_the_server_subscribes_to_what_the_token_says() {
    let decision = with_token(&connect_token("anna", None, json!({"channels": ["a", "ns:b", "$c"]})));
    assert_eq!(channels(&decision.expect("is accepted")), ["a", "ns:b", "$c"]);
    let claims = json!({"channels": ["a"], "subs": {"ns:x": {"info": {"i": 1}, "data": {"d": 1}}, "y": {}}});
    let decision = with_token(&connect_token("anna", None, claims)).expect("is accepted");
    assert_eq!(channels(&decision), ["ns:x", "y"]);
    let options = decision.subscriptions.first().map(|(_, options)| options).expect("two");
    assert_eq!(options.info, Payload::from(r#"{"i":1}"#));
    assert_eq!(options.data, Payload::from(r#"{"d":1}"#));
    assert_eq!(options.expire_at, None);
}

#[test]
fn hid_56_an_unknown_namespace_in_a_token_is_an_error() {
    for claims in [json!({"channels": ["a", "other:b"]}), json!({"subs": {"other:b": {}}})] {
        assert_eq!(end(&with_token(&connect_token("anna", None, claims))), Error(102));
    }
}

#[test]
fn auth_13_hid_50_a_token_wins_over_the_application() {
    let (hooks, asked) = chain(TokensConfig { ask_inner: true, ..tokens_config() }, namespaces(|_| {}));
    let with = connect_request(&connect_token("anna", None, json!({})));
    assert_eq!(now(hooks.connect(with)).expect("is accepted").user.as_str(), "anna");
    assert!(asked.take().is_empty());
    let without = now(hooks.connect(connect_request(""))).expect("is accepted");
    assert_eq!(without.user.as_str(), "asked");
    assert_eq!(asked.take(), ["connect"]);
}

#[test]
fn mode_02_anonymous_clients_may_connect_where_they_are_allowed() {
    let tokens = TokensConfig { allow_anonymous_connect_without_token: true, ..tokens_config() };
    let decision = connect(tokens, namespaces(|_| {}), connect_request("")).expect("is accepted");
    assert!(decision.user.is_anonymous());
    assert_eq!(decision.expire_at, None);
}

#[test]
fn mode_01_a_header_names_the_user_when_nothing_else_does() {
    let header = || Some(HeaderName::from_static("x-user-id"));
    let request = |value: &[u8]| {
        let mut request = connect_request("");
        request.headers.insert("x-user-id", HeaderValue::from_bytes(value).expect("is a value"));
        request
    };
    let tokens = || TokensConfig { user_id_http_header: header(), ..tokens_config() };
    let decision = connect(tokens(), namespaces(|_| {}), request(b"anna")).expect("is accepted");
    assert_eq!(decision.user.as_str(), "anna");
    assert_eq!((decision.expire_at, decision.info.is_empty()), (None, true));
    let decision = connect(tokens(), namespaces(|_| {}), request("ännä".as_bytes())).expect("is accepted");
    assert_eq!(decision.user.as_str(), "ännä");
    for unusable in [&b""[..], b"\xff"] {
        assert_eq!(end(&connect(tokens(), namespaces(|_| {}), request(unusable))), Disconnect(3501));
    }
    // Not configured: anybody could send it.
    assert_eq!(end(&connect(tokens_config(), namespaces(|_| {}), request(b"anna"))), Disconnect(3501));
    // Sent in the first message rather than by whatever stands before the server.
    let mut emulated = connect_request("");
    emulated.emulated_headers.push(("x-user-id".to_owned(), "anna".to_owned()));
    assert_eq!(end(&connect(tokens(), namespaces(|_| {}), emulated)), Disconnect(3501));

    let anonymous = TokensConfig { allow_anonymous_connect_without_token: true, ..tokens() };
    let decision = connect(anonymous, namespaces(|_| {}), request(b"anna")).expect("is accepted");
    assert!(decision.user.is_anonymous());
    let mut token = request(b"anna");
    token.token = connect_token("ben", None, json!({}));
    let decision = connect(tokens(), namespaces(|_| {}), token).expect("is accepted");
    assert_eq!(decision.user.as_str(), "ben");
}

#[test]
fn mode_03_insecure_mode_lets_everybody_in_and_nothing_expires() {
    let decision = connect(tokens_config(), insecure(|_| {}), connect_request("")).expect("is accepted");
    assert!(decision.user.is_anonymous());
    let token = connect_token("anna", Some(NOW + 60), json!({}));
    let decision = connect(tokens_config(), insecure(|_| {}), connect_request(&token)).expect("is accepted");
    assert_eq!((decision.user.as_str(), decision.expire_at), ("anna", None));
}

#[test]
fn mode_06_no_credentials_disconnect() {
    assert_eq!(end(&with_token("")), Disconnect(3501));
    let hooks = Tokens::new(TokensConfig { ask_inner: true, ..tokens_config() }, namespaces(|_| {}), DenyAll);
    assert_eq!(end(&now(hooks.connect(connect_request("")))), Disconnect(3501));
}

#[test]
fn life_11_requested_channels_are_granted_where_the_client_could_subscribe() {
    let rules = || {
        namespaces(|channel| {
            channel.allow_subscribe_for_client = true;
            channel.allow_user_limited_channels = true;
        })
    };
    let token = connect_token("anna", None, json!({"channels": ["b"]}));
    let wanted = ["a", "b", "ns:c", "$d", "#anna", "#ben", "ü", "a"];
    let decision = connect(tokens_config(), rules(), requesting(connect_request(&token), &wanted));
    assert_eq!(channels(&decision.expect("is accepted")), ["b", "a", "ns:c", "#anna"]);

    // An anonymous client has what anonymous clients have: nothing here.
    let anonymous = TokensConfig { allow_anonymous_connect_without_token: true, ..tokens_config() };
    let decision = connect(anonymous, rules(), requesting(connect_request(""), &wanted));
    assert_eq!(channels(&decision.expect("is accepted")), [""; 0]);
    let decision = connect(tokens_config(), insecure(|_| {}), requesting(connect_request(""), &wanted));
    assert_eq!(channels(&decision.expect("is accepted")), ["a", "b", "ns:c", "#anna", "#ben"]);
}

#[test]
fn life_11_an_unknown_namespace_disconnects() {
    let token = connect_token("anna", None, json!({}));
    for wanted in ["other:a", ""] {
        let request = requesting(connect_request(&token), &["a", wanted]);
        assert_eq!(
            end(&connect(tokens_config(), namespaces(|_| {}), request)),
            Disconnect(3501),
            "{wanted:?}"
        );
    }
}

#[test]
fn life_11_is_not_for_clients_that_a_header_names() {
    let header = Some(HeaderName::from_static("x-user-id"));
    let mut request = requesting(connect_request(""), &["a"]);
    request.headers.insert("x-user-id", HeaderValue::from_static("anna"));
    let rules = namespaces(|channel| channel.allow_subscribe_for_client = true);
    let decision = connect(TokensConfig { user_id_http_header: header, ..tokens_config() }, rules, request);
    assert_eq!(channels(&decision.expect("is accepted")), [""; 0]);
}

fn personal(namespace: &str, single_connection: bool) -> TokensConfig {
    let personal = PersonalChannel { namespace: namespace.to_owned(), single_connection };
    TokensConfig { personal_channel: Some(personal), ..tokens_config() }
}

#[test]
fn life_10_users_get_a_channel_of_their_own() {
    let rules = || namespaces(|channel| channel.force_positioning = true);
    for (namespace, expected) in [("", "#anna"), ("ns", "ns:#anna")] {
        // Whatever a token says of the channel, it is as its namespace says.
        let subs =
            json!({"subs": {expected: {"override": {"force_positioning": {"value": false}}}, "b": {}}});
        let request = requesting(connect_request(&connect_token("anna", None, subs)), &[expected]);
        let decision = connect(personal(namespace, false), rules(), request).expect("is accepted");
        assert_eq!(channels(&decision), ["b", expected]);
        assert!(decision.subscriptions[1].1.positioned);
        assert!(!decision.single_connection);
    }
    let single =
        connect(personal("", true), rules(), connect_request(&connect_token("anna", None, json!({}))));
    assert!(single.expect("is accepted").single_connection);
}

#[test]
fn life_10_without_a_name_there_is_no_channel_of_ones_own() {
    let request = connect_request(&connect_token("", None, json!({})));
    let decision = connect(personal("", true), namespaces(|_| {}), request).expect("is accepted");
    assert_eq!((channels(&decision), decision.single_connection), (vec![], false));
}

#[test]
fn life_10_whoever_says_who_the_user_is() {
    let header = Some(HeaderName::from_static("x-user-id"));
    let mut request = connect_request("");
    request.headers.insert("x-user-id", HeaderValue::from_static("anna"));
    let tokens = TokensConfig { user_id_http_header: header, ..personal("", false) };
    let decision = connect(tokens, namespaces(|_| {}), request).expect("is accepted");
    assert_eq!(channels(&decision), ["#anna"]);
    let (hooks, asked) = chain(TokensConfig { ask_inner: true, ..personal("ns", true) }, namespaces(|_| {}));
    let decision = now(hooks.connect(connect_request(""))).expect("is accepted");
    assert_eq!((asked.take(), channels(&decision)), (vec!["connect"], vec!["ns:#asked"]));
    assert!(decision.single_connection);
}

#[test]
fn life_10_an_unknown_namespace_lets_nobody_in() {
    let request = connect_request(&connect_token("anna", None, json!({})));
    assert_eq!(end(&connect(personal("other", false), namespaces(|_| {}), request)), Error(102));
}
