//! Liveness (PING-01, PING-02, PING-04, HID-02, HID-03).

use std::time::Duration;

use expect_test::expect;
use proptest::prelude::*;
use tourbillon_session::{Accepted, Answer, Input, Output};
use tourbillon_types::{ClientId, Direction, Instant, Payload};

use crate::rig::Rig;

#[test]
fn pings_come_at_the_interval_and_are_answered_by_pongs() {
    let mut rig = Rig::connected();
    rig.advance(13.0);
    rig.send("{}");
    rig.advance(25.0);
    rig.send("{}");
    rig.advance(24.0);
    rig.expect(expect![[r#"
        [12.5 s]
        server> {}
        [13 s]
        client> {}
        [37.5 s]
        server> {}
        [38 s]
        client> {}
    "#]]);
}

#[test]
fn the_time_from_ping_to_pong_is_told() {
    let mut rig = Rig::connected();
    rig.advance(12.9);
    let pong = || Input::Command(crate::wire::command("{}"));
    assert_eq!(rig.handle(pong()), [Output::Answered(Duration::from_millis(400))]);
    rig.advance(25.0);
    assert_eq!(rig.handle(pong()), [Output::Answered(Duration::from_millis(400))]);
}

#[test]
fn a_client_that_does_not_answer_a_ping_is_closed() {
    let mut rig = Rig::connected();
    rig.advance(60.0);
    rig.expect(expect![[r#"
        [12.5 s]
        server> {}
        [20.5 s]
        closed: 3012 no pong
    "#]]);
}

/// It may wait behind a command of which the driver does not know yet whether it is worked on.
#[test]
fn a_late_pong_that_is_excused_may_take_as_long_again() {
    let mut rig = Rig::connected();
    rig.advance(20.0);
    let now = rig.now;
    rig.session.excuse(now);
    rig.skip(Duration::from_secs(1));
    let now = rig.now;
    rig.session.excuse(now);
    rig.advance(7.0);
    rig.send("{}");
    rig.advance(25.0);
    rig.expect(expect![[r#"
        [12.5 s]
        server> {}
        [28 s]
        client> {}
        [37.5 s]
        server> {}
        [45.5 s]
        closed: 3012 no pong
    "#]]);
}

#[test]
fn a_pong_that_answers_no_ping_is_a_bad_request() {
    let mut rig = Rig::connected();
    rig.send("{}");
    rig.expect(expect![[r#"
        client> {}
        closed: 3501 bad request
    "#]]);
    let mut rig = Rig::connected();
    rig.advance(13.0);
    rig.send("{}");
    rig.send("{}");
    rig.expect(expect![[r#"
        [12.5 s]
        server> {}
        [13 s]
        client> {}
        client> {}
        closed: 3501 bad request
    "#]]);
}

#[test]
fn a_command_without_an_id_is_a_pong_whatever_else_it_says() {
    let mut rig = Rig::connected();
    rig.advance(13.0);
    rig.send(r#"{"rpc":{"method":"sum"}}"#);
    rig.advance(10.0);
    rig.send(r#"{"subscribe":{"channel":"news"}}"#);
    rig.expect(expect![[r#"
        [12.5 s]
        server> {}
        [13 s]
        client> {"rpc":{"method":"sum"}}
        [23 s]
        client> {"subscribe":{"channel":"news"}}
        closed: 3501 bad request
    "#]]);
}

#[test]
fn the_deadline_for_the_pong_waits_while_the_session_is_busy() {
    let mut rig = Rig::connected();
    rig.advance(12.0);
    rig.send(r#"{"id":2,"rpc":{"method":"slow"}}"#);
    // The pongs to both pings wait in the socket, as the session is not ready.
    rig.advance(30.0);
    assert!(!rig.session.ready() && !rig.session.is_closed());
    rig.answer(Answer::Rpc(Ok(Payload::from("1"))));
    rig.send("{}");
    rig.send("{}");
    rig.advance(15.0);
    rig.expect(expect![[r#"
        [12 s]
        client> {"id":2,"rpc":{"method":"slow"}}
        - call 2: rpc "slow"
        [12.5 s]
        server> {}
        [37.5 s]
        server> {}
        [42 s]
        - answer 2: 1
        server> {"id":2,"rpc":{"data":1}}
        client> {}
        client> {}
    "#]]);
}

#[test]
fn a_client_that_is_silent_after_a_busy_time_is_closed() {
    let mut rig = Rig::connected();
    rig.advance(12.0);
    rig.send(r#"{"id":2,"rpc":{"method":"slow"}}"#);
    rig.advance(10.0);
    rig.answer(Answer::Rpc(Ok(Payload::from("1"))));
    rig.advance(60.0);
    rig.expect(expect![[r#"
        [12 s]
        client> {"id":2,"rpc":{"method":"slow"}}
        - call 2: rpc "slow"
        [12.5 s]
        server> {}
        [22 s]
        - answer 2: 1
        server> {"id":2,"rpc":{"data":1}}
        [28.5 s]
        closed: 3012 no pong
    "#]]);
}

#[test]
fn the_transports_own_pings_replace_those_of_the_protocol() {
    let mut rig = Rig::with(|_, init| init.native_ping = true);
    rig.send(r#"{"id":1,"connect":{}}"#);
    rig.answer(Answer::Connect(Ok(Accepted::default())));
    rig.native_pong();
    rig.advance(13.0);
    rig.native_pong();
    rig.native_pong();
    rig.advance(25.0);
    rig.expect(expect![[r#"
        client> {"id":1,"connect":{}}
        - call 1: connect
        - answer 1: accepted
        server> {"id":1,"connect":{"client":"00000000-0000-4000-8000-000000000000","version":"1.2.3"}}
        client> (pong frame)
        [12.5 s]
        server> (ping frame)
        [13 s]
        client> (pong frame)
        client> (pong frame)
        [37.5 s]
        server> (ping frame)
    "#]]);
    rig.send("{}");
    rig.expect(expect![[r#"
        [38 s]
        client> {}
        closed: 3501 bad request
    "#]]);
}

#[test]
fn the_transports_own_ping_must_be_answered_too() {
    let mut rig = Rig::with(|_, init| init.native_ping = true).connect(Default::default());
    rig.advance(60.0);
    rig.expect(expect![[r#"
        [12.5 s]
        server> (ping frame)
        [20.5 s]
        closed: 3012 no pong
    "#]]);
}

#[test]
fn a_pong_frame_does_not_answer_a_ping_of_the_protocol() {
    let mut rig = Rig::connected();
    rig.advance(13.0);
    rig.native_pong();
    rig.advance(20.0);
    rig.expect(expect![[r#"
        [12.5 s]
        server> {}
        [13 s]
        client> (pong frame)
        [20.5 s]
        closed: 3012 no pong
    "#]]);
}

#[test]
fn without_an_interval_there_are_no_pings() {
    for (interval, transcript) in [
        (
            None,
            expect![[r#"
        client> {"id":1,"connect":{}}
        - call 1: connect
        - answer 1: accepted
        server> {"id":1,"connect":{"client":"00000000-0000-4000-8000-000000000000","version":"1.2.3"}}
    "#]],
        ),
        (
            Some(Duration::ZERO),
            expect![[r#"
        client> {"id":1,"connect":{}}
        - call 1: connect
        - answer 1: accepted
        server> {"id":1,"connect":{"client":"00000000-0000-4000-8000-000000000000","version":"1.2.3"}}
    "#]],
        ),
    ] {
        let mut rig = Rig::with(|config, _| config.ping_interval = interval);
        rig.send(r#"{"id":1,"connect":{}}"#);
        rig.answer(Answer::Connect(Ok(Accepted::default())));
        assert_eq!(rig.session.next_deadline(), Instant::MAX);
        rig.expect(transcript);
    }
}

#[test]
fn without_a_timeout_no_pong_is_expected() {
    let mut rig = Rig::with(|config, _| config.pong_timeout = Duration::ZERO);
    rig.send(r#"{"id":1,"connect":{}}"#);
    rig.answer(Answer::Connect(Ok(Accepted::default())));
    rig.advance(40.0);
    rig.send("{}");
    rig.expect(expect![[r#"
        client> {"id":1,"connect":{}}
        - call 1: connect
        - answer 1: accepted
        server> {"id":1,"connect":{"client":"00000000-0000-4000-8000-000000000000","version":"1.2.3","ping":25}}
        [12.5 s]
        server> {}
        [37.5 s]
        server> {}
        [40 s]
        client> {}
    "#]]);
}

#[test]
fn a_late_tick_sends_one_ping() {
    let mut rig = Rig::with(|_, init| init.direction = Direction::Unidirectional).connect(Default::default());
    rig.skip(Duration::from_secs(1000));
    rig.tick();
    rig.expect(expect![[r#"
        [1000 s]
        server> {}
    "#]]);
    assert_eq!(rig.session.next_deadline(), rig.now.instant + Duration::from_secs(25));
}

proptest! {
    #[test]
    fn the_first_ping_comes_after_half_to_all_of_the_interval(random: [u8; 16]) {
        let rig = Rig::with(|_, init| init.client = ClientId::from_random(random)).connect(Default::default());
        let first = rig.session.next_deadline() - rig.now.instant;
        prop_assert!(first >= Duration::from_millis(12_500) && first <= Duration::from_secs(25), "{first:?}");
    }
}

#[test]
fn first_pings_are_spread() {
    let firsts: Vec<Duration> = [0, 0x40, 0x80, 0xc0, 0xff]
        .map(|byte| {
            let rig = Rig::with(|_, init| init.client = ClientId::from_random([byte; 16]));
            let rig = rig.connect(Default::default());
            rig.session.next_deadline() - rig.now.instant
        })
        .to_vec();
    assert!(firsts.is_sorted_by(|a, b| *b - *a > Duration::from_secs(3)), "{firsts:?}");
}
