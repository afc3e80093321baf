//! Questions that are left to the hooks behind the rules, as those that ask a backend.

use std::sync::Arc;

use tourbillon_access::{
    Action, ChannelProxies, ExplainQuery, Live, Namespaced, Namespaces, Rule, Tokens, TokensConfig, explain,
};
use tourbillon_node::{ConnectDecision, ConnectRequest, Hooks, PublishRequest, Refusal};
use tourbillon_types::{Channel, Payload, UserId};

use crate::harness::End::{Allowed, Disconnect, Error};
use crate::harness::{
    KEY, NOW, chain, client, config, connect_request, connect_token, end, namespaces, now, subscribe_request,
    subscribe_token, tokens_config,
};
use serde_json::json;

fn named() -> Option<Arc<str>> {
    Some(Arc::from("default"))
}

fn rules(proxies: ChannelProxies) -> Namespaces {
    namespaces(|channel| {
        channel.proxies = proxies;
        channel.allow_user_limited_channels = true;
        channel.publication_data_format = "json".to_owned();
    })
}

fn subscribing() -> ChannelProxies {
    ChannelProxies { subscribe: named(), ..ChannelProxies::default() }
}

fn publish(hooks: &impl Hooks, channel: &str, data: &'static str) -> crate::harness::End {
    let request = PublishRequest::new(client("anna"), Channel::from(channel), Payload::from(data), false);
    end(&now(hooks.publish(request)))
}

#[test]
fn perm_01_hid_84_a_backend_is_asked_where_nothing_else_has_decided() {
    let (hooks, asked) = chain(tokens_config(), rules(subscribing()));
    let anna = client("anna");
    let subscribe =
        |channel: &str, token: &str| end(&now(hooks.subscribe(subscribe_request(&anna, channel, token))));
    assert_eq!((subscribe("ns:x", ""), asked.take()), (Allowed, vec!["subscribe"]));
    let token = subscribe_token(KEY, "anna", "x", json!({}));
    for (channel, token, ends) in [
        ("x", &*token, Allowed),
        ("x", "no token", Error(103)),
        ("$x", "", Error(103)),
        ("#anna", "", Allowed),
        ("#ben", "", Error(103)),
        ("other:x", "", Error(102)),
        ("ü", "", Error(107)),
    ] {
        assert_eq!((subscribe(channel, token), asked.take()), (ends, vec![]), "{channel}");
    }
}

#[test]
fn a_backend_is_asked_before_options_that_would_allow() {
    let rules = namespaces(|channel| {
        channel.proxies = ChannelProxies { publish: named(), ..subscribing() };
        channel.allow_subscribe_for_client = true;
        channel.allow_publish_for_client = true;
    });
    let (hooks, asked) = chain(tokens_config(), rules);
    assert_eq!(end(&now(hooks.subscribe(subscribe_request(&client(""), "x", "")))), Allowed);
    assert_eq!(publish(&hooks, "x", "{}"), Allowed);
    assert_eq!(asked.take(), ["subscribe", "publish"]);
}

#[test]
fn perm_02_data_has_its_format_before_a_backend_is_asked() {
    let (hooks, asked) =
        chain(tokens_config(), rules(ChannelProxies { publish: named(), ..Default::default() }));
    assert_eq!((publish(&hooks, "x", "no json"), asked.take()), (Error(107), vec![]));
    assert_eq!((publish(&hooks, "x", "{}"), asked.take()), (Allowed, vec!["publish"]));
}

#[test]
fn prx_51_what_clients_publish_into_a_stream_goes_to_it_or_nowhere() {
    let streamed = |bidirectional| {
        rules(ChannelProxies { subscribe_stream: named(), bidirectional, ..ChannelProxies::default() })
    };
    let (hooks, asked) = chain(tokens_config(), streamed(false));
    assert_eq!(end(&now(hooks.subscribe(subscribe_request(&client("anna"), "x", "")))), Allowed);
    assert_eq!(asked.take(), ["subscribe"]);
    assert_eq!((publish(&hooks, "x", "{}"), asked.take()), (Error(108), vec![]));
    let (hooks, asked) = chain(tokens_config(), streamed(true));
    assert_eq!((publish(&hooks, "x", "{}"), asked.take()), (Allowed, vec!["publish"]));
}

#[test]
fn subt_16_clients_do_not_refresh_what_a_backend_does() {
    let proxies = ChannelProxies { sub_refresh: named(), ..ChannelProxies::default() };
    for (proxies, clients) in [(ChannelProxies::default(), true), (proxies, false)] {
        let (hooks, _) = chain(tokens_config(), rules(proxies));
        for token in ["", &subscribe_token(KEY, "anna", "#anna", json!({"expire_at": NOW + 60}))] {
            let granted = now(hooks.subscribe(subscribe_request(&client("anna"), "#anna", token)));
            assert_eq!(granted.expect("allowed").client_side_refresh, clients);
        }
    }
}

#[test]
fn life_03_clients_do_not_refresh_connections_that_a_backend_does() {
    let token = connect_token("anna", Some(NOW + 60), json!({}));
    for inner_refreshes in [false, true] {
        let tokens = TokensConfig { ask_inner: true, inner_refreshes, ..tokens_config() };
        let (hooks, _) = chain(tokens, namespaces(|_| {}));
        for token in ["", &token] {
            let decision = now(hooks.connect(connect_request(token))).expect("accepted");
            assert_eq!(decision.client_side_refresh, !inner_refreshes);
        }
    }
}

/// A backend that does not know anybody.
#[derive(Clone, Copy)]
struct Undecided;

impl Hooks for Undecided {
    async fn connect(&self, _: ConnectRequest) -> Result<ConnectDecision, Refusal> {
        let mut decision = ConnectDecision::new(UserId::from("not this one"));
        decision.undecided = true;
        Ok(decision)
    }
}

#[test]
fn mode_05_whom_the_backend_does_not_know_has_no_credentials() {
    let connect = |anonymous: bool| {
        let tokens = TokensConfig {
            ask_inner: true,
            allow_anonymous_connect_without_token: anonymous,
            ..tokens_config()
        };
        let rules = || namespaces(|channel| channel.allow_subscribe_for_client = true);
        let hooks = Tokens::new(tokens, rules(), Namespaced::new(rules(), Undecided));
        now(hooks.connect(connect_request("")))
    };
    assert_eq!(end(&connect(false)), Disconnect(3501));
    assert!(connect(true).expect("accepted").user.is_anonymous());
}

#[test]
fn life_11_channels_that_a_backend_decides_about_are_not_granted_unasked() {
    let (hooks, asked) = chain(tokens_config(), rules(subscribing()));
    let mut request = connect_request(&connect_token("anna", None, json!({})));
    request.channels = ["x", "#anna"].map(Channel::from).to_vec();
    let decision = now(hooks.connect(request)).expect("accepted");
    let channels: Vec<&str> = decision.subscriptions.iter().map(|(channel, _)| &**channel).collect();
    assert_eq!((channels, asked.take()), (vec!["#anna"], vec![]));
}

#[test]
fn explanations_say_that_a_backend_decides() {
    let proxies = ChannelProxies { publish: named(), ..subscribing() };
    let explained = |action| {
        let query = ExplainQuery {
            action,
            channel: "x".to_owned(),
            data: Payload::from("{}"),
            ..ExplainQuery::default()
        };
        now(explain(&Live::new(rules(proxies.clone())), &Live::new(tokens_config()), &query))
    };
    let text = explained(Action::Subscribe).to_string();
    assert!(
        text.ends_with(
            "subscribe_proxy_enabled: asks (the application's backend decides)\n\
             verdict: left to the application's backend by subscribe_proxy_enabled\n"
        ),
        "{text}"
    );
    let explanation = explained(Action::Publish);
    assert_eq!(explanation.decision.deciding().map(|step| step.rule), Some(Rule::PublishProxy));
}

#[test]
fn opt_21_a_stream_excludes_other_backends() {
    let streamed = || ChannelProxies { subscribe_stream: named(), ..ChannelProxies::default() };
    for (proxies, other) in [
        (ChannelProxies { subscribe: named(), ..streamed() }, "subscribe_proxy_enabled"),
        (ChannelProxies { publish: named(), ..streamed() }, "publish_proxy_enabled"),
        (ChannelProxies { sub_refresh: named(), ..streamed() }, "sub_refresh_proxy_enabled"),
    ] {
        let refused = Namespaces::new(&config(|channel| channel.proxies = proxies)).expect_err("is refused");
        assert_eq!(
            refused.to_string(),
            format!("channel.without_namespace.subscribe_stream_proxy_enabled: excludes `{other}`")
        );
    }
    Namespaces::new(&config(|channel| channel.proxies = streamed())).expect("alone it may be");
}
