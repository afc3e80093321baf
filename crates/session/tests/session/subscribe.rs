//! Channels that the client asks for and gives up (CMD-03..05, HID-24, HID-28).

use expect_test::expect;
use tourbillon_session::{Answer, CallId, Granted};
use tourbillon_types::{Disconnect, Payload, ReplyError};

use crate::rig::{Rig, after, granted, positioned, refused, thrown_out, wish_subscribe, wish_unsubscribe};

fn grant(granted: Granted) -> Answer {
    Answer::Subscribe(Ok(granted))
}

#[test]
fn subscribe_is_answered_before_the_channel_opens() {
    let mut rig = Rig::connected();
    rig.send(r#"{"id":2,"subscribe":{"channel":"news"}}"#);
    rig.answer(grant(Granted { data: Payload::from(r#"{"topic":"x"}"#), ..Granted::default() }));
    rig.expect(expect![[r#"
        client> {"id":2,"subscribe":{"channel":"news"}}
        - call 2: subscribe news
        - answer 2: granted
        server> {"id":2,"subscribe":{"data":{"topic":"x"}}}
        - open news
    "#]]);
}

#[test]
fn subscribe_tells_position_and_time_to_live() {
    let mut rig = Rig::connected();
    rig.send(r#"{"id":2,"subscribe":{"channel":"news","recover":true,"offset":3,"epoch":"abcd"}}"#);
    rig.answer(grant(Granted { expire_at: after(60), client_side_refresh: true, ..positioned(5) }));
    rig.expect(expect![[r#"
        client> {"id":2,"subscribe":{"channel":"news","recover":true,"offset":3,"epoch":"abcd"}}
        - call 2: subscribe news
        - answer 2: granted, for 60 s
        server> {"id":2,"subscribe":{"expires":true,"ttl":60,"recoverable":true,"epoch":"abcd","offset":5,"positioned":true,"was_recovering":true}}
        - open news at 5 abcd
    "#]]);
}

#[test]
fn subscribe_does_not_tell_an_expiry_that_the_server_looks_after() {
    let mut rig = Rig::connected();
    rig.send(r#"{"id":2,"subscribe":{"channel":"news"}}"#);
    rig.answer(grant(granted(60, false)));
    rig.expect(expect![[r#"
        client> {"id":2,"subscribe":{"channel":"news"}}
        - call 2: subscribe news
        - answer 2: granted, for 60 s
        server> {"id":2,"subscribe":{}}
        - open news
    "#]]);
}

#[test]
fn subscribe_can_be_refused_and_tried_again() {
    let mut rig = Rig::connected();
    rig.send(r#"{"id":2,"subscribe":{"channel":"news"}}"#);
    rig.answer(Answer::Subscribe(Err(refused(ReplyError::PERMISSION_DENIED))));
    assert!(!rig.session.holds("news"));
    rig.send(r#"{"id":3,"subscribe":{"channel":"news"}}"#);
    rig.answer(grant(Granted::default()));
    rig.expect(expect![[r#"
        client> {"id":2,"subscribe":{"channel":"news"}}
        - call 2: subscribe news
        - answer 2: error 103
        server> {"id":2,"error":{"code":103,"message":"permission denied"}}
        client> {"id":3,"subscribe":{"channel":"news"}}
        - call 3: subscribe news
        - answer 3: granted
        server> {"id":3,"subscribe":{}}
        - open news
    "#]]);
}

#[test]
fn subscribe_can_end_the_connection() {
    let mut rig = Rig::connected();
    rig.send(r#"{"id":2,"subscribe":{"channel":"news"}}"#);
    rig.answer(Answer::Subscribe(Err(thrown_out(Disconnect::INVALID_TOKEN))));
    rig.expect(expect![[r#"
        client> {"id":2,"subscribe":{"channel":"news"}}
        - call 2: subscribe news
        - answer 2: disconnect 3500
        closed: 3500 invalid token
    "#]]);
    assert_eq!(rig.session.channels().count(), 0);
}

#[test]
fn subscribe_by_an_expired_grant_is_an_error() {
    let mut rig = Rig::connected();
    rig.send(r#"{"id":2,"subscribe":{"channel":"news"}}"#);
    rig.answer(grant(granted(0, true)));
    rig.expect(expect![[r#"
        client> {"id":2,"subscribe":{"channel":"news"}}
        - call 2: subscribe news
        - answer 2: granted, for 0 s
        server> {"id":2,"error":{"code":110,"message":"expired"}}
    "#]]);
    assert!(!rig.session.holds("news"));
}

#[test]
fn subscribe_twice_is_an_error() {
    let mut rig = Rig::with(|config, _| config.concurrency = 2).connect(Default::default());
    rig.send(r#"{"id":2,"subscribe":{"channel":"news"}}"#);
    rig.send(r#"{"id":3,"subscribe":{"channel":"news"}}"#);
    rig.answer(grant(Granted::default()));
    rig.send(r#"{"id":4,"subscribe":{"channel":"news"}}"#);
    rig.expect(expect![[r#"
        client> {"id":2,"subscribe":{"channel":"news"}}
        - call 2: subscribe news
        client> {"id":3,"subscribe":{"channel":"news"}}
        server> {"id":3,"error":{"code":105,"message":"already subscribed"}}
        - answer 2: granted
        server> {"id":2,"subscribe":{}}
        - open news
        client> {"id":4,"subscribe":{"channel":"news"}}
        server> {"id":4,"error":{"code":105,"message":"already subscribed"}}
    "#]]);
}

#[test]
fn channels_under_way_and_of_the_server_count_against_the_limit() {
    let mut rig = Rig::with(|config, _| (config.channel_limit, config.concurrency) = (2, 2));
    rig = rig.connect(Default::default());
    rig.server(wish_subscribe("a"));
    rig.send(r#"{"id":2,"subscribe":{"channel":"b"}}"#);
    rig.send(r#"{"id":3,"subscribe":{"channel":"c"}}"#);
    rig.expect(expect![[r#"
        - wish: subscribe a
        - call 2: attach a
        client> {"id":2,"subscribe":{"channel":"b"}}
        - call 3: subscribe b
        client> {"id":3,"subscribe":{"channel":"c"}}
        server> {"id":3,"error":{"code":106,"message":"limit exceeded"}}
    "#]]);
}

#[test]
fn a_channel_of_255_bytes_is_the_longest() {
    let mut rig = Rig::connected();
    for length in [256, 255] {
        rig.send(&format!(r#"{{"id":2,"subscribe":{{"channel":"{}"}}}}"#, "x".repeat(length)));
        let asked = rig.asked().len();
        assert_eq!(asked, usize::from(length == 255));
    }
    rig.forget();
    rig.answer(Answer::Subscribe(Err(refused(ReplyError::BAD_REQUEST))));
    rig.expect(expect![[r#"
        - answer 2: error 107
        server> {"id":2,"error":{"code":107,"message":"bad request"}}
    "#]]);
}

#[test]
fn a_channel_without_a_name_is_a_bad_request() {
    let mut rig = Rig::connected();
    rig.send(r#"{"id":2,"subscribe":{"channel":""}}"#);
    rig.expect(expect![[r#"
        client> {"id":2,"subscribe":{"channel":""}}
        closed: 3501 bad request
    "#]]);
}

#[test]
fn an_unknown_delta_format_is_a_bad_request() {
    let mut rig = Rig::connected();
    rig.send(r#"{"id":2,"subscribe":{"channel":"a","delta":"fossil"}}"#);
    rig.answer(grant(Granted::default()));
    rig.send(r#"{"id":3,"subscribe":{"channel":"b","delta":"xdelta"}}"#);
    rig.expect(expect![[r#"
        client> {"id":2,"subscribe":{"channel":"a","delta":"fossil"}}
        - call 2: subscribe a
        - answer 2: granted
        server> {"id":2,"subscribe":{}}
        - open a
        client> {"id":3,"subscribe":{"channel":"b","delta":"xdelta"}}
        closed: 3501 bad request
    "#]]);
}

#[test]
fn subscribe_tells_deltas_numbers_and_advice() {
    let mut rig = Rig::connected();
    rig.send(r#"{"id":2,"subscribe":{"channel":"a","delta":"fossil","flag":1}}"#);
    rig.answer(grant(Granted { delta: true, id: 7, publish_debounce: 250, ..positioned(5) }));
    rig.expect(expect![[r#"
        client> {"id":2,"subscribe":{"channel":"a","delta":"fossil","flag":1}}
        - call 2: subscribe a
        - answer 2: granted
        server> {"id":2,"subscribe":{"recoverable":true,"epoch":"abcd","offset":5,"positioned":true,"delta":true,"id":7,"publish_debounce":250}}
        - open a at 5 abcd
    "#]]);
}

#[test]
fn unsubscribe_detaches_before_it_is_answered() {
    let mut rig = Rig::connected().subscribe("news", Granted::default());
    rig.send(r#"{"id":3,"unsubscribe":{"channel":"news"}}"#);
    rig.expect(expect![[r#"
        client> {"id":3,"unsubscribe":{"channel":"news"}}
        - detach news: 0 client unsubscribed
        server> {"id":3,"unsubscribe":{}}
    "#]]);
}

#[test]
fn unsubscribe_without_a_subscription_succeeds() {
    let mut rig = Rig::connected();
    rig.send(r#"{"id":2,"unsubscribe":{"channel":"news"}}"#);
    rig.expect(expect![[r#"
        client> {"id":2,"unsubscribe":{"channel":"news"}}
        server> {"id":2,"unsubscribe":{}}
    "#]]);
}

#[test]
fn unsubscribe_needs_a_channel() {
    let mut rig = Rig::connected();
    rig.send(r#"{"id":2,"unsubscribe":{"channel":""}}"#);
    rig.expect(expect![[r#"
        client> {"id":2,"unsubscribe":{"channel":""}}
        closed: 3501 bad request
    "#]]);
}

#[test]
fn unsubscribe_waits_for_the_subscribe_under_way() {
    let mut rig = Rig::with(|config, _| config.concurrency = 2).connect(Default::default());
    rig.send(r#"{"id":2,"subscribe":{"channel":"news"}}"#);
    rig.send(r#"{"id":3,"unsubscribe":{"channel":"news"}}"#);
    rig.advance(4.9);
    rig.answer(grant(Granted::default()));
    rig.expect(expect![[r#"
        client> {"id":2,"subscribe":{"channel":"news"}}
        - call 2: subscribe news
        client> {"id":3,"unsubscribe":{"channel":"news"}}
        [4.9 s]
        - answer 2: granted
        server> {"id":2,"subscribe":{}}
        - open news
        - detach news: 0 client unsubscribed
        server> {"id":3,"unsubscribe":{}}
    "#]]);
    assert!(!rig.session.holds("news"));
    // The deadline went with it.
    rig.advance(5.0);
    rig.expect(expect![[""]]);
}

#[test]
fn unsubscribe_succeeds_when_the_subscribe_it_waited_for_fails() {
    let mut rig = Rig::with(|config, _| config.concurrency = 3).connect(Default::default());
    rig.send(r#"{"id":2,"subscribe":{"channel":"news"}}"#);
    rig.send(r#"{"id":3,"unsubscribe":{"channel":"news"}}"#);
    rig.send(r#"{"id":4,"unsubscribe":{"channel":"news"}}"#);
    rig.answer(Answer::Subscribe(Err(refused(ReplyError::PERMISSION_DENIED))));
    rig.expect(expect![[r#"
        client> {"id":2,"subscribe":{"channel":"news"}}
        - call 2: subscribe news
        client> {"id":3,"unsubscribe":{"channel":"news"}}
        client> {"id":4,"unsubscribe":{"channel":"news"}}
        - answer 2: error 103
        server> {"id":2,"error":{"code":103,"message":"permission denied"}}
        server> {"id":3,"unsubscribe":{}}
        server> {"id":4,"unsubscribe":{}}
    "#]]);
}

#[test]
fn unsubscribe_succeeds_when_the_grant_it_waited_for_has_expired() {
    let mut rig = Rig::with(|config, _| config.concurrency = 2).connect(Default::default());
    rig.send(r#"{"id":2,"subscribe":{"channel":"news"}}"#);
    rig.send(r#"{"id":3,"unsubscribe":{"channel":"news"}}"#);
    rig.answer(grant(granted(-1, true)));
    rig.expect(expect![[r#"
        client> {"id":2,"subscribe":{"channel":"news"}}
        - call 2: subscribe news
        client> {"id":3,"unsubscribe":{"channel":"news"}}
        - answer 2: granted, for -1 s
        server> {"id":2,"error":{"code":110,"message":"expired"}}
        server> {"id":3,"unsubscribe":{}}
    "#]]);
}

#[test]
fn unsubscribe_waits_no_longer_than_five_seconds() {
    let mut rig = Rig::with(|config, _| config.concurrency = 2).connect(Default::default());
    rig.send(r#"{"id":2,"subscribe":{"channel":"news"}}"#);
    rig.advance(3.0);
    rig.send(r#"{"id":3,"unsubscribe":{"channel":"news"}}"#);
    rig.advance(60.0);
    rig.expect(expect![[r#"
        client> {"id":2,"subscribe":{"channel":"news"}}
        - call 2: subscribe news
        [3 s]
        client> {"id":3,"unsubscribe":{"channel":"news"}}
        [8 s]
        closed: 3004 internal server error
    "#]]);
}

#[test]
fn a_second_unsubscribe_does_not_make_the_first_wait_longer() {
    let mut rig = Rig::with(|config, _| config.concurrency = 3).connect(Default::default());
    rig.send(r#"{"id":2,"subscribe":{"channel":"news"}}"#);
    rig.send(r#"{"id":3,"unsubscribe":{"channel":"news"}}"#);
    rig.advance(3.0);
    rig.send(r#"{"id":4,"unsubscribe":{"channel":"news"}}"#);
    rig.advance(60.0);
    rig.expect(expect![[r#"
        client> {"id":2,"subscribe":{"channel":"news"}}
        - call 2: subscribe news
        client> {"id":3,"unsubscribe":{"channel":"news"}}
        [3 s]
        client> {"id":4,"unsubscribe":{"channel":"news"}}
        [5 s]
        closed: 3004 internal server error
    "#]]);
}

#[test]
fn unsubscribe_is_not_answered_when_the_subscribe_ends_the_connection() {
    let mut rig = Rig::with(|config, _| config.concurrency = 2).connect(Default::default());
    rig.send(r#"{"id":2,"subscribe":{"channel":"news"}}"#);
    rig.send(r#"{"id":3,"unsubscribe":{"channel":"news"}}"#);
    rig.answer(Answer::Subscribe(Err(thrown_out(Disconnect::INVALID_TOKEN))));
    rig.expect(expect![[r#"
        client> {"id":2,"subscribe":{"channel":"news"}}
        - call 2: subscribe news
        client> {"id":3,"unsubscribe":{"channel":"news"}}
        - answer 2: disconnect 3500
        closed: 3500 invalid token
    "#]]);
}

#[test]
fn the_server_unsubscribes_what_is_still_being_subscribed() {
    let mut rig = Rig::connected();
    rig.send(r#"{"id":2,"subscribe":{"channel":"news"}}"#);
    rig.server(wish_unsubscribe("news"));
    rig.answer(grant(granted(60, true)));
    rig.expect(expect![[r#"
        client> {"id":2,"subscribe":{"channel":"news"}}
        - call 2: subscribe news
        - wish: unsubscribe news: 2000 server unsubscribe
        - answer 2: granted, for 60 s
        server> {"id":2,"subscribe":{"expires":true,"ttl":60}}
        - open news
        - detach news: 2000 server unsubscribe
        server> {"push":{"channel":"news","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}
    "#]]);
}

#[test]
fn the_server_unsubscribes_in_vain_what_is_then_refused() {
    let mut rig = Rig::connected();
    rig.send(r#"{"id":2,"subscribe":{"channel":"news"}}"#);
    rig.server(wish_unsubscribe("news"));
    rig.answer(Answer::Subscribe(Err(refused(ReplyError::UNKNOWN_CHANNEL))));
    rig.expect(expect![[r#"
        client> {"id":2,"subscribe":{"channel":"news"}}
        - call 2: subscribe news
        - wish: unsubscribe news: 2000 server unsubscribe
        - answer 2: error 102
        server> {"id":2,"error":{"code":102,"message":"unknown channel"}}
        server> {"push":{"channel":"news","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}
    "#]]);
}

#[test]
fn a_channel_can_be_subscribed_again() {
    let mut rig = Rig::with(|config, _| config.ping_interval = None).connect(Default::default());
    rig = rig.subscribe("news", granted(60, true));
    rig.send(r#"{"id":3,"unsubscribe":{"channel":"news"}}"#);
    rig.send(r#"{"id":4,"subscribe":{"channel":"news"}}"#);
    rig.answer_to(CallId(3), grant(Granted::default()));
    rig.expect(expect![[r#"
        client> {"id":3,"unsubscribe":{"channel":"news"}}
        - detach news: 0 client unsubscribed
        server> {"id":3,"unsubscribe":{}}
        client> {"id":4,"subscribe":{"channel":"news"}}
        - call 3: subscribe news
        - answer 3: granted
        server> {"id":4,"subscribe":{}}
        - open news
    "#]]);
    // The first subscription's expiry does not concern the second.
    rig.advance(1e6);
    rig.expect(expect![[""]]);
    assert!(rig.session.holds("news"));
}
