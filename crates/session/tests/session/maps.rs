//! Keyed channels: loading the state, catching up and going live (MAP-20 to MAP-28).

use std::sync::Arc;
use std::time::Duration;

use expect_test::expect;
use tourbillon_recovery::Resumed;
use tourbillon_session::{Answer, Granted, MapAnswer, MapChanges, MapGranted, MapTerms, ServerOp};
use tourbillon_types::{
    Channel, FilterLimits, MapPage, PageSizes, Payload, Publication, ReplyError, StreamPosition, TagMatcher,
};

use crate::rig::{Rig, granted, refused, wish_unsubscribe};

fn at(offset: u64) -> StreamPosition {
    StreamPosition { offset, epoch: "abcd".into() }
}

fn change(offset: u64, key: &str) -> Arc<Publication> {
    let data = Payload::from(offset.to_string().into_bytes());
    Arc::new(Publication {
        offset,
        epoch: "abcd".into(),
        key: Some(key.into()),
        data,
        ..Publication::default()
    })
}

fn grant(positioned: bool, granted: Granted) -> Answer {
    let pages = PageSizes { default: 3, min: 2, max: 5 };
    let terms = MapTerms { positioned, compact: true, pages, catch_up: Some(Duration::from_secs(5)) };
    let granted = Granted { positioned, recoverable: positioned, ..granted };
    Answer::Map(Ok(MapAnswer::Granted(Box::new(MapGranted { granted, terms, filter: None }))))
}

fn state(keys: &[(u64, &str)], top: u64, cursor: &str) -> Answer {
    let entries = keys.iter().map(|(offset, key)| change(*offset, key)).collect();
    let page = MapPage { entries, position: at(top), cursor: cursor.to_owned() };
    Answer::Map(Ok(MapAnswer::State(Box::new(page))))
}

fn stream(keys: &[(u64, &str)], offsets: Option<(u64, u64)>, top: u64) -> Answer {
    let publications = keys.iter().map(|(offset, key)| change(*offset, key)).collect();
    let changes = MapChanges { publications, offsets, position: at(top) };
    Answer::Map(Ok(MapAnswer::Stream(Box::new(changes))))
}

fn attached(missed: &[(u64, &str)], since: u64, live: u64, granted: Granted) -> Answer {
    let publications = missed.iter().map(|(offset, key)| change(*offset, key)).collect();
    let (position, live) = (at(since), at(live));
    let resumed = Resumed { position, live, recovered: true, was_recovering: true, publications };
    let granted =
        Granted { positioned: true, recoverable: true, resumed: Some(Box::new(resumed)), ..granted };
    Answer::Map(Ok(MapAnswer::Attached(Box::new(granted))))
}

fn attached_without_position() -> Answer {
    Answer::Map(Ok(MapAnswer::Attached(Box::default())))
}

/// A connection that may ask for two things at once, and is not pinged.
fn connected() -> Rig {
    let quiet = Rig::with(|config, _| {
        config.ping_interval = None;
        config.concurrency = 2;
    });
    quiet.connect(Default::default())
}

/// One that has its first page of a state, and is to ask for the next one.
fn loading() -> Rig {
    let mut rig = connected();
    rig.send(r#"{"id":2,"subscribe":{"channel":"board","type":1,"phase":2}}"#);
    rig.answer(grant(true, Granted::default()));
    rig.answer(state(&[(1, "a"), (4, "b"), (2, "c")], 7, "next"));
    rig.forget();
    rig
}

#[test]
fn map_23_a_small_state_comes_in_one_reply() {
    let mut rig = connected();
    rig.send(r#"{"id":2,"subscribe":{"channel":"board","type":1,"phase":2,"limit":1,"asc":true}}"#);
    rig.answer(grant(true, granted(60, true)));
    rig.answer(state(&[(1, "a"), (4, "b")], 7, ""));
    rig.answer(attached(&[(8, "a")], 7, 8, granted(60, true)));
    rig.expect(expect![[r#"
        client> {"id":2,"subscribe":{"channel":"board","type":1,"phase":2,"limit":1,"asc":true}}
        - call 2: grant board of kind 1
        - answer 2: granted, positioned: true
        - call 3: state board after "", limit 2, ascending
        - answer 3: 2 entries at 7 abcd, cursor ""
        - call 4: attach board since 7 abcd
        - answer 4: attached
        server> {"id":2,"subscribe":{"recoverable":true,"epoch":"abcd","publications":[{"data":8,"offset":8,"key":"a"}],"offset":8,"type":1,"state":[{"data":1,"offset":1,"key":"a"},{"data":4,"offset":4,"key":"b"}]}}
        - open board at 8 abcd
    "#]]);
}

#[test]
fn map_21_map_22_pages_come_as_of_the_first_one() {
    let mut rig = loading();
    rig.send(r#"{"id":3,"subscribe":{"channel":"board","type":1,"phase":2,"cursor":"next","limit":100,"offset":7,"epoch":"abcd"}}"#);
    rig.answer(state(&[(5, "d")], 9, "more"));
    rig.send(r#"{"id":4,"subscribe":{"channel":"board","type":1,"phase":2,"cursor":"more","offset":7,"epoch":"abcd"}}"#);
    rig.answer(state(&[(6, "e")], 10, ""));
    rig.answer(attached(&[(8, "a"), (9, "f"), (10, "f")], 7, 10, Granted::default()));
    rig.expect(expect![[r#"
        client> {"id":3,"subscribe":{"channel":"board","type":1,"phase":2,"cursor":"next","limit":100,"offset":7,"epoch":"abcd"}}
        - call 4: state board after "next", limit 5, up to 7
        - answer 4: 1 entries at 9 abcd, cursor "more"
        server> {"id":3,"subscribe":{"epoch":"abcd","offset":7,"type":1,"phase":2,"cursor":"more","state":[{"data":5,"offset":5,"key":"d"}]}}
        client> {"id":4,"subscribe":{"channel":"board","type":1,"phase":2,"cursor":"more","offset":7,"epoch":"abcd"}}
        - call 5: state board after "more", limit 3, up to 7
        - answer 5: 1 entries at 10 abcd, cursor ""
        - call 6: attach board since 7 abcd
        - answer 6: attached
        server> {"id":4,"subscribe":{"recoverable":true,"epoch":"abcd","publications":[{"data":8,"offset":8,"key":"a"},{"data":9,"offset":9,"key":"f"},{"data":10,"offset":10,"key":"f"}],"offset":10,"type":1,"state":[{"data":6,"offset":6,"key":"e"}]}}
        - open board at 10 abcd
    "#]]);
}

#[test]
fn map_24_what_is_far_behind_catches_up_in_pages() {
    let mut rig = loading();
    rig.send(r#"{"id":3,"subscribe":{"channel":"board","type":1,"phase":2,"cursor":"next","offset":7,"epoch":"abcd"}}"#);
    rig.answer(state(&[], 17, ""));
    rig.send(r#"{"id":4,"subscribe":{"channel":"board","type":1,"phase":1,"offset":7,"epoch":"abcd"}}"#);
    rig.answer(stream(&[], None, 17));
    rig.answer(stream(&[(8, "a"), (10, "b")], Some((8, 10)), 18));
    rig.send(
        r#"{"id":5,"subscribe":{"channel":"board","type":1,"phase":1,"offset":10,"epoch":"abcd","limit":4}}"#,
    );
    rig.answer(stream(&[(11, "a")], Some((11, 14)), 19));
    rig.send(r#"{"id":6,"subscribe":{"channel":"board","type":1,"phase":1,"offset":14,"epoch":"abcd"}}"#);
    rig.answer(attached(&[(15, "a"), (20, "b")], 14, 20, Granted::default()));
    rig.expect(expect![[r#"
        client> {"id":3,"subscribe":{"channel":"board","type":1,"phase":2,"cursor":"next","offset":7,"epoch":"abcd"}}
        - call 4: state board after "next", limit 3, up to 7
        - answer 4: 0 entries at 17 abcd, cursor ""
        server> {"id":3,"subscribe":{"epoch":"abcd","offset":7,"type":1,"phase":2}}
        client> {"id":4,"subscribe":{"channel":"board","type":1,"phase":1,"offset":7,"epoch":"abcd"}}
        - call 5: stream board, limit 0
        - answer 5: 0 changes at 17 abcd
        - call 6: stream board since 7 abcd, limit 3
        - answer 6: 2 changes at 18 abcd
        server> {"id":4,"subscribe":{"epoch":"abcd","publications":[{"data":8,"offset":8,"key":"a"},{"data":10,"offset":10,"key":"b"}],"offset":10,"type":1,"phase":1}}
        client> {"id":5,"subscribe":{"channel":"board","type":1,"phase":1,"offset":10,"epoch":"abcd","limit":4}}
        - call 7: stream board since 10 abcd, limit 4
        - answer 7: 1 changes at 19 abcd
        server> {"id":5,"subscribe":{"epoch":"abcd","publications":[{"data":11,"offset":11,"key":"a"}],"offset":14,"type":1,"phase":1}}
        client> {"id":6,"subscribe":{"channel":"board","type":1,"phase":1,"offset":14,"epoch":"abcd"}}
        - call 8: attach board since 14 abcd
        - answer 8: attached
        server> {"id":6,"subscribe":{"recoverable":true,"epoch":"abcd","publications":[{"data":15,"offset":15,"key":"a"},{"data":20,"offset":20,"key":"b"}],"offset":20,"type":1}}
        - open board at 20 abcd
    "#]]);
}

#[test]
fn map_24_a_stream_that_does_not_reach_back_is_told() {
    for answer in [stream(&[(9, "a")], Some((9, 11)), 18), stream(&[], None, 18)] {
        let mut rig = loading();
        rig.send(r#"{"id":4,"subscribe":{"channel":"board","type":1,"phase":1,"offset":7,"epoch":"abcd"}}"#);
        rig.answer(stream(&[], None, 18));
        assert!(rig.take(answer).contains(r#""code":112"#));
        assert!(!rig.session.holds("board"));
    }
}

#[test]
fn map_24_there_is_no_stream_without_a_state_or_in_an_ephemeral_channel() {
    let mut rig = connected();
    rig.send(r#"{"id":2,"subscribe":{"channel":"board","type":1,"phase":1,"offset":7,"epoch":"abcd"}}"#);
    rig.answer(grant(true, Granted::default()));
    rig.send(r#"{"id":3,"subscribe":{"channel":"board","type":1,"phase":1,"recover":true}}"#);
    rig.answer(grant(false, Granted::default()));
    rig.send(r#"{"id":4,"subscribe":{"channel":"board","type":1,"phase":2,"cursor":"next"}}"#);
    rig.send(r#"{"id":5,"subscribe":{"channel":"board","type":1,"phase":3}}"#);
    rig.expect(expect![[r#"
        client> {"id":2,"subscribe":{"channel":"board","type":1,"phase":1,"offset":7,"epoch":"abcd"}}
        - call 2: grant board of kind 1
        - answer 2: granted, positioned: true
        server> {"id":2,"error":{"code":103,"message":"permission denied"}}
        client> {"id":3,"subscribe":{"channel":"board","type":1,"phase":1,"recover":true}}
        - call 3: grant board of kind 1
        - answer 3: granted, positioned: false
        server> {"id":3,"error":{"code":107,"message":"bad request"}}
        client> {"id":4,"subscribe":{"channel":"board","type":1,"phase":2,"cursor":"next"}}
        server> {"id":4,"error":{"code":103,"message":"permission denied"}}
        client> {"id":5,"subscribe":{"channel":"board","type":1,"phase":3}}
        server> {"id":5,"error":{"code":107,"message":"bad request"}}
    "#]]);
}

#[test]
fn map_25_who_comes_back_gets_what_it_missed() {
    let mut rig = connected();
    rig.send(r#"{"id":2,"subscribe":{"channel":"board","type":2,"recover":true,"offset":7,"epoch":"abcd"}}"#);
    rig.answer(grant(true, Granted::default()));
    rig.answer(attached(&[(8, "a")], 7, 8, Granted::default()));
    rig.send(r#"{"id":3,"subscribe":{"channel":"users","type":3,"recover":true,"offset":7,"epoch":"old"}}"#);
    rig.answer(grant(true, Granted::default()));
    rig.answer(Answer::Map(Err(refused(ReplyError::UNRECOVERABLE_POSITION))));
    rig.send(r#"{"id":4,"subscribe":{"channel":"users","type":3,"recover":true,"offset":7,"epoch":"abcd"}}"#);
    rig.answer(grant(false, Granted::default()));
    rig.expect(expect![[r#"
        client> {"id":2,"subscribe":{"channel":"board","type":2,"recover":true,"offset":7,"epoch":"abcd"}}
        - call 2: grant board of kind 2
        - answer 2: granted, positioned: true
        - call 3: attach board since 7 abcd
        - answer 3: attached
        server> {"id":2,"subscribe":{"recoverable":true,"epoch":"abcd","publications":[{"data":8,"offset":8,"key":"a"}],"recovered":true,"offset":8,"was_recovering":true,"type":1}}
        - open board at 8 abcd
        client> {"id":3,"subscribe":{"channel":"users","type":3,"recover":true,"offset":7,"epoch":"old"}}
        - call 4: grant users of kind 3
        - answer 4: granted, positioned: true
        - call 5: attach users since 7 old
        - answer 5: error 112
        server> {"id":3,"error":{"code":112,"message":"unrecoverable position"}}
        client> {"id":4,"subscribe":{"channel":"users","type":3,"recover":true,"offset":7,"epoch":"abcd"}}
        - call 6: grant users of kind 3
        - answer 6: granted, positioned: false
        server> {"id":4,"error":{"code":112,"message":"unrecoverable position"}}
    "#]]);
}

#[test]
fn a_channel_without_a_stream_is_attached_before_its_state_is_read() {
    let mut rig = connected();
    rig.send(r#"{"id":2,"subscribe":{"channel":"board","type":1,"phase":2}}"#);
    rig.answer(grant(false, Granted::default()));
    rig.answer(attached_without_position());
    rig.answer(state(&[(0, "a"), (0, "b")], 0, "next"));
    rig.send(r#"{"id":3,"subscribe":{"channel":"board","type":1,"phase":2,"cursor":"next","epoch":"abcd"}}"#);
    rig.answer(state(&[(0, "c")], 0, ""));
    rig.expect(expect![[r#"
        client> {"id":2,"subscribe":{"channel":"board","type":1,"phase":2}}
        - call 2: grant board of kind 1
        - answer 2: granted, positioned: false
        - call 3: attach board
        - answer 3: attached
        - call 4: state board after "", limit 3
        - answer 4: 2 entries at 0 abcd, cursor "next"
        server> {"id":2,"subscribe":{"epoch":"abcd","type":1,"phase":2,"cursor":"next","state":[{"data":0,"key":"a"},{"data":0,"key":"b"}]}}
        client> {"id":3,"subscribe":{"channel":"board","type":1,"phase":2,"cursor":"next","epoch":"abcd"}}
        - call 5: state board after "next", limit 3
        - answer 5: 1 entries at 0 abcd, cursor ""
        server> {"id":3,"subscribe":{"epoch":"abcd","type":1,"state":[{"data":0,"key":"c"}]}}
        - open board
    "#]]);
}

#[test]
fn a_state_that_is_gone_meanwhile_is_told() {
    let mut rig = loading();
    rig.send(r#"{"id":3,"subscribe":{"channel":"board","type":1,"phase":2,"cursor":"next","offset":7,"epoch":"abcd"}}"#);
    let page = MapPage { position: StreamPosition { offset: 1, epoch: "new".into() }, ..MapPage::default() };
    rig.answer(Answer::Map(Ok(MapAnswer::State(Box::new(page)))));
    rig.expect(expect![[r#"
        client> {"id":3,"subscribe":{"channel":"board","type":1,"phase":2,"cursor":"next","offset":7,"epoch":"abcd"}}
        - call 4: state board after "next", limit 3, up to 7
        - answer 4: 0 entries at 1 new, cursor ""
        server> {"id":3,"error":{"code":112,"message":"unrecoverable position"}}
    "#]]);
    assert!(!rig.session.holds("board"));
}

#[test]
fn map_28_one_page_at_a_time() {
    let mut rig = loading();
    let next = r#"{"id":3,"subscribe":{"channel":"board","type":1,"phase":2,"cursor":"next","offset":7,"epoch":"abcd"}}"#;
    rig.send(next);
    rig.send(next);
    rig.send(r#"{"id":4,"subscribe":{"channel":"board","type":1,"phase":2}}"#);
    rig.send(r#"{"id":5,"subscribe":{"channel":"board"}}"#);
    rig.expect(expect![[r#"
        client> {"id":3,"subscribe":{"channel":"board","type":1,"phase":2,"cursor":"next","offset":7,"epoch":"abcd"}}
        - call 4: state board after "next", limit 3, up to 7
        client> {"id":3,"subscribe":{"channel":"board","type":1,"phase":2,"cursor":"next","offset":7,"epoch":"abcd"}}
        server> {"id":3,"error":{"code":113,"message":"concurrent pagination","temporary":true}}
        client> {"id":4,"subscribe":{"channel":"board","type":1,"phase":2}}
        server> {"id":4,"error":{"code":105,"message":"already subscribed"}}
        client> {"id":5,"subscribe":{"channel":"board"}}
        server> {"id":5,"error":{"code":105,"message":"already subscribed"}}
    "#]]);
}

#[test]
fn hid_41_who_takes_too_long_to_load_is_slow() {
    let next = r#"{"id":3,"subscribe":{"channel":"board","type":1,"phase":2,"cursor":"next","offset":7,"epoch":"abcd"}}"#;
    let mut rig = loading();
    rig.advance(4.9);
    assert!(rig.session.holds("board") && !rig.session.is_subscribed("board"));
    rig.advance(0.2);
    assert!(!rig.session.holds("board"), "nothing is kept for it");
    rig.send(next);
    rig.expect(expect![[r#"
        [5.1 s]
        client> {"id":3,"subscribe":{"channel":"board","type":1,"phase":2,"cursor":"next","offset":7,"epoch":"abcd"}}
        closed: 3008 slow
    "#]]);
    // Who begins anew is not.
    let mut rig = loading();
    rig.advance(10.0);
    rig.send(r#"{"id":3,"subscribe":{"channel":"board","type":1,"phase":2}}"#);
    rig.expect(expect![[r#"
        [10 s]
        client> {"id":3,"subscribe":{"channel":"board","type":1,"phase":2}}
        - call 4: grant board of kind 1
    "#]]);
}

#[test]
fn unsubscribing_while_it_is_loaded() {
    // Between pages nobody was told of it, so nobody is told of its end.
    let mut rig = loading();
    rig.send(r#"{"id":3,"unsubscribe":{"channel":"board"}}"#);
    rig.expect(expect![[r#"
        client> {"id":3,"unsubscribe":{"channel":"board"}}
        server> {"id":3,"unsubscribe":{}}
    "#]]);
    let mut rig = loading();
    rig.server(wish_unsubscribe("board"));
    rig.expect(expect![[r#"
        - wish: unsubscribe board: 2000 server unsubscribe
        server> {"push":{"channel":"board","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}
    "#]]);
    // During a page it waits.
    let mut rig = loading();
    rig.send(r#"{"id":3,"subscribe":{"channel":"board","type":1,"phase":2,"cursor":"next","offset":7,"epoch":"abcd"}}"#);
    rig.send(r#"{"id":4,"unsubscribe":{"channel":"board"}}"#);
    rig.answer(state(&[], 8, "more"));
    rig.expect(expect![[r#"
        client> {"id":3,"subscribe":{"channel":"board","type":1,"phase":2,"cursor":"next","offset":7,"epoch":"abcd"}}
        - call 4: state board after "next", limit 3, up to 7
        client> {"id":4,"unsubscribe":{"channel":"board"}}
        - answer 4: 0 entries at 8 abcd, cursor "more"
        server> {"id":3,"subscribe":{"epoch":"abcd","offset":7,"type":1,"phase":2,"cursor":"more"}}
        server> {"id":4,"unsubscribe":{}}
    "#]]);
    assert!(!rig.session.holds("board"));
}

#[test]
fn hid_37_an_expired_subscription_ends_with_2501() {
    let mut rig = connected();
    rig.send(r#"{"id":2,"subscribe":{"channel":"board","type":1,"phase":2}}"#);
    rig.answer(grant(true, granted(60, true)));
    rig.answer(state(&[], 7, ""));
    rig.answer(attached(&[], 7, 7, granted(60, true)));
    rig.forget();
    rig.advance(100.0);
    rig.expect(expect![[r#"
        [85 s]
        - detach board: 2501 subscription expired
        server> {"push":{"channel":"board","unsubscribe":{"code":2501,"reason":"subscription expired"}}}
    "#]]);
    // One that is over before it began is told.
    let mut rig = connected();
    rig.send(r#"{"id":2,"subscribe":{"channel":"board","type":1,"phase":2}}"#);
    rig.answer(grant(true, granted(0, true)));
    rig.expect(expect![[r#"
        client> {"id":2,"subscribe":{"channel":"board","type":1,"phase":2}}
        - call 2: grant board of kind 1
        - answer 2: granted, positioned: true
        server> {"id":2,"error":{"code":110,"message":"expired"}}
    "#]]);
}

#[test]
fn map_30_filters_are_those_of_the_first_command() {
    let filter = r#""tf":{"key":"a","cmp":"eq","val":"1"}"#;
    let other = r#""tf":{"key":"a","cmp":"eq","val":"2"}"#;
    let matcher = |value: &str| {
        let filter = tourbillon_types::TagFilter {
            key: "a".to_owned(),
            cmp: "eq".to_owned(),
            val: value.to_owned(),
            ..Default::default()
        };
        Arc::new(TagMatcher::new(&filter, FilterLimits::default()).expect("a filter"))
    };
    let mut rig = connected();
    rig.send(&format!(
        r#"{{"id":2,"subscribe":{{"channel":"board","type":1,"phase":2,"delta":"fossil",{filter}}}}}"#
    ));
    let Answer::Map(Ok(MapAnswer::Granted(mut first))) = grant(true, Granted::default()) else {
        panic!("it is granted")
    };
    first.granted.server_tags_filter = Some(matcher("2"));
    first.filter = Some(matcher("1"));
    rig.answer(Answer::Map(Ok(MapAnswer::Granted(first))));
    rig.answer(state(&[(1, "a")], 7, "next"));
    rig.send(&format!(
        r#"{{"id":3,"subscribe":{{"channel":"board","type":1,"phase":2,"cursor":"next",{other}}}}}"#
    ));
    rig.send(&format!(
        r#"{{"id":4,"subscribe":{{"channel":"board","type":1,"phase":2,"cursor":"next",{filter}}}}}"#
    ));
    rig.answer(state(&[(1, "a")], 7, "more"));
    rig.send(r#"{"id":5,"subscribe":{"channel":"board","type":1,"phase":2,"cursor":"more"}}"#);
    rig.answer(state(&[(1, "a")], 7, ""));
    rig.expect(expect![[r#"
        client> {"id":2,"subscribe":{"channel":"board","type":1,"phase":2,"delta":"fossil","tf":{"key":"a","cmp":"eq","val":"1"}}}
        - call 2: grant board of kind 1
        - answer 2: granted, positioned: true
        - call 3: state board after "", limit 3, server's filter, client's filter
        - answer 3: 1 entries at 7 abcd, cursor "next"
        server> {"id":2,"subscribe":{"epoch":"abcd","offset":7,"type":1,"phase":2,"cursor":"next","state":[{"data":1,"offset":1,"key":"a"}]}}
        client> {"id":3,"subscribe":{"channel":"board","type":1,"phase":2,"cursor":"next","tf":{"key":"a","cmp":"eq","val":"2"}}}
        server> {"id":3,"error":{"code":107,"message":"bad request"}}
        client> {"id":4,"subscribe":{"channel":"board","type":1,"phase":2,"cursor":"next","tf":{"key":"a","cmp":"eq","val":"1"}}}
        - call 4: state board after "next", limit 3, up to 7, server's filter, client's filter
        - answer 4: 1 entries at 7 abcd, cursor "more"
        server> {"id":4,"subscribe":{"epoch":"abcd","offset":7,"type":1,"phase":2,"cursor":"more","state":[{"data":1,"offset":1,"key":"a"}]}}
        client> {"id":5,"subscribe":{"channel":"board","type":1,"phase":2,"cursor":"more"}}
        - call 5: state board after "more", limit 3, up to 7, server's filter, client's filter
        - answer 5: 1 entries at 7 abcd, cursor ""
        - call 6: attach board since 7 abcd, client's filter
    "#]]);
}

#[test]
fn a_lost_position_ends_a_live_subscription_only() {
    let lost = || ServerOp::Insufficient { channel: Channel::from("board") };
    let mut rig = loading();
    rig.server(lost());
    rig.send(r#"{"id":3,"subscribe":{"channel":"board","type":1,"phase":0,"offset":7,"epoch":"abcd"}}"#);
    rig.answer(attached(&[], 7, 7, Granted::default()));
    rig.forget();
    rig.server(lost());
    rig.expect(expect![[r#"
        - wish: position lost in board
        - detach board: 2500 insufficient state
        server> {"push":{"channel":"board","unsubscribe":{"code":2500,"reason":"insufficient state"}}}
    "#]]);
}
