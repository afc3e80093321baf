//! PRO-40, PRO-41, PRO-42, PRO-44: what tokens allow, and expressions.

use std::sync::Arc;

use serde_json::{Value, json};
use tourbillon_access::{Action, Caps, ExplainQuery, Live, Namespaces, NamespacesConfig, explain};
use tourbillon_node::{
    Client, ClientRights, ClientTerms, ConnectDecision, HistoryQuery, HistoryRequest, Hooks, PresenceRequest,
    PublishRequest, RefreshRequest, SubRefreshRequest, SubscribeDecision,
};
use tourbillon_types::{Channel, ClientId, Payload, Permissions};

use crate::harness::End::{self, Allowed, Disconnect, Error};
use crate::harness::{
    KEY, NOW, chain, config, connect_request, connect_token, end, namespaces, now, subscribe_request,
    subscribe_token, tokens_config,
};

const READABLE: fn(&mut tourbillon_access::ChannelConfig) = |channel| {
    channel.presence = true;
    channel.history_size = 1;
    channel.history_ttl = std::time::Duration::from_secs(1);
};

fn accepted(rules: &Namespaces, claims: Value) -> ConnectDecision {
    let _ = rules;
    let (hooks, _) = chain(tokens_config(), namespaces(READABLE));
    now(hooks.connect(connect_request(&connect_token("anna", None, claims)))).expect("accepted")
}

fn client_of(decision: &ConnectDecision) -> Arc<Client> {
    let mut client = Client::new(ClientId::random(), decision.user.clone(), "test");
    client.meta = decision.meta.clone().into();
    client.terms = ClientTerms::new(decision.labels.clone(), decision.rights.clone());
    Arc::new(client)
}

/// How subscribing, publishing, reading presence and history end; subscribed with `allow` if there is any.
fn ends(rules: Namespaces, client: &Arc<Client>, channel: &str, allow: Option<Permissions>) -> [End; 4] {
    let (hooks, _) = chain(tokens_config(), rules);
    let name = Channel::from(channel);
    let subscribed = allow.is_some();
    let mut publish = PublishRequest::new(client.clone(), name.clone(), Payload::from("1"), subscribed);
    let mut presence = PresenceRequest::new(client.clone(), name.clone(), subscribed);
    let mut history =
        HistoryRequest::new(client.clone(), name, HistoryQuery::of_client(None, 1, false, 10), subscribed);
    for place in [&mut publish.allow, &mut presence.allow, &mut history.allow] {
        *place = allow.unwrap_or_default();
    }
    [
        end(&now(hooks.subscribe(subscribe_request(client, channel, "")))),
        end(&now(hooks.publish(publish))),
        end(&now(hooks.presence(presence))),
        end(&now(hooks.history(history))),
    ]
}

const DENIED: End = Error(103);

#[test]
fn capabilities_of_the_connection_are_the_union_of_those_that_match() {
    let decision = accepted(
        &namespaces(READABLE),
        json!({"caps": [
            {"channels": ["news", "ns:a"], "allow": ["sub"]},
            {"channels": ["ns:*"], "match": "wildcard", "allow": ["pub", "hst"]},
            {"channels": ["^p[0-9]+$"], "match": "regex", "allow": ["sub", "prs"]},
        ]}),
    );
    let client = client_of(&decision);
    for (channel, expected) in [
        ("news", [Allowed, DENIED, DENIED, DENIED]),
        ("ns:a", [Allowed, Allowed, DENIED, Allowed]),
        ("ns:b", [DENIED, Allowed, DENIED, Allowed]),
        ("p7", [Allowed, DENIED, Allowed, DENIED]),
        ("p7x", [DENIED; 4]),
        ("other:x", [Error(102); 4]),
    ] {
        assert_eq!(ends(namespaces(READABLE), &client, channel, None), expected, "{channel}");
    }
    // A private channel needs a token of its own, whatever else is allowed.
    let all = accepted(
        &namespaces(READABLE),
        json!({"caps": [{"channels": ["*"], "match": "wildcard", "allow": ["sub"]}]}),
    );
    assert_eq!(ends(namespaces(READABLE), &client_of(&all), "$x", None)[0], DENIED);
    assert_eq!(ends(namespaces(READABLE), &client_of(&all), "x#ben", None)[0], Allowed);
}

#[test]
fn capabilities_that_cannot_be_read_make_a_token_invalid() {
    let (hooks, _) = chain(tokens_config(), namespaces(READABLE));
    for caps in [
        json!([{"channels": ["("], "match": "regex", "allow": ["sub"]}]),
        json!([{"allow": ["all"]}]),
        json!(7),
    ] {
        let token = connect_token("anna", None, json!({"caps": caps}));
        assert_eq!(end(&now(hooks.connect(connect_request(&token)))), Disconnect(3500), "{caps}");
    }
}

#[test]
fn a_refresh_replaces_capabilities_and_what_depended_on_them_can_be_revoked() {
    let (hooks, _) = chain(tokens_config(), namespaces(READABLE));
    let caps = |channel: &str| json!({"caps": [{"channels": [channel], "allow": ["sub"]}]});
    let client = client_of(&accepted(&namespaces(READABLE), caps("a")));
    let granted: SubscribeDecision =
        now(hooks.subscribe(subscribe_request(&client, "a", ""))).expect("granted");
    assert!(granted.options.revocable);
    let refresh = |claims: Value| {
        let token = connect_token("anna", None, claims);
        now(hooks.refresh(RefreshRequest::new(client.clone(), token, NOW))).expect("refreshed").rights
    };
    let other = refresh(caps("b")).expect("rights");
    assert!(!other.holds("a") && other.holds("b"));
    // A token without capabilities takes away those of the one before.
    assert!(!refresh(json!({})).expect("rights").holds("a"));
    let plain = client_of(&accepted(&namespaces(READABLE), json!({})));
    let token = connect_token("anna", None, json!({}));
    assert_eq!(now(hooks.refresh(RefreshRequest::new(plain, token, NOW))).expect("refreshed").rights, None);
    // What an option or a token allows does not depend on them.
    let (hooks, _) = chain(tokens_config(), namespaces(|channel| channel.allow_subscribe_for_client = true));
    let by_option = now(hooks.subscribe(subscribe_request(&client, "x", ""))).expect("granted");
    let token = subscribe_token(KEY, "anna", "a", json!({}));
    let by_token = now(hooks.subscribe(subscribe_request(&client, "a", &token))).expect("granted");
    assert!(!by_option.options.revocable && !by_token.options.revocable);
}

#[test]
fn a_subscription_allows_what_its_token_says_while_it_lasts() {
    let client = client_of(&accepted(&namespaces(READABLE), json!({})));
    let (hooks, _) = chain(tokens_config(), namespaces(READABLE));
    let token = subscribe_token(KEY, "anna", "a", json!({"allow": ["pub", "hst"]}));
    let mut request = subscribe_request(&client, "a", &token);
    (request.positioned, request.join_leave) = (true, true);
    let granted = now(hooks.subscribe(request)).expect("granted");
    let allow = granted.options.allow;
    assert_eq!(allow, Permissions::PUBLISH | Permissions::HISTORY);
    // Who may read the history may ask for a position, too (PERM-05).
    assert!(granted.options.positioned && !granted.options.push_join_leave);
    assert_eq!(ends(namespaces(READABLE), &client, "a", Some(allow)), [DENIED, Allowed, DENIED, Allowed]);
    assert_eq!(ends(namespaces(READABLE), &client, "a", None), [DENIED; 4]);
    let token = subscribe_token(KEY, "anna", "a", json!({"allow": ["prs"]}));
    let refreshed = now(hooks.sub_refresh(SubRefreshRequest::new(client, Channel::from("a"), token, NOW)));
    assert_eq!(refreshed.expect("refreshed").allow, Some(Permissions::PRESENCE));
}

#[test]
fn expressions_decide_by_what_is_known_of_the_connection() {
    let rules = || {
        namespaces(|channel| {
            READABLE(channel);
            channel.allow_user_limited_channels = true;
            "'admin' in meta.roles".clone_into(&mut channel.subscribe_cel);
            "subscribed && labels.tier == 'pro'".clone_into(&mut channel.publish_cel);
            "user == 'anna'".clone_into(&mut channel.presence_cel);
            "channel.endsWith('!')".clone_into(&mut channel.history_cel);
        })
    };
    let admin =
        client_of(&accepted(&rules(), json!({"meta": {"roles": ["admin"]}, "labels": {"tier": "pro"}})));
    let nobody = client_of(&accepted(&rules(), json!({})));
    assert_eq!(ends(rules(), &admin, "ns:a", Some(Permissions::NONE)), [Allowed, Allowed, Allowed, DENIED]);
    assert_eq!(ends(rules(), &admin, "ns:a!", None), [Allowed, DENIED, Allowed, Allowed]);
    assert_eq!(ends(rules(), &nobody, "ns:a", Some(Permissions::NONE)), [DENIED, DENIED, Allowed, DENIED]);
    // What a namespace allows everybody does not open a channel that lists its users.
    assert_eq!(ends(rules(), &admin, "ns:a#ben", None)[0], DENIED);
}

#[test]
fn an_expression_that_cannot_be_evaluated_allows_nothing_and_says_why_to_who_asks() {
    let rules = namespaces(|channel| "'admin' in meta.roles".clone_into(&mut channel.subscribe_cel));
    let query = ExplainQuery {
        channel: "ns:a".to_owned(),
        user: "anna".to_owned(),
        connection_token: connect_token("anna", None, json!({"meta": {"planted": 1}})),
        unix_seconds: NOW,
        ..ExplainQuery::default()
    };
    let text = now(explain(&Live::new(rules), &Live::new(tokens_config()), &query)).to_string();
    assert!(text.contains("subscribe_cel: silent (the expression cannot be evaluated)"), "{text}");
    assert!(text.contains("expression: there is no roles\nverdict: refused"), "{text}");
}

#[test]
fn an_expression_that_does_not_compile_is_named() {
    for option in ["subscribe_cel", "publish_cel", "history_cel", "presence_cel"] {
        let wrong: NamespacesConfig = config(|channel| {
            let place = match option {
                "subscribe_cel" => &mut channel.subscribe_cel,
                "publish_cel" => &mut channel.publish_cel,
                "history_cel" => &mut channel.history_cel,
                _ => &mut channel.presence_cel,
            };
            "user == nobody".clone_into(place);
        });
        let error = Namespaces::new(&wrong).expect_err("cannot be used").to_string();
        let expected =
            format!("channel.without_namespace.{option}: invalid expression: unknown variable nobody");
        assert!(error.starts_with(&expected), "{error}");
    }
}

#[test]
fn explanations_count_what_the_connection_token_claims() {
    let caps = json!({"caps": [{"channels": ["ns:a"], "allow": ["sub", "pub"]}]});
    let ask = |action, user: &str, subscribed, token: &str| {
        let query = ExplainQuery {
            action,
            channel: "ns:a".to_owned(),
            user: user.to_owned(),
            subscribed,
            token: token.to_owned(),
            connection_token: connect_token("anna", None, caps.clone()),
            data: Payload::from("1"),
            unix_seconds: NOW,
        };
        now(explain(&Live::new(namespaces(READABLE)), &Live::new(tokens_config()), &query))
    };
    assert_eq!(ask(Action::Subscribe, "anna", false, "").verdict(), "allowed by caps");
    assert_eq!(ask(Action::Publish, "anna", false, "").verdict(), "allowed by caps");
    let silent = ask(Action::History, "anna", false, "").to_string();
    assert!(silent.contains("caps: silent (the connection's token does not allow it)"), "{silent}");
    let other = ask(Action::Subscribe, "ben", false, "").to_string();
    assert!(other.contains("token: the token is for another user") && other.contains("(103)"), "{other}");
    let token = subscribe_token(KEY, "anna", "ns:a", json!({"allow": ["hst"]}));
    assert_eq!(ask(Action::History, "anna", true, &token).verdict(), "allowed by allow");
}

#[test]
fn labels_come_with_the_decision() {
    let decision = accepted(&namespaces(READABLE), json!({"labels": {"region": "eu"}}));
    assert_eq!(decision.labels.expect("labels")["region"], "eu");
    let none = accepted(&namespaces(READABLE), json!({}));
    assert!(none.labels.is_none() && none.rights.is_none());
    let caps = accepted(&namespaces(READABLE), json!({"caps": [{"channels": ["a"], "allow": ["sub"]}]}));
    assert!(caps.rights.as_ref().and_then(ClientRights::get::<Caps>).is_some());
}
