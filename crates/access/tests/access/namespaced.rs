//! Namespaces without tokens.

use tourbillon_access::{DenyAll, Namespaced};
use tourbillon_node::{
    ConnectRequest, DataFormat, Hooks, MessageRequest, PublishDecision, PublishRequest, RefreshRequest,
    RpcRequest, SubRefreshRequest,
};
use tourbillon_types::{Channel, ClientId, Disconnect as Why, Payload, Unsubscribe};

use crate::harness::End::{Allowed, Disconnect, Error};
use crate::harness::{Asked, NOW, client, end, namespaces, now, subscribe_request};

#[test]
fn namespaces_decide_about_subscriptions_and_publications_alone() {
    let asked = Asked::default();
    let rules = namespaces(|channel| {
        channel.allow_subscribe_for_client = true;
        channel.allow_publish_for_subscriber = true;
        channel.publication_data_format = "json".to_owned();
    });
    let hooks = Namespaced::new(rules, asked.clone());
    let anna = client("anna");
    let subscribe = |channel| end(&now(hooks.subscribe(subscribe_request(&anna, channel, ""))));
    assert_eq!(subscribe("ns:x"), Allowed);
    assert_eq!(subscribe("$x"), Error(103));
    assert_eq!(subscribe("other:x"), Error(102));
    assert_eq!(subscribe("ü"), Error(107));
    let publish = |channel, data, subscribed| {
        let data = Payload::from(data);
        now(hooks.publish(PublishRequest::new(anna.clone(), Channel::from(channel), data, subscribed)))
    };
    assert_eq!(publish("x", "{}", true), Ok(PublishDecision::default()));
    assert_eq!(end(&publish("x", "{}", false)), Error(103));
    assert_eq!(end(&publish("x", "no json", true)), Error(107));
    assert_eq!(end(&publish("other:x", "{}", true)), Error(102));
    assert_eq!(hooks.channel_options("ns:x").map(|options| options.data_format), Ok(DataFormat::Json));
    assert_eq!(hooks.channel_options("other:x").map_err(|error| error.code.0), Err(102));
    assert!(asked.take().is_empty());
}

#[test]
fn a_token_that_nobody_can_read_is_not_passed_over() {
    let hooks = Namespaced::new(namespaces(|channel| channel.allow_subscribe_for_client = true), DenyAll);
    for channel in ["x", "$x"] {
        let request = subscribe_request(&client("anna"), channel, "a.b.c");
        assert_eq!(end(&now(hooks.subscribe(request))), Error(103));
    }
}

#[test]
fn everything_else_is_for_the_inner_hooks() {
    let asked = Asked::default();
    let hooks = Namespaced::new(namespaces(|_| {}), asked.clone());
    let anna = client("anna");
    let channel = Channel::from("x");
    assert!(now(hooks.connect(ConnectRequest::new(ClientId::random(), "test"))).is_ok());
    assert!(now(hooks.rpc(RpcRequest::new(anna.clone(), String::new(), Payload::empty()))).is_ok());
    assert!(now(hooks.message(MessageRequest::new(anna.clone(), Payload::empty()))).is_ok());
    assert!(now(hooks.refresh(RefreshRequest::new(anna.clone(), String::new(), NOW))).is_ok());
    let refresh = SubRefreshRequest::new(anna.clone(), channel.clone(), String::new(), NOW);
    assert!(now(hooks.sub_refresh(refresh)).is_ok());
    now(hooks.unsubscribed(&anna, &channel, &Unsubscribe::CLIENT));
    now(hooks.disconnected(&anna, &Why::SHUTDOWN));
    let questions = ["connect", "rpc", "message", "refresh", "sub_refresh", "unsubscribed", "disconnected"];
    assert_eq!(asked.take(), questions);
}

#[test]
fn nobody_behind_it_refuses_what_is_left() {
    let hooks = Namespaced::new(namespaces(|_| {}), DenyAll);
    let anna = client("anna");
    assert_eq!(end(&now(hooks.connect(ConnectRequest::new(ClientId::random(), "test")))), Disconnect(3501));
    let rpc = RpcRequest::new(anna.clone(), String::new(), Payload::empty());
    assert_eq!(end(&now(hooks.rpc(rpc))), Error(108));
    let message = MessageRequest::new(anna.clone(), Payload::empty());
    assert_eq!(now(hooks.message(message)).map_err(|why| why.code), Err(3508));
    let refresh = RefreshRequest::new(anna, String::new(), NOW);
    assert_eq!(end(&now(hooks.refresh(refresh))), Error(108));
}
