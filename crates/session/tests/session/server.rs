//! What the server side wants of a connection (PUSH-03, PUSH-04, API-22..25, HID-70).

use expect_test::expect;
use tourbillon_session::{Accepted, Answer, Granted, ServerOp};
use tourbillon_types::{Disconnect, Payload, ReplyError, Unsubscribe};

use crate::rig::{Rig, granted, positioned, refused, thrown_out, wish_subscribe, wish_unsubscribe};

#[test]
fn the_server_subscribes() {
    let mut rig = Rig::connected();
    let granted = Granted { data: Payload::from(r#"{"a":1}"#), ..positioned(7) };
    rig.server(ServerOp::Subscribe { channel: "news".into(), granted: granted.clone() });
    // The client's commands do not wait for it.
    assert!(rig.session.ready());
    rig.answer(Answer::Subscribe(Ok(granted)));
    rig.expect(expect![[r#"
        - wish: subscribe news
        - call 2: attach news
        - answer 2: granted
        server> {"push":{"channel":"news","subscribe":{"recoverable":true,"epoch":"abcd","offset":7,"positioned":true,"data":{"a":1}}}}
        - open news at 7 abcd
    "#]]);
}

#[test]
fn the_server_subscribes_once() {
    let mut rig = Rig::connected();
    rig.server(wish_subscribe("news"));
    rig.server(wish_subscribe("news"));
    rig.answer(Answer::Subscribe(Ok(Granted::default())));
    rig.server(wish_subscribe("news"));
    rig.send(r#"{"id":2,"subscribe":{"channel":"news"}}"#);
    rig.expect(expect![[r#"
        - wish: subscribe news
        - call 2: attach news
        - wish: subscribe news
        - answer 2: granted
        server> {"push":{"channel":"news","subscribe":{}}}
        - open news
        - wish: subscribe news
        client> {"id":2,"subscribe":{"channel":"news"}}
        server> {"id":2,"error":{"code":105,"message":"already subscribed"}}
    "#]]);
}

#[test]
fn the_server_cannot_subscribe_beyond_the_limit() {
    let mut rig = Rig::with(|config, _| config.channel_limit = 1).connect(Accepted::default());
    rig = rig.subscribe("chat", Granted::default());
    rig.server(wish_subscribe("news"));
    rig.expect(expect![[r#"
        - wish: subscribe news
        closed: 3505 channel limit
    "#]]);
    assert_eq!(rig.session.channels().count(), 1);
}

#[test]
fn a_subscription_of_the_server_can_fail() {
    let mut rig = Rig::connected();
    rig.server(wish_subscribe("news"));
    rig.answer(Answer::Subscribe(Err(refused(ReplyError::INTERNAL))));
    rig.server(wish_subscribe("news"));
    rig.answer(Answer::Subscribe(Ok(granted(0, false))));
    assert!(!rig.session.holds("news"));
    rig.server(wish_subscribe("news"));
    rig.answer(Answer::Subscribe(Err(thrown_out(Disconnect::INTERNAL_SERVER_ERROR))));
    rig.expect(expect![[r#"
        - wish: subscribe news
        - call 2: attach news
        - answer 2: error 100
        - wish: subscribe news
        - call 3: attach news
        - answer 3: granted, for 0 s
        - wish: subscribe news
        - call 4: attach news
        - answer 4: disconnect 3004
        closed: 3004 internal server error
    "#]]);
}

#[test]
fn the_server_unsubscribes() {
    let mut rig = Rig::connected().subscribe("news", Granted::default());
    rig.server(wish_unsubscribe("news"));
    rig.expect(expect![[r#"
        - wish: unsubscribe news: 2000 server unsubscribe
        - detach news: 2000 server unsubscribe
        server> {"push":{"channel":"news","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}
    "#]]);
}

#[test]
fn the_server_tells_an_unsubscribe_even_without_a_subscription() {
    let mut rig = Rig::connected();
    rig.server(wish_unsubscribe("news"));
    rig.expect(expect![[r#"
        - wish: unsubscribe news: 2000 server unsubscribe
        server> {"push":{"channel":"news","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}
    "#]]);
}

#[test]
fn the_server_can_ask_to_subscribe_again() {
    let mut rig = Rig::connected().subscribe("news", Granted::default());
    rig.server(ServerOp::Unsubscribe { channel: "news".into(), why: Unsubscribe::INSUFFICIENT_STATE });
    rig.expect(expect![[r#"
        - wish: unsubscribe news: 2500 insufficient state
        - detach news: 2500 insufficient state
        server> {"push":{"channel":"news","unsubscribe":{"code":2500,"reason":"insufficient state"}}}
    "#]]);
}

#[test]
fn the_server_takes_back_what_it_is_still_giving() {
    let mut rig = Rig::connected();
    rig.server(wish_subscribe("news"));
    rig.server(wish_unsubscribe("news"));
    rig.answer(Answer::Subscribe(Ok(Granted::default())));
    rig.server(wish_subscribe("chat"));
    rig.server(wish_unsubscribe("chat"));
    rig.answer(Answer::Subscribe(Err(refused(ReplyError::INTERNAL))));
    rig.server(wish_subscribe("talk"));
    rig.server(wish_unsubscribe("talk"));
    rig.answer(Answer::Subscribe(Ok(granted(-1, false))));
    rig.expect(expect![[r#"
        - wish: subscribe news
        - call 2: attach news
        - wish: unsubscribe news: 2000 server unsubscribe
        - answer 2: granted
        server> {"push":{"channel":"news","subscribe":{}}}
        - open news
        - detach news: 2000 server unsubscribe
        server> {"push":{"channel":"news","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}
        - wish: subscribe chat
        - call 3: attach chat
        - wish: unsubscribe chat: 2000 server unsubscribe
        - answer 3: error 100
        server> {"push":{"channel":"chat","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}
        - wish: subscribe talk
        - call 4: attach talk
        - wish: unsubscribe talk: 2000 server unsubscribe
        - answer 4: granted, for -1 s
        server> {"push":{"channel":"talk","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}
    "#]]);
}

#[test]
fn the_client_gives_up_what_the_server_is_still_giving() {
    let mut rig = Rig::connected();
    rig.server(wish_subscribe("news"));
    rig.send(r#"{"id":2,"unsubscribe":{"channel":"news"}}"#);
    // One command after the other: this one is not done yet.
    assert!(!rig.session.ready());
    rig.answer(Answer::Subscribe(Ok(Granted::default())));
    assert!(rig.session.ready());
    rig.expect(expect![[r#"
        - wish: subscribe news
        - call 2: attach news
        client> {"id":2,"unsubscribe":{"channel":"news"}}
        - answer 2: granted
        server> {"push":{"channel":"news","subscribe":{}}}
        - open news
        - detach news: 0 client unsubscribed
        server> {"id":2,"unsubscribe":{}}
    "#]]);
}

#[test]
fn the_client_gives_up_what_the_server_gave() {
    let subscriptions = vec![("news".into(), Granted::default())];
    let mut rig = Rig::new().connect(Accepted { subscriptions, ..Accepted::default() });
    rig.send(r#"{"id":2,"unsubscribe":{"channel":"news"}}"#);
    rig.expect(expect![[r#"
        client> {"id":2,"unsubscribe":{"channel":"news"}}
        - detach news: 0 client unsubscribed
        server> {"id":2,"unsubscribe":{}}
    "#]]);
}

#[test]
fn the_server_disconnects() {
    let mut rig = Rig::connected().subscribe("news", Granted::default());
    rig.send(r#"{"id":3,"rpc":{"method":"slow"}}"#);
    rig.server(ServerOp::Disconnect(Disconnect::custom(4001, "go away")));
    rig.expect(expect![[r#"
        client> {"id":3,"rpc":{"method":"slow"}}
        - call 3: rpc "slow"
        - wish: disconnect 4001 go away
        closed: 4001 go away
    "#]]);
    // Its channels are the driver's to detach.
    assert_eq!(rig.session.channels().count(), 1);
}

#[test]
fn nothing_comes_out_of_a_closed_session() {
    let mut rig = Rig::connected().subscribe("news", granted(60, false));
    rig.server(ServerOp::Disconnect(Disconnect::FORCE_DISCONNECT));
    rig.forget();
    rig.send(r#"{"id":3,"connect":{}}"#);
    rig.malformed();
    rig.native_pong();
    rig.server(wish_unsubscribe("news"));
    rig.server(ServerOp::Disconnect(Disconnect::SHUTDOWN));
    rig.answer_to(tourbillon_session::CallId(1), Answer::Connect(Ok(Accepted::default())));
    rig.advance(1e3);
    rig.expect(expect![[r#"
        client> {"id":3,"connect":{}}
        client> (malformed)
        client> (pong frame)
        - wish: unsubscribe news: 2000 server unsubscribe
        - wish: disconnect 3001 shutdown
        - answer 1: accepted
    "#]]);
}

#[test]
fn the_server_sends_what_belongs_to_no_channel() {
    let mut rig = Rig::connected();
    rig.server(ServerOp::Message(Payload::from(r#"{"a":1}"#)));
    rig.expect(expect![[r#"
        - wish: message of 7 bytes
        server> {"push":{"message":{"data":{"a":1}}}}
    "#]]);
}
