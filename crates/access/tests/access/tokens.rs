//! Subscriptions that come with a token, and settings that change.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::json;
use tourbillon_access::{Live, Namespaced, Namespaces, Tokens, TokensConfig};
use tourbillon_auth::{FetchError, JwksConfig, JwksFetch, JwksProvider, Verifier, VerifierConfig};
use tourbillon_node::{Hooks, PublishRequest, RefreshRequest, RpcRequest, SubRefreshRequest};
use tourbillon_types::{Channel, Payload, Tags};

use crate::harness::End::{Allowed, Disconnect, Error};
use crate::harness::{
    Asked, KEY, NOW, chain, client, connect_request, connect_token, end, namespaces, now, subscribe_request,
    subscribe_token, tokens_config, verifier,
};

#[test]
fn subt_10_to_13_a_token_grants_a_subscription() {
    let (hooks, asked) = chain(tokens_config(), namespaces(|_| {}));
    let anna = client("anna");
    let claims = json!({"exp": NOW + 60, "info": {"i": 1}, "data": {"d": 1}, "client": anna.id.to_string()});
    let token = subscribe_token(KEY, "anna", "$ns:x", claims);
    let granted = now(hooks.subscribe(subscribe_request(&anna, "$ns:x", &token))).expect("is granted");
    assert_eq!(granted.options.expire_at, Some(NOW + 60));
    assert_eq!(granted.options.info, Payload::from(r#"{"i":1}"#));
    assert_eq!(granted.options.data, Payload::from(r#"{"d":1}"#));
    assert!(granted.client_side_refresh);
    assert!(asked.take().is_empty());
}

/// The token's own, and those of the subscriptions that the server makes by a connection token.
#[test]
fn tf_04_a_token_brings_the_servers_filter() {
    let (hooks, _) = chain(tokens_config(), namespaces(|_| {}));
    let anna = client("anna");
    let filter = json!({"key": "team", "cmp": "eq", "val": "a"});
    let claims = json!({"server_tags_filter": filter});
    let token = subscribe_token(KEY, "anna", "x", claims.clone());
    let own = now(hooks.subscribe(subscribe_request(&anna, "x", &token))).expect("is granted").options;
    let token = connect_token("anna", None, json!({"subs": {"x": claims, "y": {}}}));
    let given = now(hooks.connect(connect_request(&token))).expect("is accepted").subscriptions;
    let [(_, with), (_, without)] = given.as_slice() else { panic!("two subscriptions") };
    for options in [&own, with] {
        let matcher = options.server_tags_filter.as_ref().expect("a filter");
        let shows = |team: &str| matcher.matches(&Tags::from([("team".to_owned(), team.to_owned())]));
        assert!(shows("a") && !shows("b"));
    }
    assert_eq!(without.server_tags_filter, None);
}

/// Overrides take the place of the namespace's options, and what is asked for comes on top (SUBT-13, SUBT-15).
#[test]
fn subt_15_a_tokens_overrides_replace_the_options_of_the_namespace() {
    let (hooks, _) = chain(
        tokens_config(),
        namespaces(|channel| {
            channel.presence = true;
            channel.force_positioning = true;
            channel.allow_recovery = true;
        }),
    );
    let anna = client("anna");
    let (on, off) = (json!({"value": true}), json!({"value": false}));
    let claims = |overrides| json!({ "override": overrides });
    let all_off = json!({"presence": off, "force_positioning": off});
    let all_on = json!({"presence": on, "join_leave": on, "force_push_join_leave": on, "force_positioning": on, "force_recovery": on});
    for (claims, asks, expected) in [
        (json!({}), false, [true, false, false, true, false]),
        (claims(all_off.clone()), false, [false; 5]),
        (claims(all_on), false, [true; 5]),
        (claims(all_off), true, [false, false, false, false, true]),
    ] {
        let mut request = subscribe_request(&anna, "x", &subscribe_token(KEY, "anna", "x", claims.clone()));
        request.recoverable = asks;
        let options = now(hooks.subscribe(request)).expect("is granted").options;
        let found = [
            options.presence,
            options.join_leave,
            options.push_join_leave,
            options.positioned,
            options.recoverable,
        ];
        assert_eq!(found, expected, "{claims}");
    }
}

#[test]
fn subt_11_an_anonymous_connection_has_anonymous_tokens() {
    let (hooks, _) = chain(tokens_config(), namespaces(|_| {}));
    let token = subscribe_token(KEY, "", "x", json!({}));
    assert_eq!(end(&now(hooks.subscribe(subscribe_request(&client(""), "x", &token)))), Allowed);
    assert_eq!(end(&now(hooks.subscribe(subscribe_request(&client("anna"), "x", &token)))), Disconnect(3500));
}

#[test]
fn hid_52_each_fault_of_a_subscription_token_has_its_code() {
    let (hooks, _) = chain(tokens_config(), namespaces(|channel| channel.allow_subscribe_for_client = true));
    let anna = client("anna");
    let good = subscribe_token(KEY, "anna", "x", json!({}));
    for (channel, token, expect) in [
        ("x", good.clone(), Allowed),
        ("y", good.clone(), Disconnect(3500)),
        ("x", format!("{good}A"), Error(103)),
        ("x", "no token".to_owned(), Error(103)),
        ("x", connect_token("anna", None, json!({})), Error(103)),
        ("x", subscribe_token("another key", "anna", "x", json!({})), Error(103)),
        ("x", subscribe_token(KEY, "ben", "x", json!({})), Disconnect(3500)),
        ("x", subscribe_token(KEY, "", "x", json!({})), Disconnect(3500)),
        ("x", subscribe_token(KEY, "anna", "x", json!({"client": "other"})), Disconnect(3500)),
        ("x", subscribe_token(KEY, "anna", "x", json!({"exp": NOW})), Error(109)),
        ("x", subscribe_token(KEY, "anna", "x", json!({"nbf": NOW + 1})), Error(109)),
        ("other:x", subscribe_token(KEY, "anna", "other:x", json!({})), Error(102)),
        ("ü", subscribe_token(KEY, "anna", "ü", json!({})), Error(107)),
    ] {
        let found = end(&now(hooks.subscribe(subscribe_request(&anna, channel, &token))));
        assert_eq!(found, expect, "{channel} {token}");
    }
}

#[test]
fn subt_13_expire_at_of_a_subscription_may_differ_from_that_of_its_token() {
    let (hooks, _) = chain(tokens_config(), namespaces(|_| {}));
    for (expire_at, expected) in [(0, None), (NOW + 5, Some(NOW + 5))] {
        let claims = json!({"exp": NOW + 60, "expire_at": expire_at});
        let token = subscribe_token(KEY, "anna", "x", claims);
        let granted = now(hooks.subscribe(subscribe_request(&client("anna"), "x", &token)));
        assert_eq!(granted.expect("is granted").options.expire_at, expected);
    }
}

#[test]
fn key_08_subscription_tokens_may_have_a_key_of_their_own() {
    let tokens = TokensConfig { subscription_token: Some(verifier("subscriptions")), ..tokens_config() };
    let (hooks, _) = chain(tokens, namespaces(|_| {}));
    let with = |key| {
        let token = subscribe_token(key, "anna", "x", json!({}));
        end(&now(hooks.subscribe(subscribe_request(&client("anna"), "x", &token))))
    };
    assert_eq!(with("subscriptions"), Allowed);
    assert_eq!(with(KEY), Error(103));
    let token = connect_token("anna", None, json!({}));
    assert!(now(hooks.connect(connect_request(&token))).is_ok());
}

#[test]
fn what_tokens_do_not_decide_goes_on_to_the_inner_hooks() {
    let asked = Asked::default();
    let hooks = Tokens::new(tokens_config(), namespaces(|_| {}), asked.clone());
    let anna = client("anna");
    assert!(now(hooks.subscribe(subscribe_request(&anna, "x", ""))).is_ok());
    let publish = PublishRequest::new(anna.clone(), Channel::from("x"), Payload::from("{}"), false);
    assert!(now(hooks.publish(publish)).is_ok());
    assert!(now(hooks.rpc(RpcRequest::new(anna, String::new(), Payload::empty()))).is_ok());
    assert!(hooks.channel_options("x").is_ok());
    assert_eq!(now(hooks.cache_empty(&Channel::from("x"))), Ok(true));
    assert_eq!(asked.take(), ["subscribe", "publish", "rpc", "channel_options", "cache_empty"]);
    // Neither do namespaces.
    let (hooks, asked) = chain(tokens_config(), namespaces(|_| {}));
    assert_eq!(now(hooks.cache_empty(&Channel::from("x"))), Ok(true));
    assert_eq!(asked.take(), ["cache_empty"]);
}

#[test]
fn settings_change_while_they_are_used() {
    let tokens = Live::new(tokens_config());
    let rules: Live<Namespaces> = Live::from(Arc::new(namespaces(|_| {})));
    let inner = Namespaced::new(rules.clone(), Asked::default());
    let hooks = Tokens::new(tokens.clone(), rules.clone(), inner);
    let token = connect_token("anna", None, json!({}));
    let anna = client("anna");
    let connects = || end(&now(hooks.connect(connect_request(&token))));
    let subscribes = || end(&now(hooks.subscribe(subscribe_request(&anna, "x", ""))));
    assert_eq!((connects(), subscribes()), (Allowed, Error(103)));

    rules.replace(namespaces(|channel| channel.allow_subscribe_for_client = true));
    tokens.replace(TokensConfig::new(verifier("a new key")));
    assert_eq!((connects(), subscribes()), (Disconnect(3500), Allowed));
}

/// A server of key sets that gives what it is told, once it is told.
#[derive(Clone, Debug, Default)]
struct Issuer(Arc<Mutex<Option<Result<Bytes, FetchError>>>>);

impl JwksFetch for Issuer {
    fn fetch(&self, _: &str, _: usize) -> BoxFuture<'static, Result<Bytes, FetchError>> {
        let answer = self.0.clone();
        futures_util::future::poll_fn(move |_| {
            answer.lock().clone().map_or(std::task::Poll::Pending, std::task::Poll::Ready)
        })
        .boxed()
    }
}

impl Issuer {
    fn verifier(&self) -> Verifier {
        let endpoint = "https://issuer.example/keys".to_owned();
        let providers = vec![JwksProvider { endpoint, ..JwksProvider::default() }];
        let jwks = JwksConfig { providers, ..JwksConfig::default() };
        let config = VerifierConfig::default();
        Verifier::with_jwks(config, jwks, Arc::new(self.clone())).expect("is sound")
    }
}

/// An Ed25519 key pair's set, and tokens that it signed for anna: for connecting, and for subscribing to x.
const SET: &str =
    r#"{"keys":[{"x":"1FdYqcWL4KDCjE--t_5Jo65n9U_jwwkuksMfoI7vLBg","kty":"OKP","crv":"Ed25519","kid":"a"}]}"#;
const CONNECT: &str = "eyJhbGciOiJFZERTQSIsImtpZCI6ImEiLCJ0eXAiOiJKV1QifQ.eyJzdWIiOiJhbm5hIn0.kd6ezSiaNTKgRfRI2Bl7sR1QP6IcBP_cbrAwt62tmd6CKZAuOw7XOTXtuQgwetIufoDAwW0GjEgRamwmZqVSDQ";
const SUBSCRIBE: &str = "eyJhbGciOiJFZERTQSIsImtpZCI6ImEiLCJ0eXAiOiJKV1QifQ.eyJzdWIiOiJhbm5hIiwiY2hhbm5lbCI6IngifQ.Uzt3i87sDHlDzepyK77tfmJWsJjdkOV8Tme5uU4k1RNDYeyMv-XauX6ElaySVmI0m1rvePj7dUc2XDoxrhKUDQ";

#[test]
fn key_05_keys_that_are_fetched_are_waited_for() {
    let issuer = Issuer::default();
    let tokens =
        TokensConfig { subscription_token: Some(issuer.verifier()), ..TokensConfig::new(issuer.verifier()) };
    let (hooks, _) = chain(tokens, namespaces(|_| {}));
    let anna = client("anna");
    let mut connect = Box::pin(hooks.connect(connect_request(CONNECT)));
    let mut subscribe = Box::pin(hooks.subscribe(subscribe_request(&anna, "x", SUBSCRIBE)));
    assert!((&mut connect).now_or_never().is_none());
    assert!((&mut subscribe).now_or_never().is_none());
    *issuer.0.lock() = Some(Ok(Bytes::from(SET)));
    assert_eq!(end(&now(&mut connect)), Allowed);
    assert_eq!(end(&now(&mut subscribe)), Allowed);
    let refresh = RefreshRequest::new(anna.clone(), CONNECT.to_owned(), NOW);
    assert_eq!(end(&now(hooks.refresh(refresh))), Allowed);
    let sub_refresh = SubRefreshRequest::new(anna, Channel::from("x"), SUBSCRIBE.to_owned(), NOW);
    assert_eq!(end(&now(hooks.sub_refresh(sub_refresh))), Allowed);
}

#[test]
fn an_issuer_that_is_away_is_not_the_fault_of_clients() {
    let issuer = Issuer::default();
    *issuer.0.lock() = Some(Err(FetchError::Timeout));
    let (hooks, _) = chain(TokensConfig::new(issuer.verifier()), namespaces(|_| {}));
    let anna = client("anna");
    // An internal error, after which clients try again: 3500 would send them away for good.
    assert_eq!(end(&now(hooks.connect(connect_request(CONNECT)))), Error(100));
    assert_eq!(end(&now(hooks.subscribe(subscribe_request(&anna, "x", SUBSCRIBE)))), Error(100));
    let refresh = RefreshRequest::new(anna.clone(), CONNECT.to_owned(), NOW);
    assert_eq!(end(&now(hooks.refresh(refresh))), Error(100));
    let sub_refresh = SubRefreshRequest::new(anna, Channel::from("x"), SUBSCRIBE.to_owned(), NOW);
    assert_eq!(end(&now(hooks.sub_refresh(sub_refresh))), Error(100));
}

#[test]
fn key_09_another_configuration_keeps_the_sets() {
    let issuer = Issuer::default();
    *issuer.0.lock() = Some(Ok(Bytes::from(SET)));
    let tokens = Live::new(TokensConfig::new(issuer.verifier()));
    let rules: Live<Namespaces> = Live::from(Arc::new(namespaces(|_| {})));
    let hooks = Tokens::new(tokens.clone(), rules, Asked::default());
    assert_eq!(end(&now(hooks.connect(connect_request(CONNECT)))), Allowed);
    let away = Issuer::default();
    *away.0.lock() = Some(Err(FetchError::Connect));
    let other = TokensConfig::new(away.verifier());
    other.take_over(&tokens.load());
    tokens.replace(other);
    assert_eq!(end(&now(hooks.connect(connect_request(CONNECT)))), Allowed);
}
