//! Positions: where a subscription begins, what it missed, and that it cannot go on (REC-01..08, HID-27, HID-28,
//! HID-31), and questions about what channels keep (CMD-08..10).

use std::sync::Arc;

use expect_test::expect;
use tourbillon_protocol::reply::{HistoryResult, PresenceResult, PresenceStatsResult};
use tourbillon_recovery::Resumed;
use tourbillon_session::{Accepted, Answer, Granted, ServerOp};
use tourbillon_types::{
    ClientId, ClientInfo, Disconnect, Payload, Publication, ReplyError, StreamPosition, Unsubscribe,
};

use crate::rig::{Rig, positioned, refused, wish_unsubscribe};

fn at(offset: u64) -> StreamPosition {
    StreamPosition { offset, epoch: "abcd".into() }
}

fn publication(offset: u64) -> Arc<Publication> {
    let data = Payload::from(offset.to_string().into_bytes());
    Arc::new(Publication { offset, epoch: "abcd".into(), data, ..Publication::default() })
}

fn lost() -> ServerOp {
    ServerOp::Insufficient { channel: "news".into() }
}

#[test]
fn what_was_missed_comes_with_the_reply_and_the_gate_opens_behind_it() {
    let mut rig = Rig::connected();
    rig.send(r#"{"id":2,"subscribe":{"channel":"news","recover":true,"offset":3,"epoch":"abcd"}}"#);
    let resumed = Resumed {
        position: at(3),
        live: at(5),
        recovered: true,
        was_recovering: true,
        publications: vec![publication(4), publication(5)],
    };
    // What recovers has a position, whether or not that was asked for by itself.
    let granted = Granted { recoverable: true, resumed: Some(Box::new(resumed)), ..Granted::default() };
    rig.answer(Answer::Subscribe(Ok(granted)));
    rig.expect(expect![[r#"
        client> {"id":2,"subscribe":{"channel":"news","recover":true,"offset":3,"epoch":"abcd"}}
        - call 2: subscribe news
        - answer 2: granted
        server> {"id":2,"subscribe":{"recoverable":true,"epoch":"abcd","publications":[{"data":4,"offset":4},{"data":5,"offset":5}],"recovered":true,"offset":3,"positioned":true,"was_recovering":true}}
        - open news at 5 abcd
    "#]]);
}

#[test]
fn who_asks_to_recover_where_nothing_can_be_is_told_so() {
    let mut rig = Rig::connected();
    rig.send(r#"{"id":2,"subscribe":{"channel":"news","recover":true,"offset":3,"epoch":"abcd"}}"#);
    rig.answer(Answer::Subscribe(Ok(Granted::default())));
    rig.expect(expect![[r#"
        client> {"id":2,"subscribe":{"channel":"news","recover":true,"offset":3,"epoch":"abcd"}}
        - call 2: subscribe news
        - answer 2: granted
        server> {"id":2,"subscribe":{"was_recovering":true}}
        - open news
    "#]]);
}

#[test]
fn a_recovery_that_was_not_asked_for_is_told_too() {
    let mut rig = Rig::connected();
    rig.send(r#"{"id":2,"subscribe":{"channel":"news"}}"#);
    let resumed = Resumed {
        position: at(0),
        live: at(5),
        recovered: true,
        was_recovering: true,
        publications: vec![publication(5)],
    };
    let granted = Granted { recoverable: true, resumed: Some(Box::new(resumed)), ..Granted::default() };
    rig.answer(Answer::Subscribe(Ok(granted)));
    rig.expect(expect![[r#"
        client> {"id":2,"subscribe":{"channel":"news"}}
        - call 2: subscribe news
        - answer 2: granted
        server> {"id":2,"subscribe":{"recoverable":true,"epoch":"abcd","publications":[{"data":5,"offset":5}],"recovered":true,"positioned":true,"was_recovering":true}}
        - open news at 5 abcd
    "#]]);
}

#[test]
fn servers_subscriptions_recover_as_the_client_connects() {
    let mut rig = Rig::new();
    rig.send(r#"{"id":1,"connect":{"subs":{"news":{"recover":true,"offset":4,"epoch":"abcd"}}}}"#);
    let resumed = Resumed {
        position: at(4),
        live: at(5),
        recovered: true,
        was_recovering: true,
        publications: vec![publication(5)],
    };
    let granted = Granted { recoverable: true, resumed: Some(Box::new(resumed)), ..Granted::default() };
    let subscriptions = vec![("news".into(), granted)];
    rig.answer(Answer::Connect(Ok(Accepted { subscriptions, ..Accepted::default() })));
    rig.expect(expect![[r#"
        client> {"id":1,"connect":{"subs":{"news":{"recover":true,"offset":4,"epoch":"abcd"}}}}
        - call 1: connect
        - answer 1: accepted
        server> {"id":1,"connect":{"client":"00000000-0000-4000-8000-000000000000","version":"1.2.3","subs":{"news":{"recoverable":true,"epoch":"abcd","publications":[{"data":5,"offset":5}],"recovered":true,"offset":4,"positioned":true,"was_recovering":true}},"ping":25,"pong":true}}
        - open news at 5 abcd
    "#]]);
}

#[test]
fn a_lost_position_ends_the_clients_own_subscription() {
    let mut rig = Rig::connected().subscribe("news", positioned(5));
    rig.server(lost());
    // Once more for what was on its way.
    rig.server(lost());
    rig.expect(expect![[r#"
        - wish: position lost in news
        - detach news: 2500 insufficient state
        server> {"push":{"channel":"news","unsubscribe":{"code":2500,"reason":"insufficient state"}}}
        - wish: position lost in news
    "#]]);
    assert!(!rig.session.holds("news"));
}

#[test]
fn a_lost_position_of_a_servers_subscription_ends_the_connection() {
    let subscriptions = vec![("news".into(), positioned(5))];
    let mut rig = Rig::new().connect(Accepted { subscriptions, ..Accepted::default() });
    rig.server(lost());
    rig.expect(expect![[r#"
        - wish: position lost in news
        closed: 3010 insufficient state
    "#]]);
}

#[test]
fn a_lost_position_means_nothing_to_what_is_being_subscribed() {
    let mut rig = Rig::connected();
    rig.send(r#"{"id":2,"subscribe":{"channel":"news"}}"#);
    rig.server(lost());
    rig.server(wish_unsubscribe("news"));
    rig.answer(Answer::Subscribe(Ok(positioned(5))));
    rig.expect(expect![[r#"
        client> {"id":2,"subscribe":{"channel":"news"}}
        - call 2: subscribe news
        - wish: position lost in news
        - wish: unsubscribe news: 2000 server unsubscribe
        - answer 2: granted
        server> {"id":2,"subscribe":{"recoverable":true,"epoch":"abcd","offset":5,"positioned":true}}
        - open news at 5 abcd
        - detach news: 2000 server unsubscribe
        server> {"push":{"channel":"news","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}
    "#]]);
}

#[test]
fn questions_about_channels_say_whether_the_client_is_subscribed() {
    let mut rig = Rig::connected().subscribe("news", Granted::default());
    rig.send(r#"{"id":3,"history":{"channel":"news","limit":10,"since":{"offset":2,"epoch":"abcd"}}}"#);
    let publications = vec![publication(3), publication(4)];
    rig.answer(Answer::History(Ok(HistoryResult { publications, position: at(4) })));
    rig.send(r#"{"id":4,"presence":{"channel":"chat"}}"#);
    let client = ClientId::from_random([7; 16]);
    let info = ClientInfo {
        user: "ali".into(),
        client: Some(client),
        connection: Payload::from("1"),
        channel: Payload::empty(),
    };
    let presence = vec![(client.to_string(), Arc::new(info))];
    rig.answer(Answer::Presence(Ok(PresenceResult { presence })));
    rig.send(r#"{"id":5,"presence_stats":{"channel":"news"}}"#);
    rig.answer(Answer::PresenceStats(Ok(PresenceStatsResult { num_clients: 2, num_users: 1 })));
    rig.send(r#"{"id":6,"presence_stats":{"channel":"other"}}"#);
    rig.answer(Answer::PresenceStats(Err(refused(ReplyError::PERMISSION_DENIED))));
    rig.expect(expect![[r#"
        client> {"id":3,"history":{"channel":"news","limit":10,"since":{"offset":2,"epoch":"abcd"}}}
        - call 3: history news, limit 10, subscribed: true
        - answer 3: 2 publications
        server> {"id":3,"history":{"publications":[{"data":3,"offset":3},{"data":4,"offset":4}],"epoch":"abcd","offset":4}}
        client> {"id":4,"presence":{"channel":"chat"}}
        - call 4: presence chat, subscribed: false
        - answer 4: 1 members
        server> {"id":4,"presence":{"presence":{"07070707-0707-4707-8707-070707070707":{"user":"ali","client":"07070707-0707-4707-8707-070707070707","conn_info":1}}}}
        client> {"id":5,"presence_stats":{"channel":"news"}}
        - call 5: presence_stats news, subscribed: true
        - answer 5: 2 clients
        server> {"id":5,"presence_stats":{"num_clients":2,"num_users":1}}
        client> {"id":6,"presence_stats":{"channel":"other"}}
        - call 6: presence_stats other, subscribed: false
        - answer 6: error 103
        server> {"id":6,"error":{"code":103,"message":"permission denied"}}
    "#]]);
}

#[test]
fn questions_about_no_channel_end_the_connection_and_long_names_are_refused() {
    for command in ["history", "presence", "presence_stats"] {
        let mut rig = Rig::with(|config, _| config.channel_max_length = 3).connect(Accepted::default());
        rig.send(&format!(r#"{{"id":2,"{command}":{{"channel":"news"}}}}"#));
        rig.send(&format!(r#"{{"id":3,"{command}":{{}}}}"#));
        assert_eq!(rig.said("\"code\":107"), 1, "{command}");
        assert!(rig.session.is_closed(), "{command}");
    }
    assert_eq!(Unsubscribe::INSUFFICIENT_STATE.code, 2500);
    assert_eq!(Disconnect::INSUFFICIENT_STATE.code, 3010);
}
