//! How many commands are worked on at once (LIFE-06).

use expect_test::expect;
use tourbillon_session::{Accepted, Answer, CallId, Granted};
use tourbillon_types::Payload;

use crate::rig::{Rig, wish_subscribe};

#[test]
fn commands_wait_for_connect() {
    let mut rig = Rig::new();
    assert!(rig.session.ready());
    rig.send(r#"{"id":1,"connect":{}}"#);
    assert!(!rig.session.ready());
    rig.answer(Answer::Connect(Ok(Accepted::default())));
    assert!(rig.session.ready());
}

#[test]
fn commands_are_worked_on_one_after_the_other() {
    let mut rig = Rig::connected();
    rig.send(r#"{"id":2,"rpc":{"method":"a"}}"#);
    assert!(!rig.session.ready());
    rig.answer(Answer::Rpc(Ok(Payload::empty())));
    assert!(rig.session.ready());
    // What needs no call does not make it busy.
    rig.send(r#"{"id":3,"unsubscribe":{"channel":"news"}}"#);
    assert!(rig.session.ready());
}

#[test]
fn with_more_concurrency_replies_come_in_the_order_of_the_answers() {
    let mut rig = Rig::with(|config, _| config.concurrency = 3).connect(Accepted::default());
    rig.send(r#"{"id":2,"rpc":{"method":"a"}}"#);
    rig.send(r#"{"id":3,"rpc":{"method":"b"}}"#);
    assert!(rig.session.ready());
    rig.send(r#"{"send":{"data":1}}"#);
    assert!(!rig.session.ready());
    rig.answer_to(CallId(3), Answer::Rpc(Ok(Payload::from("3"))));
    assert!(rig.session.ready());
    rig.answer_to(CallId(4), Answer::Message(Ok(())));
    rig.answer_to(CallId(2), Answer::Rpc(Ok(Payload::from("2"))));
    rig.expect(expect![[r#"
        client> {"id":2,"rpc":{"method":"a"}}
        - call 2: rpc "a"
        client> {"id":3,"rpc":{"method":"b"}}
        - call 3: rpc "b"
        client> {"send":{"data":1}}
        - call 4: message 1
        - answer 3: 3
        server> {"id":3,"rpc":{"data":3}}
        - answer 4: done
        - answer 2: 2
        server> {"id":2,"rpc":{"data":2}}
    "#]]);
}

#[test]
fn what_the_server_does_does_not_make_it_busy() {
    let mut rig = Rig::connected();
    rig.server(wish_subscribe("news"));
    assert!(rig.session.ready());
}

#[test]
fn unsubscribes_that_wait_make_it_busy() {
    let mut rig = Rig::with(|config, _| config.concurrency = 3).connect(Accepted::default());
    rig.send(r#"{"id":2,"subscribe":{"channel":"news"}}"#);
    rig.send(r#"{"id":3,"unsubscribe":{"channel":"news"}}"#);
    assert!(rig.session.ready());
    rig.send(r#"{"id":4,"unsubscribe":{"channel":"news"}}"#);
    assert!(!rig.session.ready());
    rig.answer(Answer::Subscribe(Ok(Granted::default())));
    assert!(rig.session.ready());
}

#[test]
fn a_concurrency_of_zero_is_one() {
    let mut rig = Rig::with(|config, _| config.concurrency = 0).connect(Accepted::default());
    assert!(rig.session.ready());
    rig.send(r#"{"id":2,"rpc":{"method":"a"}}"#);
    assert!(!rig.session.ready());
}

#[test]
fn an_answer_nobody_waits_for_is_ignored() {
    let mut rig = Rig::connected();
    rig.answer_to(CallId(1), Answer::Connect(Ok(Accepted::default())));
    rig.answer_to(CallId(99), Answer::Rpc(Ok(Payload::empty())));
    rig.expect(expect![[r#"
        - answer 1: accepted
        - answer 99:
    "#]]);
}
