//! Clients that only listen (UNI-02, UNI-08, UNI-10, UNI-11, PUSH-07).

use std::borrow::Cow;
use std::time::Duration;

use expect_test::expect;
use tourbillon_session::{Accepted, Answer, Granted};
use tourbillon_types::{Direction, Disconnect, ErrorCode, ReplyError};

use crate::rig::{Rig, accepted, refused, thrown_out, wish_subscribe, wish_unsubscribe};

fn listener() -> Rig {
    Rig::with(|_, init| init.direction = Direction::Unidirectional)
}

#[test]
fn connect_is_answered_by_a_push() {
    let mut rig = listener();
    rig.send(r#"{"id":1,"connect":{}}"#);
    let subscriptions = vec![("news".into(), Granted::default())];
    rig.answer(Answer::Connect(Ok(Accepted { subscriptions, ..accepted(60, true) })));
    rig.expect(expect![[r#"
        client> {"id":1,"connect":{}}
        - call 1: connect
        - answer 1: accepted, for 60 s
        server> {"connect":{"client":"00000000-0000-4000-8000-000000000000","version":"1.2.3","subs":{"news":{}},"expires":true,"ttl":60,"ping":25,"session":"5ec4e700-0000-4000-8000-000000000000"}}
        - open news
    "#]]);
}

#[test]
fn an_error_becomes_a_disconnect() {
    let mut codes = Vec::new();
    for error in ReplyError::ALL.iter().cloned().chain([ReplyError::custom(1000, "custom", false)]) {
        let mut rig = listener();
        rig.send(r#"{"id":1,"connect":{}}"#);
        let code = error.code.0;
        let outputs = rig.take(Answer::Connect(Err(refused(error))));
        codes.push(format!("{code} -> {outputs}"));
    }
    expect![[r#"
        100 -> closed: 3004 internal server error
        101 -> closed: 3004 internal server error
        102 -> closed: 3004 internal server error
        103 -> closed: 3507 permission denied
        104 -> closed: 3004 internal server error
        105 -> closed: 3004 internal server error
        106 -> closed: 3004 internal server error
        107 -> closed: 3004 internal server error
        108 -> closed: 3004 internal server error
        109 -> closed: 3005 connection expired
        110 -> closed: 3005 connection expired
        111 -> closed: 3013 too many requests
        112 -> closed: 3004 internal server error
        113 -> closed: 3004 internal server error
        1000 -> closed: 3004 internal server error
    "#]]
    .assert_eq(&codes.concat());
}

/// UNI-09: a transport that answers refusals itself learns the error, and the connection is of no use then.
#[test]
fn an_error_stays_one_where_the_transport_wants_it() {
    let mut rig = Rig::with(|_, init| {
        init.direction = Direction::Unidirectional;
        init.connect_errors = true;
    });
    rig.send(r#"{"id":1,"connect":{}}"#);
    rig.answer(Answer::Connect(Err(refused(ReplyError::TOKEN_EXPIRED))));
    rig.malformed();
    rig.advance(60.0);
    rig.expect(expect![[r#"
        client> {"id":1,"connect":{}}
        - call 1: connect
        - answer 1: error 109
        server> {"id":1,"error":{"code":109,"message":"token expired"}}
        client> (malformed)
        [10 s]
        closed: 3502 stale
    "#]]);
}

#[test]
fn a_disconnect_stays_what_it_is() {
    let mut rig = listener();
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
fn an_expired_identity_is_closed() {
    let mut rig = listener();
    rig.send(r#"{"id":1,"connect":{}}"#);
    rig.answer(Answer::Connect(Ok(accepted(0, true))));
    rig.expect(expect![[r#"
        client> {"id":1,"connect":{}}
        - call 1: connect
        - answer 1: accepted, for 0 s
        closed: 3005 connection expired
    "#]]);
}

#[test]
fn what_a_listener_says_after_its_connect_is_ignored() {
    let mut rig = listener();
    rig.send(r#"{"id":1,"connect":{}}"#);
    rig.send(r#"{"id":2,"rpc":{"method":"sum"}}"#);
    rig.malformed();
    rig.answer(Answer::Connect(Ok(Accepted::default())));
    rig.forget();
    rig.send(r#"{"id":2,"connect":{}}"#);
    rig.send(r#"{"id":3,"subscribe":{"channel":"news"}}"#);
    rig.send("{}");
    rig.malformed();
    rig.expect(expect![[r#"
        client> {"id":2,"connect":{}}
        client> {"id":3,"subscribe":{"channel":"news"}}
        client> {}
        client> (malformed)
    "#]]);
}

#[test]
fn a_listener_must_begin_well() {
    let mut rig = listener();
    rig.malformed();
    rig.expect(expect![[r#"
        client> (malformed)
        closed: 3501 bad request
    "#]]);
}

#[test]
fn a_listener_is_pinged_and_does_not_answer() {
    let mut rig = listener().connect(Accepted::default());
    rig.advance(60.0);
    rig.expect(expect![[r#"
        [12.5 s]
        server> {}
        [37.5 s]
        server> {}
    "#]]);
}

#[test]
fn a_listener_gets_what_the_server_gives() {
    let mut rig = listener().connect(Accepted::default());
    rig.server(wish_subscribe("news"));
    rig.answer(Answer::Subscribe(Ok(Granted::default())));
    rig.server(wish_unsubscribe("news"));
    rig.expect(expect![[r#"
        - wish: subscribe news
        - call 2: attach news
        - answer 2: granted
        server> {"channel":"news","subscribe":{}}
        - open news
        - wish: unsubscribe news: 2000 server unsubscribe
        - detach news: 2000 server unsubscribe
        server> {"channel":"news","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}
    "#]]);
}

/// UNI-08: the configuration may name other codes; the first entry of a code counts, and others stay as they are.
#[test]
fn configured_disconnects_come_first() {
    let told = |code, reason| Disconnect { code, reason: Cow::Borrowed(reason) };
    let configured = vec![
        (ErrorCode::TOKEN_EXPIRED, told(4109, "get another token")),
        (ErrorCode::TOKEN_EXPIRED, told(4110, "never")),
        (ErrorCode(1000), told(3100, "come back")),
    ];
    for (error, code) in [
        (ReplyError::TOKEN_EXPIRED, 4109),
        (ReplyError::custom(1000, "custom", false), 3100),
        (ReplyError::EXPIRED, 3005),
        (ReplyError::INTERNAL, 3004),
    ] {
        let configured = configured.clone();
        let mut rig = Rig::with(|config, init| {
            init.direction = Direction::Unidirectional;
            config.unidirectional_disconnects = configured;
        });
        rig.send(r#"{"id":1,"connect":{}}"#);
        let outputs = rig.take(Answer::Connect(Err(refused(error))));
        assert!(outputs.starts_with(&format!("closed: {code} ")), "{outputs}");
    }
    // A disconnect of the application stays what it is.
    let mut rig = Rig::with(|config, init| {
        init.direction = Direction::Unidirectional;
        config.unidirectional_disconnects = configured;
    });
    rig.send(r#"{"id":1,"connect":{}}"#);
    let outputs = rig.take(Answer::Connect(Err(thrown_out(Disconnect::INVALID_TOKEN))));
    assert!(outputs.starts_with("closed: 3500 "), "{outputs}");
}

/// UNI-03: a transport that pings is answered; the message beside it is not, and no pong is asked for.
#[test]
fn a_listener_whose_transport_pings_gets_both() {
    let mut rig = Rig::with(|_, init| {
        init.direction = Direction::Unidirectional;
        init.native_ping = true;
    });
    rig.send(r#"{"id":1,"connect":{}}"#);
    rig.answer(Answer::Connect(Ok(Accepted::default())));
    assert!(rig.session.pings_in_messages());
    rig.advance(15.0);
    rig.native_pong();
    rig.advance(60.0);
    rig.expect(expect![[r#"
        client> {"id":1,"connect":{}}
        - call 1: connect
        - answer 1: accepted
        server> {"connect":{"client":"00000000-0000-4000-8000-000000000000","version":"1.2.3","ping":25,"session":"5ec4e700-0000-4000-8000-000000000000"}}
        [12.5 s]
        server> (ping frame)
        [15 s]
        client> (pong frame)
        [37.5 s]
        server> (ping frame)
        [45.5 s]
        closed: 3012 no pong
    "#]]);
}

/// UNI-03: such pings do not depend on those of the protocol.
#[test]
fn a_listener_is_pinged_by_its_transport_even_if_pings_are_off() {
    let mut rig = Rig::with(|config, init| {
        init.direction = Direction::Unidirectional;
        init.native_ping = true;
        config.ping_interval = None;
        config.pong_timeout = Duration::ZERO;
    });
    rig.send(r#"{"id":1,"connect":{}}"#);
    rig.answer(Answer::Connect(Ok(Accepted::default())));
    assert!(!rig.session.pings_in_messages());
    rig.advance(60.0);
    rig.expect(expect![[r#"
        client> {"id":1,"connect":{}}
        - call 1: connect
        - answer 1: accepted
        server> {"connect":{"client":"00000000-0000-4000-8000-000000000000","version":"1.2.3","session":"5ec4e700-0000-4000-8000-000000000000"}}
        [12.5 s]
        server> (ping frame)
        [22.5 s]
        closed: 3012 no pong
    "#]]);
}
