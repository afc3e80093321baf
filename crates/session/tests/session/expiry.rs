//! Expiry of connections and subscriptions, and refreshing (CMD-14, CMD-15, LIFE-02..05, API-25).

use std::sync::Arc;
use std::time::Duration;

use expect_test::expect;
use tourbillon_session::{Accepted, Answer, CallId, Granted, Refreshed, ServerOp};
use tourbillon_types::{Disconnect, FilterLimits, Instant, Payload, ReplyError, TagFilter, TagMatcher};

use crate::rig::{Rig, accepted, granted, refreshed, refused, thrown_out, wish_subscribe, wish_unsubscribe};

/// Without pings, which are none of this file's concern.
fn quiet() -> Rig {
    Rig::with(|config, _| config.ping_interval = None)
}

const EXPIRED: Refreshed =
    Refreshed { expired: true, expire_at: None, info: None, allow: None, server_tags_filter: None };

fn extend(seconds: i64) -> Answer {
    Answer::Refresh(Ok(refreshed(seconds)))
}

#[test]
fn a_connection_that_is_not_refreshed_ends_after_its_grace() {
    let mut rig = quiet().connect(accepted(60, true));
    rig.advance(84.9);
    assert!(rig.session.is_connected());
    rig.advance(100.0);
    rig.expect(expect![[r#"
        [85 s]
        closed: 3005 connection expired
    "#]]);
}

#[test]
fn refresh_extends_the_connection() {
    let mut rig = quiet().connect(accepted(60, true));
    rig.advance(70.0);
    rig.send(r#"{"id":2,"refresh":{"token":"t2"}}"#);
    rig.answer(extend(120));
    rig.advance(70.0);
    rig.send(r#"{"id":3,"refresh":{"token":"t3"}}"#);
    rig.answer(Answer::Refresh(Ok(Refreshed::default())));
    rig.advance(1e6);
    rig.expect(expect![[r#"
        [70 s]
        client> {"id":2,"refresh":{"token":"t2"}}
        - call 2: refresh t2
        - answer 2: refreshed, for 50 s
        server> {"id":2,"refresh":{"expires":true,"ttl":50}}
        [140 s]
        client> {"id":3,"refresh":{"token":"t3"}}
        - call 3: refresh t3
        - answer 3: refreshed
        server> {"id":3,"refresh":{}}
    "#]]);
    assert!(rig.session.is_connected());
}

#[test]
fn refresh_by_a_token_past_its_time_is_an_error_and_changes_nothing() {
    let mut rig = quiet().connect(accepted(60, true));
    rig.advance(50.0);
    rig.send(r#"{"id":2,"refresh":{"token":"t2"}}"#);
    rig.answer(extend(50));
    rig.advance(100.0);
    rig.expect(expect![[r#"
        [50 s]
        client> {"id":2,"refresh":{"token":"t2"}}
        - call 2: refresh t2
        - answer 2: refreshed, for 0 s
        server> {"id":2,"error":{"code":110,"message":"expired"}}
        [85 s]
        closed: 3005 connection expired
    "#]]);
}

#[test]
fn refresh_can_be_refused_in_three_ways() {
    for (answer, transcript) in [
        (
            Ok(EXPIRED),
            expect![[r#"
            client> {"id":2,"refresh":{"token":"t2"}}
            - call 2: refresh t2
            - answer 2: expired
            closed: 3005 connection expired
        "#]],
        ),
        (
            Err(refused(ReplyError::INTERNAL)),
            expect![[r#"
            client> {"id":2,"refresh":{"token":"t2"}}
            - call 2: refresh t2
            - answer 2: error 100
            server> {"id":2,"error":{"code":100,"message":"internal server error","temporary":true}}
        "#]],
        ),
        (
            Err(thrown_out(Disconnect::INVALID_TOKEN)),
            expect![[r#"
            client> {"id":2,"refresh":{"token":"t2"}}
            - call 2: refresh t2
            - answer 2: disconnect 3500
            closed: 3500 invalid token
        "#]],
        ),
    ] {
        let mut rig = quiet().connect(accepted(60, true));
        rig.send(r#"{"id":2,"refresh":{"token":"t2"}}"#);
        rig.answer(Answer::Refresh(answer));
        rig.expect(transcript);
    }
}

#[test]
fn refresh_needs_a_token() {
    let mut rig = quiet().connect(accepted(60, true));
    rig.send(r#"{"id":2,"refresh":{"token":""}}"#);
    rig.expect(expect![[r#"
        client> {"id":2,"refresh":{"token":""}}
        closed: 3501 bad request
    "#]]);
}

#[test]
fn refresh_by_the_client_is_a_bad_request_where_the_server_does_it() {
    let mut rig = quiet().connect(accepted(60, false));
    rig.send(r#"{"id":2,"refresh":{"token":"t2"}}"#);
    rig.expect(expect![[r#"
        client> {"id":2,"refresh":{"token":"t2"}}
        closed: 3501 bad request
    "#]]);
}

#[test]
fn a_refresh_that_is_answered_too_late_does_not_help() {
    let mut rig = quiet().connect(accepted(60, true));
    rig.advance(80.0);
    rig.send(r#"{"id":2,"refresh":{"token":"t2"}}"#);
    rig.advance(10.0);
    rig.answer_to(CallId(2), extend(1000));
    rig.expect(expect![[r#"
        [80 s]
        client> {"id":2,"refresh":{"token":"t2"}}
        - call 2: refresh t2
        [85 s]
        closed: 3005 connection expired
        [90 s]
        - answer 2: refreshed, for 910 s
    "#]]);
}

#[test]
fn the_server_asks_when_a_connection_expires() {
    let mut rig = quiet().connect(accepted(60, false));
    rig.advance(61.0);
    // The client does not notice.
    assert!(rig.session.ready());
    rig.answer(extend(100));
    rig.advance(60.0);
    rig.answer(Answer::Refresh(Ok(Refreshed::default())));
    rig.advance(1e6);
    rig.expect(expect![[r#"
        [60 s]
        - call 2: refresh
        [61 s]
        - answer 2: refreshed, for 39 s
        [100 s]
        - call 3: refresh
        [121 s]
        - answer 3: refreshed
    "#]]);
}

#[test]
fn the_servers_refresh_can_end_the_connection() {
    for (answer, transcript) in [
        (
            Ok(EXPIRED),
            expect![[r#"
            [60 s]
            - call 2: refresh
            - answer 2: expired
            closed: 3005 connection expired
        "#]],
        ),
        (
            Ok(refreshed(60)),
            expect![[r#"
            [60 s]
            - call 2: refresh
            - answer 2: refreshed, for 0 s
            closed: 3005 connection expired
        "#]],
        ),
        (
            Err(refused(ReplyError::INTERNAL)),
            expect![[r#"
            [60 s]
            - call 2: refresh
            - answer 2: error 100
            closed: 3004 internal server error
        "#]],
        ),
        (
            Err(thrown_out(Disconnect::FORCE_DISCONNECT)),
            expect![[r#"
            [60 s]
            - call 2: refresh
            - answer 2: disconnect 3503
            closed: 3503 force disconnect
        "#]],
        ),
    ] {
        let mut rig = quiet().connect(accepted(60, false));
        rig.advance(60.0);
        rig.answer(Answer::Refresh(answer));
        rig.expect(transcript);
    }
}

#[test]
fn a_server_that_does_not_answer_its_own_refresh_ends_the_connection() {
    let mut rig = quiet().connect(accepted(60, false));
    rig.advance(1e3);
    rig.expect(expect![[r#"
        [60 s]
        - call 2: refresh
        [85 s]
        closed: 3005 connection expired
    "#]]);
}

#[test]
fn a_grace_of_zero_does_not_keep_the_clock_ringing() {
    let no_grace = |config: &mut tourbillon_session::SessionConfig| {
        config.ping_interval = None;
        config.expired_close_delay = Duration::ZERO;
        config.expired_sub_close_delay = Duration::ZERO;
    };
    let mut rig = Rig::with(|config, _| no_grace(config)).connect(accepted(60, false));
    rig.advance(100.0);
    rig.expect(expect![[r#"
        [60 s]
        - call 2: refresh
        [61 s]
        closed: 3005 connection expired
    "#]]);
    let mut rig = Rig::with(|config, _| no_grace(config)).connect(accepted(60, true));
    rig.advance(100.0);
    rig.expect(expect![[r#"
        [60 s]
        closed: 3005 connection expired
    "#]]);
    let mut rig = Rig::with(|config, _| no_grace(config)).connect(Accepted::default());
    rig = rig.subscribe("news", granted(60, false));
    rig.advance(100.0);
    rig.expect(expect![[r#"
        [60 s]
        - call 3: sub_refresh news
        [61 s]
        - detach news: 2501 subscription expired
        server> {"push":{"channel":"news","unsubscribe":{"code":2501,"reason":"subscription expired"}}}
    "#]]);
}

/// TF-04.
#[test]
fn whoever_is_not_let_have_every_publication_may_not_read_the_history_either() {
    let filter = TagFilter { key: "a".to_owned(), cmp: "ex".to_owned(), ..TagFilter::default() };
    let filter = Some(Arc::new(TagMatcher::new(&filter, FilterLimits::default()).expect("a filter")));
    let filtered = Granted { server_tags_filter: filter.clone(), ..Granted::default() };
    let mut rig = quiet().connect(Accepted::default()).subscribe("news", filtered);
    rig.send(r#"{"id":3,"history":{"channel":"news"}}"#);
    rig.send(r#"{"id":4,"unsubscribe":{"channel":"news"}}"#);
    rig.send(r#"{"id":5,"history":{"channel":"news"}}"#);
    rig.expect(expect![[r#"
        client> {"id":3,"history":{"channel":"news"}}
        server> {"id":3,"error":{"code":103,"message":"permission denied"}}
        client> {"id":4,"unsubscribe":{"channel":"news"}}
        - detach news: 0 client unsubscribed
        server> {"id":4,"unsubscribe":{}}
        client> {"id":5,"history":{"channel":"news"}}
        - call 3: history news, limit 0, subscribed: false
    "#]]);
    // A refresh brings the filter, or leaves it.
    let mut rig = quiet().connect(Accepted::default()).subscribe("news", granted(60, true));
    for (id, server_tags_filter) in [(3, filter.clone()), (4, None)] {
        rig.send(&format!(r#"{{"id":{id},"sub_refresh":{{"channel":"news","token":"t"}}}}"#));
        rig.answer(Answer::Refresh(Ok(Refreshed { server_tags_filter, ..refreshed(60) })));
    }
    rig.send(r#"{"id":5,"history":{"channel":"news"}}"#);
    rig.expect(expect![[r#"
        client> {"id":3,"sub_refresh":{"channel":"news","token":"t"}}
        - call 3: sub_refresh news t
        - answer 3: refreshed, for 60 s
        - filter news
        server> {"id":3,"sub_refresh":{"expires":true,"ttl":60}}
        client> {"id":4,"sub_refresh":{"channel":"news","token":"t"}}
        - call 4: sub_refresh news t
        - answer 4: refreshed, for 60 s
        server> {"id":4,"sub_refresh":{"expires":true,"ttl":60}}
        client> {"id":5,"history":{"channel":"news"}}
        server> {"id":5,"error":{"code":103,"message":"permission denied"}}
    "#]]);
    // One that comes too late changes nothing.
    let mut rig = quiet().connect(Accepted::default()).subscribe("news", granted(60, true));
    rig.send(r#"{"id":3,"sub_refresh":{"channel":"news","token":"t"}}"#);
    rig.answer(Answer::Refresh(Ok(Refreshed { server_tags_filter: filter, ..refreshed(-1) })));
    rig.send(r#"{"id":4,"history":{"channel":"news"}}"#);
    rig.expect(expect![[r#"
        client> {"id":3,"sub_refresh":{"channel":"news","token":"t"}}
        - call 3: sub_refresh news t
        - answer 3: refreshed, for -1 s
        server> {"id":3,"error":{"code":110,"message":"expired"}}
        client> {"id":4,"history":{"channel":"news"}}
        - call 4: history news, limit 0, subscribed: true
    "#]]);
}

#[test]
fn the_server_changes_when_a_connection_expires() {
    let mut rig = quiet().connect(Accepted { client_side_refresh: true, ..Accepted::default() });
    rig.server(ServerOp::Refresh(refreshed(30)));
    rig.advance(50.0);
    rig.server(ServerOp::Refresh(Refreshed::default()));
    rig.advance(1e6);
    rig.server(ServerOp::Refresh(EXPIRED));
    rig.expect(expect![[r#"
        - wish: refresh, refreshed, for 30 s
        server> {"push":{"refresh":{"expires":true,"ttl":30}}}
        [50 s]
        - wish: refresh, refreshed
        server> {"push":{"refresh":{}}}
        [1000050 s]
        - wish: refresh, expired
        closed: 3005 connection expired
    "#]]);
    let mut rig = quiet().connect(Accepted::default());
    rig.server(ServerOp::Refresh(refreshed(0)));
    rig.expect(expect![[r#"
        - wish: refresh, refreshed, for 0 s
        closed: 3005 connection expired
    "#]]);
}

#[test]
fn a_subscription_that_is_not_refreshed_ends_after_its_grace() {
    let mut rig = quiet().connect(Accepted::default()).subscribe("news", granted(60, true));
    rig.advance(84.9);
    assert!(rig.session.holds("news"));
    rig.advance(100.0);
    rig.expect(expect![[r#"
        [85 s]
        - detach news: 2501 subscription expired
        server> {"push":{"channel":"news","unsubscribe":{"code":2501,"reason":"subscription expired"}}}
    "#]]);
    assert!(rig.session.is_connected());
}

#[test]
fn sub_refresh_extends_the_subscription() {
    let info = Payload::from(r#"{"role":"guest"}"#);
    let mut rig = quiet().connect(Accepted::default()).subscribe("news", granted(60, true));
    rig.advance(60.0);
    rig.send(r#"{"id":3,"sub_refresh":{"channel":"news","token":"t2"}}"#);
    rig.answer(Answer::Refresh(Ok(Refreshed { info: Some(info), ..refreshed(120) })));
    rig.advance(60.0);
    rig.send(r#"{"id":4,"sub_refresh":{"channel":"news","token":"t3"}}"#);
    rig.answer(Answer::Refresh(Ok(Refreshed::default())));
    rig.advance(1e6);
    rig.send(r#"{"id":5,"publish":{"channel":"news","data":1}}"#);
    rig.expect(expect![[r#"
        [60 s]
        client> {"id":3,"sub_refresh":{"channel":"news","token":"t2"}}
        - call 3: sub_refresh news t2
        - answer 3: refreshed, for 60 s
        server> {"id":3,"sub_refresh":{"expires":true,"ttl":60}}
        [120 s]
        client> {"id":4,"sub_refresh":{"channel":"news","token":"t3"}}
        - call 4: sub_refresh news t3
        - answer 4: refreshed
        server> {"id":4,"sub_refresh":{}}
        [1000120 s]
        client> {"id":5,"publish":{"channel":"news","data":1}}
        - call 5: publish news 1, subscribed: true, info: Some("{\"role\":\"guest\"}")
    "#]]);
}

#[test]
fn sub_refresh_can_shorten_the_subscription() {
    let mut rig = quiet().connect(Accepted::default()).subscribe("news", granted(600, true));
    rig.send(r#"{"id":3,"sub_refresh":{"channel":"news","token":"t2"}}"#);
    rig.answer(extend(10));
    rig.advance(1e3);
    rig.expect(expect![[r#"
        client> {"id":3,"sub_refresh":{"channel":"news","token":"t2"}}
        - call 3: sub_refresh news t2
        - answer 3: refreshed, for 10 s
        server> {"id":3,"sub_refresh":{"expires":true,"ttl":10}}
        [35 s]
        - detach news: 2501 subscription expired
        server> {"push":{"channel":"news","unsubscribe":{"code":2501,"reason":"subscription expired"}}}
    "#]]);
}

#[test]
fn sub_refresh_by_a_token_past_its_time_is_an_error() {
    let mut rig = quiet().connect(Accepted::default()).subscribe("news", granted(60, true));
    rig.send(r#"{"id":3,"sub_refresh":{"channel":"news","token":"t2"}}"#);
    rig.answer(extend(0));
    rig.send(r#"{"id":4,"sub_refresh":{"channel":"news","token":"t3"}}"#);
    rig.answer(Answer::Refresh(Ok(EXPIRED)));
    rig.send(r#"{"id":5,"sub_refresh":{"channel":"news","token":"t3"}}"#);
    rig.answer(Answer::Refresh(Err(refused(ReplyError::PERMISSION_DENIED))));
    rig.send(r#"{"id":6,"sub_refresh":{"channel":"news","token":"t3"}}"#);
    rig.answer(Answer::Refresh(Err(thrown_out(Disconnect::INVALID_TOKEN))));
    rig.expect(expect![[r#"
        client> {"id":3,"sub_refresh":{"channel":"news","token":"t2"}}
        - call 3: sub_refresh news t2
        - answer 3: refreshed, for 0 s
        server> {"id":3,"error":{"code":110,"message":"expired"}}
        client> {"id":4,"sub_refresh":{"channel":"news","token":"t3"}}
        - call 4: sub_refresh news t3
        - answer 4: expired
        server> {"id":4,"error":{"code":110,"message":"expired"}}
        client> {"id":5,"sub_refresh":{"channel":"news","token":"t3"}}
        - call 5: sub_refresh news t3
        - answer 5: error 103
        server> {"id":5,"error":{"code":103,"message":"permission denied"}}
        client> {"id":6,"sub_refresh":{"channel":"news","token":"t3"}}
        - call 6: sub_refresh news t3
        - answer 6: disconnect 3500
        closed: 3500 invalid token
    "#]]);
}

#[test]
fn sub_refresh_is_for_subscribers_with_a_token() {
    let mut rig = quiet().connect(Accepted::default()).subscribe("news", granted(60, true));
    rig.send(r#"{"id":3,"sub_refresh":{"channel":"chat","token":"t2"}}"#);
    rig.send(r#"{"id":4,"sub_refresh":{"channel":"news","token":""}}"#);
    rig.send(r#"{"id":5,"sub_refresh":{"channel":"news","token":"t2","type":1}}"#);
    rig.send(r#"{"id":6,"sub_refresh":{"channel":"","token":"t2"}}"#);
    rig.expect(expect![[r#"
        client> {"id":3,"sub_refresh":{"channel":"chat","token":"t2"}}
        server> {"id":3,"error":{"code":103,"message":"permission denied"}}
        client> {"id":4,"sub_refresh":{"channel":"news","token":""}}
        server> {"id":4,"error":{"code":107,"message":"bad request"}}
        client> {"id":5,"sub_refresh":{"channel":"news","token":"t2","type":1}}
        server> {"id":5,"error":{"code":108,"message":"not available"}}
        client> {"id":6,"sub_refresh":{"channel":"","token":"t2"}}
        closed: 3501 bad request
    "#]]);
}

#[test]
fn sub_refresh_by_the_client_is_a_bad_request_where_the_server_does_it() {
    let mut rig = quiet().connect(Accepted::default()).subscribe("news", granted(60, false));
    rig.send(r#"{"id":3,"sub_refresh":{"channel":"news","token":"t2"}}"#);
    rig.expect(expect![[r#"
        client> {"id":3,"sub_refresh":{"channel":"news","token":"t2"}}
        closed: 3501 bad request
    "#]]);
}

#[test]
fn sub_refresh_of_what_is_being_subscribed_is_denied() {
    let mut rig = Rig::with(|config, _| config.concurrency = 2).connect(Accepted::default());
    rig.send(r#"{"id":2,"subscribe":{"channel":"news"}}"#);
    rig.send(r#"{"id":3,"sub_refresh":{"channel":"news","token":"t2"}}"#);
    rig.expect(expect![[r#"
        client> {"id":2,"subscribe":{"channel":"news"}}
        - call 2: subscribe news
        client> {"id":3,"sub_refresh":{"channel":"news","token":"t2"}}
        server> {"id":3,"error":{"code":103,"message":"permission denied"}}
    "#]]);
}

#[test]
fn the_server_asks_when_a_subscription_expires() {
    let mut rig = quiet().connect(Accepted::default()).subscribe("news", granted(60, false));
    rig.advance(61.0);
    rig.answer(extend(100));
    rig.advance(60.0);
    rig.answer(Answer::Refresh(Ok(Refreshed::default())));
    rig.advance(1e6);
    rig.expect(expect![[r#"
        [60 s]
        - call 3: sub_refresh news
        [61 s]
        - answer 3: refreshed, for 39 s
        [100 s]
        - call 4: sub_refresh news
        [121 s]
        - answer 4: refreshed
    "#]]);
    assert!(rig.session.holds("news"));
}

#[test]
fn the_servers_sub_refresh_can_end_the_subscription() {
    for (answer, transcript) in [
        (
            Ok(EXPIRED),
            expect![[r#"
            [60 s]
            - call 3: sub_refresh news
            - answer 3: expired
            - detach news: 2501 subscription expired
            server> {"push":{"channel":"news","unsubscribe":{"code":2501,"reason":"subscription expired"}}}
        "#]],
        ),
        (
            Ok(refreshed(60)),
            expect![[r#"
            [60 s]
            - call 3: sub_refresh news
            - answer 3: refreshed, for 0 s
            - detach news: 2501 subscription expired
            server> {"push":{"channel":"news","unsubscribe":{"code":2501,"reason":"subscription expired"}}}
        "#]],
        ),
        (
            Err(refused(ReplyError::INTERNAL)),
            expect![[r#"
            [60 s]
            - call 3: sub_refresh news
            - answer 3: error 100
            - detach news: 2501 subscription expired
            server> {"push":{"channel":"news","unsubscribe":{"code":2501,"reason":"subscription expired"}}}
        "#]],
        ),
        (
            Err(thrown_out(Disconnect::FORCE_DISCONNECT)),
            expect![[r#"
            [60 s]
            - call 3: sub_refresh news
            - answer 3: disconnect 3503
            closed: 3503 force disconnect
        "#]],
        ),
    ] {
        let mut rig = quiet().connect(Accepted::default()).subscribe("news", granted(60, false));
        rig.advance(60.0);
        rig.answer(Answer::Refresh(answer));
        rig.expect(transcript);
    }
}

#[test]
fn a_server_that_does_not_answer_its_own_sub_refresh_ends_the_subscription() {
    let mut rig = quiet().connect(Accepted::default()).subscribe("news", granted(60, false));
    rig.advance(1e3);
    rig.expect(expect![[r#"
        [60 s]
        - call 3: sub_refresh news
        [85 s]
        - detach news: 2501 subscription expired
        server> {"push":{"channel":"news","unsubscribe":{"code":2501,"reason":"subscription expired"}}}
    "#]]);
}

#[test]
fn a_subscription_of_the_server_that_expires_ends_the_connection() {
    let subscriptions = vec![("news".into(), granted(60, true))];
    let mut rig = quiet().connect(Accepted { subscriptions, ..Accepted::default() });
    rig.advance(100.0);
    rig.expect(expect![[r#"
        [85 s]
        closed: 3006 subscription expired
    "#]]);
    let subscriptions = vec![("news".into(), granted(60, false))];
    let mut rig = quiet().connect(Accepted { subscriptions, ..Accepted::default() });
    rig.advance(60.0);
    rig.answer(Answer::Refresh(Ok(EXPIRED)));
    rig.expect(expect![[r#"
        [60 s]
        - call 2: sub_refresh news
        - answer 2: expired
        closed: 3006 subscription expired
    "#]]);
}

#[test]
fn a_subscription_given_later_that_expires_ends_the_connection_too() {
    let mut rig = quiet().connect(Accepted::default());
    rig.server(wish_subscribe("news"));
    rig.answer(Answer::Subscribe(Ok(granted(60, true))));
    rig.forget();
    rig.advance(100.0);
    rig.expect(expect![[r#"
        [85 s]
        closed: 3006 subscription expired
    "#]]);
}

#[test]
fn a_subscription_that_is_gone_does_not_ring() {
    let mut rig = quiet().connect(Accepted::default()).subscribe("news", granted(60, true));
    rig.send(r#"{"id":3,"unsubscribe":{"channel":"news"}}"#);
    assert_eq!(rig.session.next_deadline(), Instant::MAX);
}

#[test]
fn subscriptions_expire_each_at_its_own_time() {
    let mut rig = quiet().connect(Accepted::default());
    rig = rig
        .subscribe("b", granted(30, true))
        .subscribe("a", granted(10, true))
        .subscribe("c", granted(10, false));
    rig = rig.subscribe("d", Granted::default());
    rig.advance(300.0);
    rig.expect(expect![[r#"
        [10 s]
        - call 6: sub_refresh c
        [35 s]
        - detach a: 2501 subscription expired
        server> {"push":{"channel":"a","unsubscribe":{"code":2501,"reason":"subscription expired"}}}
        - detach c: 2501 subscription expired
        server> {"push":{"channel":"c","unsubscribe":{"code":2501,"reason":"subscription expired"}}}
        [55 s]
        - detach b: 2501 subscription expired
        server> {"push":{"channel":"b","unsubscribe":{"code":2501,"reason":"subscription expired"}}}
    "#]]);
    assert_eq!(rig.session.channels().map(|channel| channel.as_str()).collect::<Vec<_>>(), ["d"]);
}

#[test]
fn a_refresh_of_one_subscription_does_not_reach_the_next_to_the_same_channel() {
    // The server's own refresh.
    let mut rig = quiet().connect(Accepted::default()).subscribe("news", granted(60, false));
    rig.advance(60.0);
    rig.send(r#"{"id":3,"unsubscribe":{"channel":"news"}}"#);
    rig = rig.subscribe("news", granted(1000, false));
    rig.answer_to(CallId(3), Answer::Refresh(Ok(EXPIRED)));
    rig.advance(30.0);
    rig.expect(expect![[r#"
        - answer 3: expired
    "#]]);
    assert!(rig.session.holds("news"));
    // The client's.
    let mut rig = quiet().connect(Accepted::default()).subscribe("news", granted(60, true));
    rig.send(r#"{"id":3,"sub_refresh":{"channel":"news","token":"t2"}}"#);
    rig.server(wish_unsubscribe("news"));
    rig.forget();
    rig.send(r#"{"id":4,"subscribe":{"channel":"news"}}"#);
    rig.answer_to(CallId(4), Answer::Subscribe(Ok(granted(10, true))));
    rig.answer_to(CallId(3), extend(1000));
    rig.advance(100.0);
    rig.expect(expect![[r#"
        client> {"id":4,"subscribe":{"channel":"news"}}
        - call 4: subscribe news
        - answer 4: granted, for 10 s
        server> {"id":4,"subscribe":{"expires":true,"ttl":10}}
        - open news
        - answer 3: refreshed, for 1000 s
        server> {"id":3,"sub_refresh":{"expires":true,"ttl":1000}}
        [35 s]
        - detach news: 2501 subscription expired
        server> {"push":{"channel":"news","unsubscribe":{"code":2501,"reason":"subscription expired"}}}
    "#]]);
}
