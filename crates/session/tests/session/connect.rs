//! The first command and its answer (CMD-01, CMD-02, LIFE-01, HID-20..22).

use expect_test::expect;
use tourbillon_session::{Accepted, Answer, Granted, ServerOp};
use tourbillon_types::{Channel, Disconnect, Payload, ReplyError};

use crate::rig::{
    Rig, accepted, after, granted, positioned, refused, thrown_out, wish_subscribe, wish_unsubscribe,
};

fn accept(accepted: Accepted) -> Answer {
    Answer::Connect(Ok(accepted))
}

#[test]
fn connect_names_the_client_and_how_often_it_is_pinged() {
    let mut rig = Rig::new();
    rig.send(r#"{"id":1,"connect":{"data":{"room":7}}}"#);
    rig.answer(accept(Accepted { data: Payload::from(r#"{"hello":"you"}"#), ..Accepted::default() }));
    rig.expect(expect![[r#"
        client> {"id":1,"connect":{"data":{"room":7}}}
        - call 1: connect {"room":7}
        - answer 1: accepted
        server> {"id":1,"connect":{"client":"00000000-0000-4000-8000-000000000000","version":"1.2.3","data":{"hello":"you"},"ping":25,"pong":true}}
    "#]]);
    assert!(rig.session.is_connected());
}

#[test]
fn connect_tells_the_time_to_live_only_to_who_refreshes() {
    let mut rig = Rig::new();
    rig.send(r#"{"id":1,"connect":{}}"#);
    rig.answer(accept(accepted(60, true)));
    rig.expect(expect![[r#"
        client> {"id":1,"connect":{}}
        - call 1: connect
        - answer 1: accepted, for 60 s
        server> {"id":1,"connect":{"client":"00000000-0000-4000-8000-000000000000","version":"1.2.3","expires":true,"ttl":60,"ping":25,"pong":true}}
    "#]]);
    let mut rig = Rig::new();
    rig.send(r#"{"id":1,"connect":{}}"#);
    rig.answer(accept(accepted(60, false)));
    rig.expect(expect![[r#"
        client> {"id":1,"connect":{}}
        - call 1: connect
        - answer 1: accepted, for 60 s
        server> {"id":1,"connect":{"client":"00000000-0000-4000-8000-000000000000","version":"1.2.3","ping":25,"pong":true}}
    "#]]);
}

#[test]
fn connect_clamps_the_time_to_live_to_a_year() {
    let mut rig = Rig::new();
    rig.send(r#"{"id":1,"connect":{}}"#);
    rig.answer(accept(accepted(366 * 24 * 3600, true)));
    rig.expect(expect![[r#"
        client> {"id":1,"connect":{}}
        - call 1: connect
        - answer 1: accepted, for 31622400 s
        server> {"id":1,"connect":{"client":"00000000-0000-4000-8000-000000000000","version":"1.2.3","expires":true,"ttl":31536000,"ping":25,"pong":true}}
    "#]]);
    let mut rig = Rig::new();
    rig.send(r#"{"id":1,"connect":{}}"#);
    rig.answer(accept(accepted(i64::from(u32::MAX) * 2, true)));
    rig.expect(expect![[r#"
        client> {"id":1,"connect":{}}
        - call 1: connect
        - answer 1: accepted, for 8589934590 s
        server> {"id":1,"connect":{"client":"00000000-0000-4000-8000-000000000000","version":"1.2.3","expires":true,"ttl":31536000,"ping":25,"pong":true}}
    "#]]);
}

#[test]
fn connect_tells_the_time_when_asked_to() {
    let mut rig = Rig::with(|config, _| config.include_server_time = true);
    rig.send(r#"{"id":1,"connect":{}}"#);
    rig.answer(accept(Accepted::default()));
    rig.expect(expect![[r#"
        client> {"id":1,"connect":{}}
        - call 1: connect
        - answer 1: accepted
        server> {"id":1,"connect":{"client":"00000000-0000-4000-8000-000000000000","version":"1.2.3","ping":25,"pong":true,"time":1700000000000}}
    "#]]);
}

#[test]
fn connect_by_emulation_tells_session_and_node() {
    let mut rig = Rig::with(|_, init| init.emulation = true);
    rig.send(r#"{"id":1,"connect":{}}"#);
    rig.answer(accept(Accepted::default()));
    rig.expect(expect![[r#"
        client> {"id":1,"connect":{}}
        - call 1: connect
        - answer 1: accepted
        server> {"id":1,"connect":{"client":"00000000-0000-4000-8000-000000000000","version":"1.2.3","ping":25,"pong":true,"session":"5ec4e700-0000-4000-8000-000000000000","node":"ffffffff-ffff-4fff-bfff-ffffffffffff"}}
    "#]]);
}

#[test]
fn connect_establishes_the_servers_subscriptions_and_opens_them_after_the_reply() {
    let mut rig = Rig::new();
    rig.send(r#"{"id":1,"connect":{}}"#);
    let news = positioned(5);
    let subscriptions = vec![
        (Channel::from("news"), news),
        (Channel::from("chat"), Granted { data: Payload::from("[1]"), ..Granted::default() }),
    ];
    rig.answer(accept(Accepted { subscriptions, ..Accepted::default() }));
    rig.expect(expect![[r#"
        client> {"id":1,"connect":{}}
        - call 1: connect
        - answer 1: accepted
        server> {"id":1,"connect":{"client":"00000000-0000-4000-8000-000000000000","version":"1.2.3","subs":{"news":{"recoverable":true,"epoch":"abcd","offset":5,"positioned":true},"chat":{"data":[1]}},"ping":25,"pong":true}}
        - open news at 5 abcd
        - open chat
    "#]]);
}

#[test]
fn connect_takes_a_channel_that_is_granted_twice_once() {
    let mut rig = Rig::new();
    rig.send(r#"{"id":1,"connect":{}}"#);
    let subscriptions = vec![("news".into(), Granted::default()), ("news".into(), granted(60, false))];
    rig.answer(accept(Accepted { subscriptions, ..Accepted::default() }));
    rig.expect(expect![[r#"
        client> {"id":1,"connect":{}}
        - call 1: connect
        - answer 1: accepted
        server> {"id":1,"connect":{"client":"00000000-0000-4000-8000-000000000000","version":"1.2.3","subs":{"news":{}},"ping":25,"pong":true}}
        - open news
    "#]]);
}

#[test]
fn connect_fails_when_one_subscription_has_expired() {
    let mut rig = Rig::new();
    rig.send(r#"{"id":1,"connect":{}}"#);
    let subscriptions = vec![("chat".into(), Granted::default()), ("news".into(), granted(0, false))];
    rig.answer(accept(Accepted { subscriptions, ..accepted(60, false) }));
    rig.expect(expect![[r#"
        client> {"id":1,"connect":{}}
        - call 1: connect
        - answer 1: accepted, for 60 s
        server> {"id":1,"error":{"code":110,"message":"expired"}}
    "#]]);
    assert!(!rig.session.holds("chat") && !rig.session.holds("news"));
    // Neither the expiry nor the pings of a connection have begun.
    rig.advance(60.0);
    rig.expect(expect![[r#"
        [10 s]
        closed: 3502 stale
    "#]]);
}

#[test]
fn connect_with_too_many_subscriptions_is_closed() {
    let mut rig = Rig::with(|config, _| config.channel_limit = 1);
    rig.send(r#"{"id":1,"connect":{}}"#);
    let subscriptions = vec![("chat".into(), Granted::default()), ("news".into(), Granted::default())];
    rig.answer(accept(Accepted { subscriptions, ..Accepted::default() }));
    rig.expect(expect![[r#"
        client> {"id":1,"connect":{}}
        - call 1: connect
        - answer 1: accepted
        closed: 3505 channel limit
    "#]]);
    assert!(!rig.session.holds("chat"));
}

#[test]
fn connect_answered_by_an_error_leaves_the_connection_unusable() {
    let mut rig = Rig::new();
    rig.send(r#"{"id":1,"connect":{}}"#);
    rig.answer(Answer::Connect(Err(refused(ReplyError::TOKEN_EXPIRED))));
    rig.send(r#"{"id":2,"connect":{}}"#);
    rig.expect(expect![[r#"
        client> {"id":1,"connect":{}}
        - call 1: connect
        - answer 1: error 109
        server> {"id":1,"error":{"code":109,"message":"token expired"}}
        client> {"id":2,"connect":{}}
        closed: 3501 bad request
    "#]]);
}

#[test]
fn an_unusable_connection_is_closed_when_it_stays_idle() {
    let mut rig = Rig::new();
    rig.advance(3.0);
    rig.send(r#"{"id":1,"connect":{}}"#);
    rig.answer(Answer::Connect(Err(refused(ReplyError::PERMISSION_DENIED))));
    rig.advance(60.0);
    rig.expect(expect![[r#"
        [3 s]
        client> {"id":1,"connect":{}}
        - call 1: connect
        - answer 1: error 103
        server> {"id":1,"error":{"code":103,"message":"permission denied"}}
        [10 s]
        closed: 3502 stale
    "#]]);
}

#[test]
fn connect_of_an_expired_identity_is_an_error() {
    let mut rig = Rig::new();
    rig.send(r#"{"id":1,"connect":{}}"#);
    rig.answer(accept(accepted(0, true)));
    rig.expect(expect![[r#"
        client> {"id":1,"connect":{}}
        - call 1: connect
        - answer 1: accepted, for 0 s
        server> {"id":1,"error":{"code":110,"message":"expired"}}
    "#]]);
}

#[test]
fn connect_answered_by_a_disconnect_is_closed() {
    let mut rig = Rig::new();
    rig.send(r#"{"id":1,"connect":{}}"#);
    rig.answer(Answer::Connect(Err(thrown_out(Disconnect::INVALID_TOKEN))));
    rig.expect(expect![[r#"
        client> {"id":1,"connect":{}}
        - call 1: connect
        - answer 1: disconnect 3500
        closed: 3500 invalid token
    "#]]);
}

#[test]
fn a_client_that_does_not_connect_is_stale() {
    let mut rig = Rig::new();
    rig.advance(60.0);
    rig.expect(expect![[r#"
        [10 s]
        closed: 3502 stale
    "#]]);
}

#[test]
fn a_connect_that_is_not_answered_in_time_is_stale() {
    let mut rig = Rig::new();
    rig.advance(4.0);
    rig.send(r#"{"id":1,"connect":{}}"#);
    rig.advance(60.0);
    rig.expect(expect![[r#"
        [4 s]
        client> {"id":1,"connect":{}}
        - call 1: connect
        [10 s]
        closed: 3502 stale
    "#]]);
    // The driver undoes what a late answer attached.
    let subscriptions = vec![("news".into(), Granted::default())];
    rig.answer_to(tourbillon_session::CallId(1), accept(Accepted { subscriptions, ..Accepted::default() }));
    assert!(!rig.session.holds("news"));
    rig.expect(expect![[r#"
        [64 s]
        - answer 1: accepted
    "#]]);
}

#[test]
fn a_second_connect_is_a_bad_request() {
    let mut rig = Rig::connected();
    rig.send(r#"{"id":2,"connect":{}}"#);
    rig.expect(expect![[r#"
        client> {"id":2,"connect":{}}
        closed: 3501 bad request
    "#]]);
}

#[test]
fn connect_needs_an_id() {
    let mut rig = Rig::new();
    rig.send(r#"{"connect":{}}"#);
    rig.expect(expect![[r#"
        client> {"connect":{}}
        closed: 3501 bad request
    "#]]);
}

#[test]
fn nothing_may_come_before_connect() {
    let mut rig = Rig::new();
    rig.send(r#"{"id":1,"subscribe":{"channel":"news"}}"#);
    rig.expect(expect![[r#"
        client> {"id":1,"subscribe":{"channel":"news"}}
        closed: 3501 bad request
    "#]]);
}

#[test]
fn a_malformed_frame_is_a_bad_request() {
    let mut rig = Rig::new();
    rig.malformed();
    rig.expect(expect![[r#"
        client> (malformed)
        closed: 3501 bad request
    "#]]);
    let mut rig = Rig::connected();
    rig.malformed();
    rig.expect(expect![[r#"
        client> (malformed)
        closed: 3501 bad request
    "#]]);
}

#[test]
fn what_the_server_wants_during_connect_is_done_after_the_reply() {
    let mut rig = Rig::new();
    rig.server(wish_subscribe("too-early"));
    rig.send(r#"{"id":1,"connect":{}}"#);
    rig.server(wish_unsubscribe("news"));
    rig.server(wish_subscribe("chat"));
    let subscriptions = vec![("news".into(), Granted { expire_at: after(60), ..Granted::default() })];
    rig.answer(accept(Accepted { subscriptions, ..Accepted::default() }));
    rig.expect(expect![[r#"
        - wish: subscribe too-early
        client> {"id":1,"connect":{}}
        - call 1: connect
        - wish: unsubscribe news: 2000 server unsubscribe
        - wish: subscribe chat
        - answer 1: accepted
        server> {"id":1,"connect":{"client":"00000000-0000-4000-8000-000000000000","version":"1.2.3","subs":{"news":{}},"ping":25,"pong":true}}
        - open news
        - detach news: 2000 server unsubscribe
        server> {"push":{"channel":"news","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}
        - call 2: attach chat
    "#]]);
}

#[test]
fn what_the_server_wanted_during_a_refused_connect_is_forgotten() {
    let mut rig = Rig::new();
    rig.send(r#"{"id":1,"connect":{}}"#);
    rig.server(wish_subscribe("chat"));
    rig.answer(Answer::Connect(Err(refused(ReplyError::INTERNAL))));
    rig.expect(expect![[r#"
        client> {"id":1,"connect":{}}
        - call 1: connect
        - wish: subscribe chat
        - answer 1: error 100
        server> {"id":1,"error":{"code":100,"message":"internal server error","temporary":true}}
    "#]]);
}

#[test]
fn the_server_can_end_a_connection_before_it_is_accepted() {
    let mut rig = Rig::new();
    rig.send(r#"{"id":1,"connect":{}}"#);
    rig.server(ServerOp::Disconnect(Disconnect::SHUTDOWN));
    rig.expect(expect![[r#"
        client> {"id":1,"connect":{}}
        - call 1: connect
        - wish: disconnect 3001 shutdown
        closed: 3001 shutdown
    "#]]);
}

#[test]
fn an_answer_of_another_kind_is_a_fault_of_the_server() {
    let mut rig = Rig::new();
    rig.send(r#"{"id":1,"connect":{}}"#);
    rig.answer(Answer::Publish(Ok(())));
    rig.expect(expect![[r#"
        client> {"id":1,"connect":{}}
        - call 1: connect
        - answer 1: done
        closed: 3004 internal server error
    "#]]);
}
