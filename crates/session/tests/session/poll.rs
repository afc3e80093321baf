//! Polled channels: subscribing to them, and which keys are tracked (SUBT-05, SP-02, SP-03, CMD-16, CMD-17).

use std::sync::Arc;

use expect_test::expect;
use tourbillon_session::{Answer, Granted, Tracked};
use tourbillon_types::{Epoch, Payload, Publication, ReplyError, Unsubscribe};

use crate::rig::{Rig, after, granted, refused, wish_unsubscribe};

/// A subscription to a polled channel.
pub(crate) fn polled() -> Granted {
    Granted { polled: Some(Box::new(Epoch::from("abcd"))), ..granted(3600, true) }
}

fn tracked(seconds: i64) -> Answer {
    Answer::Track(Ok(Tracked { expire_at: after(seconds), items: Vec::new() }))
}

fn rig() -> Rig {
    Rig::with(|config, _| config.concurrency = 2).connect(Default::default()).subscribe("prices", polled())
}

#[test]
fn sp_02_a_subscribe_is_told_the_kind_and_the_epoch() {
    let mut rig = Rig::connected();
    rig.send(r#"{"id":2,"subscribe":{"channel":"prices","type":4,"delta":"fossil"}}"#);
    rig.answer(Answer::Subscribe(Ok(Granted { delta: true, ..polled() })));
    rig.expect(expect![[r#"
        client> {"id":2,"subscribe":{"channel":"prices","type":4,"delta":"fossil"}}
        - call 2: subscribe prices
        - answer 2: granted, for 3600 s
        server> {"id":2,"subscribe":{"expires":true,"ttl":3600,"epoch":"abcd","delta":true,"type":4}}
        - open prices
    "#]]);
}

#[test]
fn sp_03_tracking_is_answered_before_values_may_follow() {
    let mut rig = rig();
    rig.send(
        r#"{"id":3,"sub_refresh":{"channel":"prices","type":1,"track":[{"signature":"s1","items":[{"key":"a"},{"key":"b","version":7}]},{"signature":"s2","items":[{"key":"c"}]}],"untrack":["c"]}}"#,
    );
    let item =
        Publication { key: Some("b".into()), data: Payload::from("1"), version: 9, ..Publication::default() };
    rig.answer(Answer::Track(Ok(Tracked { expire_at: after(60), items: vec![Arc::new(item)] })));
    rig.expect(expect![[r#"
        client> {"id":3,"sub_refresh":{"channel":"prices","type":1,"track":[{"signature":"s1","items":[{"key":"a"},{"key":"b","version":7}]},{"signature":"s2","items":[{"key":"c"}]}],"untrack":["c"]}}
        - call 3: track prices a v0 b v7 c v0, not ["c"]
        - answer 3: tracked, for 60 s
        server> {"id":3,"sub_refresh":{"expires":true,"ttl":60,"items":[{"data":1,"key":"b","version":9}]}}
        - tracked in prices by call 3
    "#]]);
}

#[test]
fn sp_03_a_right_without_an_end_has_no_ttl_and_one_that_is_past_has_none_left() {
    let mut rig = rig();
    let track = r#"{"id":3,"sub_refresh":{"channel":"prices","type":1,"track":[{"items":[{"key":"a"}]}]}}"#;
    rig.send(track);
    assert_eq!(
        rig.take(Answer::Track(Ok(Tracked::default()))),
        "server> {\"id\":3,\"sub_refresh\":{}}\n- tracked in prices by call 3\n"
    );
    rig.send(track);
    assert_eq!(
        rig.take(tracked(-3)),
        "server> {\"id\":3,\"sub_refresh\":{\"expires\":true}}\n- tracked in prices by call 4\n"
    );
    rig.send(track);
    let refused = Answer::Track(Err(refused(ReplyError::TOKEN_EXPIRED)));
    assert!(rig.take(refused).contains(r#""code":109"#));
}

#[test]
fn cmd_17_untracking_is_answered_at_once() {
    let mut rig = rig();
    rig.send(r#"{"id":3,"sub_refresh":{"channel":"prices","type":2,"untrack":["a","b"]}}"#);
    rig.expect(expect![[r#"
        client> {"id":3,"sub_refresh":{"channel":"prices","type":2,"untrack":["a","b"]}}
        - untrack prices a b
        server> {"id":3,"sub_refresh":{}}
    "#]]);
}

#[test]
fn cmd_16_nothing_to_track_or_to_untrack_is_a_bad_request() {
    let mut rig = rig();
    for what in [
        r#""type":1"#,
        r#""type":1,"track":[]"#,
        r#""type":1,"track":[{"signature":"s"}],"untrack":["a"]"#,
        r#""type":2"#,
        r#""type":2,"track":[{"items":[{"key":"a"}]}]"#,
        r#""type":3,"token":"t""#,
    ] {
        rig.forget();
        rig.send(&format!(r#"{{"id":3,"sub_refresh":{{"channel":"prices",{what}}}}}"#));
        assert_eq!(rig.said(r#""code":107"#), 1, "{what}");
        assert_eq!(rig.unanswered(), 0);
    }
}

#[test]
fn cmd_16_keys_are_tracked_in_polled_channels_only() {
    let mut rig = rig().subscribe("news", granted(3600, true));
    for (channel, code) in [("news", 108), ("other", 103)] {
        for what in [r#""type":1,"track":[{"items":[{"key":"a"}]}]"#, r#""type":2,"untrack":["a"]"#] {
            rig.forget();
            rig.send(&format!(r#"{{"id":3,"sub_refresh":{{"channel":"{channel}",{what}}}}}"#));
            assert_eq!(rig.said(&format!(r#""code":{code}"#)), 1, "{channel} {what}");
        }
    }
}

#[test]
fn a_polled_subscription_is_refreshed_by_a_token_like_any_other() {
    let mut rig = rig();
    rig.send(r#"{"id":3,"sub_refresh":{"channel":"prices","token":"t"}}"#);
    rig.answer(Answer::Refresh(Ok(crate::rig::refreshed(90))));
    assert_eq!(rig.said(r#""sub_refresh":{"expires":true,"ttl":90}"#), 1);
}

#[test]
fn what_is_tracked_by_a_subscription_that_ended_meanwhile_is_refused() {
    for unsubscribes in [true, false] {
        let mut rig = rig();
        rig.send(r#"{"id":3,"sub_refresh":{"channel":"prices","type":1,"track":[{"items":[{"key":"a"}]}]}}"#);
        if unsubscribes {
            rig.send(r#"{"id":4,"unsubscribe":{"channel":"prices"}}"#);
        } else {
            rig.server(wish_unsubscribe("prices"));
        }
        // The same channel again is another subscription.
        rig = rig.subscribe_meanwhile("prices", polled());
        assert_eq!(
            rig.take(tracked(60)),
            "server> {\"id\":3,\"error\":{\"code\":103,\"message\":\"permission denied\"}}\n"
        );
    }
}

#[test]
fn sp_10_a_lost_epoch_ends_a_subscription_that_is_under_way_too() {
    let mut rig = Rig::connected();
    rig.send(r#"{"id":2,"subscribe":{"channel":"prices","type":4}}"#);
    let why = Unsubscribe::INSUFFICIENT_STATE;
    rig.server(tourbillon_session::ServerOp::Unsubscribe { channel: "prices".into(), why });
    rig.answer(Answer::Subscribe(Ok(polled())));
    rig.expect(expect![[r#"
        client> {"id":2,"subscribe":{"channel":"prices","type":4}}
        - call 2: subscribe prices
        - wish: unsubscribe prices: 2500 insufficient state
        - answer 2: granted, for 3600 s
        server> {"id":2,"subscribe":{"expires":true,"ttl":3600,"epoch":"abcd","type":4}}
        - open prices
        - detach prices: 2500 insufficient state
        server> {"push":{"channel":"prices","unsubscribe":{"code":2500,"reason":"insufficient state"}}}
    "#]]);
}
