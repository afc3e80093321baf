//! Commands that carry data to the application, and those that a node does not have (CMD-06..13).

use expect_test::expect;
use tourbillon_session::{Answer, Granted, Refreshed};
use tourbillon_types::{Disconnect, Payload, Permissions, ReplyError};

use crate::rig::{Rig, granted, refreshed, refused, thrown_out};

#[test]
fn publish_tells_the_publishers_channel_info_only_of_a_subscriber() {
    let granted = Granted { info: Payload::from(r#"{"role":"host"}"#), ..Granted::default() };
    let mut rig = Rig::connected().subscribe("chat", granted);
    rig.send(r#"{"id":3,"publish":{"channel":"chat","data":{"a":1}}}"#);
    rig.answer(Answer::Publish(Ok(())));
    rig.send(r#"{"id":4,"publish":{"channel":"news","data":"text"}}"#);
    rig.answer(Answer::Publish(Err(refused(ReplyError::PERMISSION_DENIED))));
    rig.expect(expect![[r#"
        client> {"id":3,"publish":{"channel":"chat","data":{"a":1}}}
        - call 3: publish chat {"a":1}, subscribed: true, info: Some("{\"role\":\"host\"}")
        - answer 3: done
        server> {"id":3,"publish":{}}
        client> {"id":4,"publish":{"channel":"news","data":"text"}}
        - call 4: publish news "text", subscribed: false, info: None
        - answer 4: error 103
        server> {"id":4,"error":{"code":103,"message":"permission denied"}}
    "#]]);
}

#[test]
fn publish_while_still_subscribing_is_not_that_of_a_subscriber() {
    let mut rig = Rig::with(|config, _| config.concurrency = 2).connect(Default::default());
    rig.send(r#"{"id":2,"subscribe":{"channel":"chat"}}"#);
    rig.send(r#"{"id":3,"publish":{"channel":"chat","data":1}}"#);
    rig.expect(expect![[r#"
        client> {"id":2,"subscribe":{"channel":"chat"}}
        - call 2: subscribe chat
        client> {"id":3,"publish":{"channel":"chat","data":1}}
        - call 3: publish chat 1, subscribed: false, info: None
    "#]]);
}

#[test]
fn publish_can_end_the_connection() {
    let mut rig = Rig::connected();
    rig.send(r#"{"id":2,"publish":{"channel":"chat","data":1}}"#);
    rig.answer(Answer::Publish(Err(thrown_out(Disconnect::FORCE_DISCONNECT))));
    rig.expect(expect![[r#"
        client> {"id":2,"publish":{"channel":"chat","data":1}}
        - call 2: publish chat 1, subscribed: false, info: None
        - answer 2: disconnect 3503
        closed: 3503 force disconnect
    "#]]);
}

#[test]
fn publish_needs_a_channel() {
    let mut rig = Rig::connected();
    rig.send(r#"{"id":2,"publish":{"channel":"","data":1}}"#);
    rig.expect(expect![[r#"
        client> {"id":2,"publish":{"channel":"","data":1}}
        closed: 3501 bad request
    "#]]);
}

#[test]
fn publish_into_a_channel_with_too_long_a_name_is_an_error() {
    let mut rig = Rig::with(|config, _| config.channel_max_length = 4).connect(Default::default());
    rig.send(r#"{"id":2,"publish":{"channel":"12345","data":1}}"#);
    rig.expect(expect![[r#"
        client> {"id":2,"publish":{"channel":"12345","data":1}}
        server> {"id":2,"error":{"code":107,"message":"bad request"}}
    "#]]);
}

#[test]
fn cmd_07_keys_are_set_and_removed() {
    let mut rig =
        Rig::connected().subscribe("chat", Granted { info: Payload::from("1"), ..Granted::default() });
    rig.send(r#"{"id":3,"publish":{"channel":"chat","data":1,"type":1,"key":"k"}}"#);
    rig.answer(Answer::Publish(Ok(())));
    rig.send(r#"{"id":4,"publish":{"channel":"else","type":1,"key":"k","removed":true}}"#);
    rig.answer(Answer::Publish(Err(refused(ReplyError::PERMISSION_DENIED))));
    rig.send(r#"{"id":5,"publish":{"channel":"else","data":1,"type":1}}"#);
    rig.answer(Answer::Publish(Ok(())));
    rig.send(r#"{"id":6,"publish":{"channel":"else","data":1,"type":2,"key":"k"}}"#);
    rig.send(r#"{"id":7,"publish":{"channel":"","data":1,"type":1,"key":"k"}}"#);
    rig.expect(expect![[r#"
        client> {"id":3,"publish":{"channel":"chat","data":1,"type":1,"key":"k"}}
        - call 3: key "k" of chat: Some("1"), subscribed: true, info: Some("1")
        - answer 3: done
        server> {"id":3,"publish":{}}
        client> {"id":4,"publish":{"channel":"else","type":1,"key":"k","removed":true}}
        - call 4: key "k" of else: None, subscribed: false, info: None
        - answer 4: error 103
        server> {"id":4,"error":{"code":103,"message":"permission denied"}}
        client> {"id":5,"publish":{"channel":"else","data":1,"type":1}}
        - call 5: key "" of else: Some("1"), subscribed: false, info: None
        - answer 5: done
        server> {"id":5,"publish":{}}
        client> {"id":6,"publish":{"channel":"else","data":1,"type":2,"key":"k"}}
        server> {"id":6,"error":{"code":107,"message":"bad request"}}
        client> {"id":7,"publish":{"channel":"","data":1,"type":1,"key":"k"}}
        closed: 3501 bad request
    "#]]);
}

#[test]
fn rpc_is_answered_by_the_application() {
    let mut rig = Rig::connected();
    rig.send(r#"{"id":2,"rpc":{"method":"sum","data":[1,2]}}"#);
    rig.answer(Answer::Rpc(Ok(Payload::from("3"))));
    rig.send(r#"{"id":3,"rpc":{"data":{}}}"#);
    rig.answer(Answer::Rpc(Err(refused(ReplyError::METHOD_NOT_FOUND))));
    rig.send(r#"{"id":4,"rpc":{"method":"custom","data":{}}}"#);
    rig.answer(Answer::Rpc(Err(refused(ReplyError::custom(1000, "no such order", true)))));
    rig.send(r#"{"id":5,"rpc":{"method":"leave","data":{}}}"#);
    rig.answer(Answer::Rpc(Err(thrown_out(Disconnect::custom(4000, "as you wish")))));
    rig.expect(expect![[r#"
        client> {"id":2,"rpc":{"method":"sum","data":[1,2]}}
        - call 2: rpc "sum" [1,2]
        - answer 2: 3
        server> {"id":2,"rpc":{"data":3}}
        client> {"id":3,"rpc":{"data":{}}}
        - call 3: rpc "" {}
        - answer 3: error 104
        server> {"id":3,"error":{"code":104,"message":"method not found"}}
        client> {"id":4,"rpc":{"method":"custom","data":{}}}
        - call 4: rpc "custom" {}
        - answer 4: error 1000
        server> {"id":4,"error":{"code":1000,"message":"no such order","temporary":true}}
        client> {"id":5,"rpc":{"method":"leave","data":{}}}
        - call 5: rpc "leave" {}
        - answer 5: disconnect 4000
        closed: 4000 as you wish
    "#]]);
}

#[test]
fn command_ids_may_repeat() {
    let mut rig = Rig::connected();
    for _ in 0..2 {
        rig.send(r#"{"id":2,"rpc":{"method":"sum","data":1}}"#);
        rig.answer(Answer::Rpc(Ok(Payload::from("1"))));
    }
    rig.expect(expect![[r#"
        client> {"id":2,"rpc":{"method":"sum","data":1}}
        - call 2: rpc "sum" 1
        - answer 2: 1
        server> {"id":2,"rpc":{"data":1}}
        client> {"id":2,"rpc":{"method":"sum","data":1}}
        - call 3: rpc "sum" 1
        - answer 3: 1
        server> {"id":2,"rpc":{"data":1}}
    "#]]);
}

#[test]
fn send_is_not_answered() {
    let mut rig = Rig::connected();
    rig.send(r#"{"send":{"data":{"a":1}}}"#);
    assert!(!rig.session.ready());
    rig.answer(Answer::Message(Ok(())));
    assert!(rig.session.ready());
    rig.send(r#"{"id":7,"send":{"data":{"a":2}}}"#);
    rig.answer(Answer::Message(Err(Disconnect::NOT_AVAILABLE)));
    rig.expect(expect![[r#"
        client> {"send":{"data":{"a":1}}}
        - call 2: message {"a":1}
        - answer 2: done
        client> {"id":7,"send":{"data":{"a":2}}}
        - call 3: message {"a":2}
        - answer 3: disconnect 3508
        closed: 3508 not available
    "#]]);
}

#[test]
fn what_the_node_does_not_have_is_not_available() {
    let mut rig = Rig::connected();
    rig.send(r#"{"id":5,"ping":{}}"#);
    rig.expect(expect![[r#"
        client> {"id":5,"ping":{}}
        server> {"id":5,"error":{"code":108,"message":"not available"}}
    "#]]);
}

#[test]
fn the_empty_payload_is_left_out() {
    let mut rig = Rig::connected();
    rig.send(r#"{"id":2,"rpc":{"method":"nothing"}}"#);
    rig.answer(Answer::Rpc(Ok(Payload::empty())));
    rig.expect(expect![[r#"
        client> {"id":2,"rpc":{"method":"nothing"}}
        - call 2: rpc "nothing"
        - answer 2:
        server> {"id":2,"rpc":{}}
    "#]]);
}

/// SUBT-14: what a subscription allows is told with every request, for as long as it lasts, and changes by a refresh.
#[test]
fn requests_tell_what_the_subscription_allows() {
    let allow = Permissions::PUBLISH | Permissions::HISTORY;
    let granted = Granted { allow, ..granted(60, true) };
    let mut rig = Rig::connected().subscribe("chat", granted);
    rig.send(r#"{"id":3,"publish":{"channel":"chat","data":1}}"#);
    rig.answer(Answer::Publish(Ok(())));
    rig.send(r#"{"id":4,"sub_refresh":{"channel":"chat","token":"t"}}"#);
    rig.answer(Answer::Refresh(Ok(Refreshed { allow: Some(Permissions::PRESENCE), ..refreshed(120) })));
    rig.send(r#"{"id":5,"presence":{"channel":"chat"}}"#);
    rig.answer(Answer::Presence(Err(refused(ReplyError::PERMISSION_DENIED))));
    rig.send(r#"{"id":6,"unsubscribe":{"channel":"chat"}}"#);
    rig.send(r#"{"id":7,"presence_stats":{"channel":"chat"}}"#);
    rig.expect(expect![[r#"
        client> {"id":3,"publish":{"channel":"chat","data":1}}
        - call 3: publish chat 1, subscribed: true, allow: ["pub", "hst"], info: Some("")
        - answer 3: done
        server> {"id":3,"publish":{}}
        client> {"id":4,"sub_refresh":{"channel":"chat","token":"t"}}
        - call 4: sub_refresh chat t
        - answer 4: refreshed, for 120 s
        server> {"id":4,"sub_refresh":{"expires":true,"ttl":120}}
        client> {"id":5,"presence":{"channel":"chat"}}
        - call 5: presence chat, subscribed: true, allow: ["prs"]
        - answer 5: error 103
        server> {"id":5,"error":{"code":103,"message":"permission denied"}}
        client> {"id":6,"unsubscribe":{"channel":"chat"}}
        - detach chat: 0 client unsubscribed
        server> {"id":6,"unsubscribe":{}}
        client> {"id":7,"presence_stats":{"channel":"chat"}}
        - call 6: presence_stats chat, subscribed: false
    "#]]);
}

#[test]
fn subscriptions_that_depend_on_the_connections_rights_are_told_apart() {
    let rig = Rig::connected()
        .subscribe("lent", Granted { revocable: true, ..Granted::default() })
        .subscribe("own", Granted::default());
    let revocable: Vec<_> = rig.session.revocable().map(ToString::to_string).collect();
    assert_eq!(revocable, ["lent"]);
}
