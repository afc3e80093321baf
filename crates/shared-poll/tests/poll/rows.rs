//! The rows of polled channels, as far as one channel can show them.

use std::time::Duration;

use tourbillon_shared_poll::{
    Detached, PollRules, Published, Receives, TrackError, TrackItem, Trigger, Update, Value, Wants,
};
use tourbillon_types::{Epoch, Instant, Payload};

use crate::rig::{Rig, items, named, value, versioned};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn sp_11_a_new_key_is_asked_for_at_once_and_all_of_a_track_together() {
    let mut rig = Rig::new(PollRules::default());
    rig.join(1);
    rig.track(1, &[("a", 0), ("b", 0), ("c", 7)]);
    let ask = rig.next().unwrap();
    assert_eq!(ask.trigger(), Trigger::Notification);
    assert_eq!(items(&ask), named(&[("a", 0), ("b", 0)]), "who has a value can wait for the cycle");
    assert!(rig.next().is_none());
    rig.answer(&ask, vec![value("b", "1", 0), value("a", "2", 0)]);
    assert_eq!(rig.sent(), ["1 a 2 v2", "1 b 1 v1"]);
}

#[test]
fn sp_07_all_keys_are_asked_about_once_in_an_interval() {
    let mut rig = Rig::new(versioned());
    rig.join(1);
    rig.join(2);
    rig.track(1, &[("a", 1), ("b", 1)]);
    rig.track(2, &[("b", 1)]);
    for cycle in 1..=3 {
        let asks = rig.pass(10 * SECOND);
        let [(second, ask)] = &asks[..] else { panic!("{asks:?}") };
        assert_eq!((*second, ask.trigger()), (f64::from(cycle) * 10.0, Trigger::Timer));
        assert_eq!(items(ask).len(), 2);
        rig.answer(ask, vec![]);
    }
}

#[test]
fn sp_07_a_cycle_is_split_into_batches_spread_over_the_interval() {
    let mut rig = Rig::new(PollRules { refresh_batch_size: 2, ..versioned() });
    rig.join(1);
    rig.track(1, &[("e", 1), ("d", 1), ("c", 1), ("b", 1), ("a", 1)]);
    let asks = rig.pass(Duration::from_millis(19_999));
    let times: Vec<_> =
        asks.iter().map(|(second, ask)| (second.floor(), items(ask).into_keys().collect())).collect();
    let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
    assert_eq!(times, [(10.0, keys(&["a", "b"])), (13.0, keys(&["c", "d"])), (16.0, keys(&["e"]))]);
}

#[test]
fn sp_07_what_is_not_answered_is_not_asked_again_meanwhile() {
    let mut rig = Rig::new(versioned());
    rig.join(1);
    rig.track(1, &[("a", 0)]);
    let ask = rig.next().unwrap();
    assert!(rig.pass(60 * SECOND).is_empty());
    rig.answer(&ask, vec![]);
    assert_eq!(rig.pass(10 * SECOND).len(), 1);
}

#[test]
fn sp_08_what_an_answer_does_not_name_is_as_it_was_and_an_error_skips_a_cycle() {
    let mut rig = Rig::new(versioned());
    rig.join(1);
    rig.track(1, &[("a", 0), ("b", 0)]);
    let ask = rig.next().unwrap();
    let applied = rig.answer(&ask, vec![value("a", "1", 5), value("z", "?", 9)]);
    assert_eq!((applied.changed, applied.unchanged, applied.removed), (1, 0, 0));
    assert_eq!(rig.sent(), ["1 a 1 v5"]);
    let (_, ask) = rig.pass(10 * SECOND).pop().unwrap();
    assert_eq!(items(&ask), named(&[("a", 5), ("b", 0)]), "SP-10: the application is told what is known");
    assert_eq!(rig.fail(&ask).changed, 0);
    assert!(rig.sent().is_empty());
    let (_, ask) = rig.pass(10 * SECOND).pop().unwrap();
    rig.answer(&ask, vec![value("b", "2", 3)]);
    assert_eq!(rig.sent(), ["1 b 2 v3"]);
}

#[test]
fn sp_09_without_versions_the_data_decides_what_changed() {
    let mut rig = Rig::new(PollRules::default());
    assert_eq!(rig.polled.epoch(), &Epoch::from("made"));
    rig.join(1);
    rig.track(1, &[("a", 0)]);
    let ask = rig.next().unwrap();
    rig.answer(&ask, vec![value("a", "1", 0)]);
    assert_eq!(rig.sent(), ["1 a 1 v1"]);
    for (data, sent) in [("1", None), ("2", Some("1 a 2 v2")), ("2", None), ("1", Some("1 a 1 v3"))] {
        let (_, ask) = rig.pass(10 * SECOND).pop().unwrap();
        assert_eq!(items(&ask), named(&[("a", 0)]), "the node's own versions are told to nobody else");
        let applied = rig.answer_in("ignored", &ask, vec![value("a", data, 40)]);
        assert_eq!((applied.changed, applied.unchanged), sent.map_or((0, 1), |_| (1, 0)));
        assert_eq!(rig.sent(), Vec::from_iter(sent.map(ToOwned::to_owned)));
    }
}

#[test]
fn sp_10_a_version_has_to_grow() {
    let mut rig = Rig::new(versioned());
    rig.join(1);
    rig.track(1, &[("a", 0)]);
    let ask = rig.next().unwrap();
    rig.answer(&ask, vec![value("a", "1", 5)]);
    assert_eq!(rig.sent(), ["1 a 1 v5"]);
    for (version, sent) in [(5, 0), (4, 0), (0, 0), (6, 1)] {
        let (_, ask) = rig.pass(10 * SECOND).pop().unwrap();
        rig.answer(&ask, vec![value("a", "2", version)]);
        assert_eq!(rig.sent().len(), sent);
    }
}

#[test]
fn sp_10_another_epoch_ends_all_subscriptions_and_begins_versions_anew() {
    let mut rig = Rig::new(PollRules { shutdown_delay: Duration::ZERO, ..versioned() });
    assert!(rig.polled.epoch().is_unknown());
    rig.join(1);
    rig.join(2);
    rig.track(1, &[("a", 9)]);
    let (_, ask) = rig.pass(10 * SECOND).pop().unwrap();
    rig.answer_in("", &ask, vec![]);
    assert!(rig.notes.lost.is_empty(), "an answer without an epoch says nothing of it");
    let (_, ask) = rig.pass(10 * SECOND).pop().unwrap();
    let applied = rig.answer_in("e1", &ask, vec![value("a", "1", 1)]);
    rig.notes.lost.sort_unstable();
    assert_eq!((std::mem::take(&mut rig.notes.lost), applied.changed), (vec![1, 2], 0));
    assert!(rig.sent().is_empty() && rig.polled.is_empty());
    let detached = rig.polled.detach(rig.now, 1);
    assert_eq!(
        detached,
        Detached { was_subscriber: false, unused: true },
        "whoever leaves then finds nobody"
    );
    assert!(!rig.polled.is_over(rig.now), "those who come again find the epoch that is known");

    rig.join(1);
    assert_eq!(rig.polled.epoch(), &Epoch::from("e1"));
    rig.track(1, &[("a", 0)]);
    let ask = rig.next().unwrap();
    rig.answer_in("e1", &ask, vec![value("a", "1", 1)]);
    assert_eq!(rig.sent(), ["1 a 1 v1"]);
    assert!(rig.notes.lost.is_empty());
}

#[test]
fn sp_12_nobody_is_sent_what_it_has_nor_anything_before_its_reply() {
    let mut rig = Rig::new(versioned());
    rig.join(1);
    rig.join(2);
    rig.track(1, &[("a", 4)]);
    let (_, ask) = rig.pass(10 * SECOND).pop().unwrap();
    let (gate, tracked) = rig.track_closed(2, vec![TrackItem::new("a", 0)], &[]).unwrap();
    assert!(tracked.items.is_empty());
    rig.answer(&ask, vec![value("a", "1", 4)]);
    assert!(rig.sent().is_empty(), "one has it, the other waits for its reply");
    assert!(rig.next().is_none());
    rig.open(2, gate);
    let ask = rig.next().unwrap();
    assert_eq!(items(&ask), named(&[("a", 0)]), "asked for whether it changed or not");
    rig.answer(&ask, vec![value("a", "1", 4)]);
    assert_eq!(rig.sent(), ["2 a 1 v4"]);
}

#[test]
fn sp_12_who_comes_while_it_is_asked_what_changed_is_not_forgotten() {
    let mut rig = Rig::new(versioned());
    rig.join(1);
    rig.join(2);
    rig.track(1, &[("a", 0)]);
    let ask = rig.next().unwrap();
    rig.answer(&ask, vec![value("a", "1", 4)]);
    let (_, ask) = rig.pass(10 * SECOND).pop().unwrap();
    rig.sent();
    rig.track(2, &[("a", 0)]);
    assert!(rig.next().is_none(), "it is being asked about");
    rig.answer(&ask, vec![]);
    let ask = rig.next().unwrap();
    assert_eq!(items(&ask), named(&[("a", 0)]));
    rig.answer(&ask, vec![value("a", "1", 4)]);
    assert_eq!(rig.sent(), ["2 a 1 v4"]);
}

#[test]
fn sp_12_many_who_come_for_one_key_cost_one_question() {
    let mut rig = Rig::new(PollRules::default());
    rig.join(1);
    rig.track(1, &[("a", 0)]);
    let ask = rig.next().unwrap();
    rig.answer(&ask, vec![value("a", "1", 0)]);
    for who in 2..100 {
        rig.join(who);
        rig.track(who, &[("a", 0)]);
    }
    let ask = rig.next().unwrap();
    assert!(rig.next().is_none());
    rig.sent();
    rig.answer(&ask, vec![value("a", "1", 0)]);
    assert_eq!(rig.sent().len(), 98);
    assert!(rig.next().is_none());
}

fn delta(rig: &mut Rig) {
    let wants = Wants { delta: true, ..Wants::default() };
    rig.polled.attach(1, 1, wants);
    rig.join(2);
    rig.track(1, &[("a", 0)]);
    rig.track(2, &[("a", 0)]);
}

#[test]
fn sp_12_deltas_are_against_what_the_application_tells_of_before() {
    let mut rig = Rig::new(versioned());
    delta(&mut rig);
    let ask = rig.next().unwrap();
    let with =
        |data, version, before: &'static str| Value { prev_data: before.into(), ..value("a", data, version) };
    rig.answer(&ask, vec![with("one", 1, "zero")]);
    let mut said = Vec::new();
    for (version, before) in [(2, "one"), (3, ""), (4, "three")] {
        let (_, ask) = rig.pass(10 * SECOND).pop().unwrap();
        rig.answer(&ask, vec![with("more", version, before)]);
        let mut sent = std::mem::take(&mut rig.notes.sent);
        sent.sort_by_key(|sent| sent.who);
        said.extend(sent.into_iter().map(|sent| (sent.who, sent.version, sent.receives, sent.base)));
    }
    assert_eq!(
        said.into_iter().filter(|(who, ..)| *who == 1).collect::<Vec<_>>(),
        [
            (1, 1, Receives::Whole, None),
            (1, 2, Receives::Delta, Some("one".into())),
            (1, 3, Receives::Whole, None),
            (1, 4, Receives::Delta, Some("three".into())),
        ]
    );
}

#[test]
fn sp_12_a_delta_goes_to_those_alone_who_have_its_base() {
    let mut rig = Rig::new(PollRules { keep_latest_data: true, ..versioned() });
    delta(&mut rig);
    rig.polled.attach(3, 3, Wants { delta: true, ..Wants::default() });
    let ask = rig.next().unwrap();
    rig.answer(&ask, vec![value("a", "one", 1)]);
    // It says to have the version, but was not sent it here: it may have nothing to apply a delta to.
    rig.track(3, &[("a", 1)]);
    rig.notes.sent.clear();
    let (_, ask) = rig.pass(10 * SECOND).pop().unwrap();
    rig.answer(&ask, vec![value("a", "two", 2)]);
    let mut sent: Vec<_> = rig.notes.sent.drain(..).map(|sent| (sent.who, sent.receives)).collect();
    sent.sort_by_key(|(who, _)| *who);
    assert_eq!(sent, [(1, Receives::Delta), (2, Receives::Plain), (3, Receives::Whole)]);
}

#[test]
fn pro_84_what_is_kept_is_in_the_reply_and_not_sent_again() {
    let mut rig = Rig::new(PollRules { keep_latest_data: true, ..versioned() });
    rig.join(1);
    rig.track(1, &[("a", 0), ("b", 0)]);
    let ask = rig.next().unwrap();
    rig.answer(&ask, vec![value("a", "1", 5)]);
    rig.sent();
    rig.join(2);
    let tracked = rig.track(2, &[("a", 3), ("b", 0), ("c", 0)]);
    let [item] = &tracked.items[..] else { panic!("{tracked:?}") };
    assert_eq!((item.key.as_deref(), item.version, &item.data), (Some("a"), 5, &Payload::from("1")));
    let ask = rig.next().unwrap();
    assert_eq!(items(&ask), named(&[("c", 0)]));
    assert!(rig.sent().is_empty());
    assert!(rig.track(2, &[("a", 5)]).items.is_empty());
}

#[test]
fn sp_13_a_removed_key_is_told_to_everybody_and_tracked_by_nobody() {
    let mut rig = Rig::new(PollRules::default());
    rig.join(1);
    rig.join(2);
    rig.track(1, &[("a", 0), ("b", 0)]);
    rig.track(2, &[("a", 0)]);
    let ask = rig.next().unwrap();
    let applied = rig.answer(&ask, vec![Value::removed("a")]);
    assert_eq!((applied.changed, applied.unchanged, applied.removed), (0, 0, 1));
    assert_eq!(rig.sent(), ["1 a removed v0", "2 a removed v0"]);
    assert_eq!(rig.polled.len(), 1);
    let (_, ask) = rig.pass(10 * SECOND).pop().unwrap();
    assert_eq!(items(&ask), named(&[("b", 0)]));
    rig.answer(&ask, vec![]);
    rig.track(2, &[("a", 0)]);
    assert_eq!(items(&rig.next().unwrap()), named(&[("a", 0)]), "it can be tracked anew");
}

#[test]
fn sp_06_more_keys_than_allowed_are_refused_all() {
    let mut rig = Rig::new(PollRules { max_keys_per_connection: 3, ..PollRules::default() });
    rig.join(1);
    rig.track(1, &[("a", 0), ("b", 0)]);
    let track = |rig: &mut Rig, keys: &[&str], untrack: &[&str]| {
        let items = keys.iter().map(|key| TrackItem::new(*key, 0)).collect();
        rig.track_closed(1, items, untrack).map(|_| rig.polled.len())
    };
    assert_eq!(track(&mut rig, &["c", "d"], &[]), Err(TrackError::Limit));
    assert_eq!(rig.polled.len(), 2, "none of them is tracked");
    assert_eq!(track(&mut rig, &["a", "b", "c", "c"], &[]), Ok(3), "the same key counts once");
    assert_eq!(track(&mut rig, &["d", "e"], &["a", "e"]), Ok(3), "what goes makes room");
    assert_eq!(track(&mut rig, &["f"], &["z"]), Err(TrackError::Limit), "what was not there makes none");
}

#[test]
fn sp_03_of_several_batches_the_last_one_counts_for_a_key_and_the_earliest_end_is_told() {
    let mut rig = Rig::new(versioned());
    rig.join(1);
    let item = |key: &str, version, expire_at| TrackItem { expire_at, ..TrackItem::new(key, version) };
    let items =
        vec![item("a", 1, Some(10)), item("b", 1, Some(50)), item("a", 3, Some(70)), item("c", 0, None)];
    let (gate, tracked) = rig.track_closed(1, items, &["c"]).unwrap();
    assert_eq!(tracked.expire_at, Some(50));
    rig.open(1, gate);
    assert!(rig.next().is_none(), "what is untracked in the same breath is not asked for");
}

#[test]
fn sp_14_keys_are_dropped_without_a_word_some_time_after_their_signature_expired() {
    let mut rig = Rig::new(versioned());
    rig.join(1);
    let seconds = rig.now.unix_seconds();
    let item =
        |key: &str, after: i64| TrackItem { expire_at: Some(seconds + after), ..TrackItem::new(key, 1) };
    rig.track_closed(1, vec![item("a", 5), item("b", 6)], &[]).unwrap();
    rig.track_closed(1, vec![TrackItem::new("c", 1)], &[]).unwrap();
    let keys = |rig: &mut Rig, time| {
        for (_, ask) in rig.pass(time) {
            rig.answer(&ask, vec![]);
        }
        rig.polled.len()
    };
    assert_eq!(keys(&mut rig, Duration::from_millis(29_900)), 3);
    assert_eq!(keys(&mut rig, Duration::from_millis(200)), 2);
    // Signed anew, it goes on.
    rig.track_closed(1, vec![item("b", 60)], &[]).unwrap();
    assert_eq!(keys(&mut rig, 54 * SECOND), 2);
    assert_eq!(keys(&mut rig, 2 * SECOND), 1);
    assert!(rig.sent().is_empty() && rig.notes.lost.is_empty());
}

#[test]
fn sp_15_a_channel_is_kept_for_a_while_after_everybody_left() {
    let mut rig = Rig::new(PollRules::default());
    rig.join(1);
    rig.track(1, &[("a", 0)]);
    let ask = rig.next().unwrap();
    rig.answer(&ask, vec![]);
    assert!(rig.polled.detach(rig.now, 1).unused);
    assert!(rig.polled.is_empty());
    assert!(rig.pass(Duration::from_millis(900)).is_empty());
    assert!(!rig.polled.is_over(rig.now));
    rig.join(2);
    rig.pass(5 * SECOND);
    assert!(!rig.polled.is_over(rig.now), "somebody has it");
    assert!(rig.polled.detach(rig.now, 2).unused);
    assert!(!rig.polled.is_over(rig.now));
    rig.now.instant += SECOND;
    assert!(rig.polled.is_over(rig.now));
}

#[test]
fn sp_15_what_is_asked_about_is_answered_before_the_channel_ends() {
    let mut rig = Rig::new(PollRules { shutdown_delay: Duration::ZERO, ..PollRules::default() });
    rig.join(1);
    rig.track(1, &[("a", 0)]);
    let ask = rig.next().unwrap();
    rig.polled.detach(rig.now, 1);
    assert!(!rig.polled.is_over(rig.now));
    assert_eq!(rig.polled.due(), Instant::MAX);
    rig.answer(&ask, vec![value("a", "1", 0)]);
    assert!(rig.polled.is_over(rig.now) && rig.sent().is_empty());
}

fn update(key: &str, data: &'static str, version: u64, epoch: &str) -> Update {
    Update { key: key.to_owned(), version, epoch: Epoch::from(epoch), data: data.into() }
}

#[test]
fn sp_16_a_published_value_is_sent_unless_it_is_stale_and_spares_the_next_question() {
    let mut rig = Rig::new(PollRules { publish_enabled: true, ..versioned() });
    rig.join(1);
    rig.track(1, &[("a", 3), ("b", 3)]);
    let publish = |rig: &mut Rig, update| rig.polled.publish(rig.now, update, &mut rig.notes);
    assert_eq!(publish(&mut rig, update("a", "4", 4, "")), Published::Applied);
    assert_eq!(publish(&mut rig, update("a", "4", 4, "")), Published::Stale);
    assert_eq!(publish(&mut rig, update("z", "1", 1, "")), Published::Untracked);
    assert_eq!(rig.sent(), ["1 a 4 v4"]);
    let (_, ask) = rig.pass(10 * SECOND).pop().unwrap();
    assert_eq!(items(&ask), named(&[("b", 0)]));
    rig.answer(&ask, vec![]);
    let (_, ask) = rig.pass(10 * SECOND).pop().unwrap();
    assert_eq!(items(&ask), named(&[("a", 4), ("b", 0)]));
    rig.answer(&ask, vec![]);
    assert_eq!(publish(&mut rig, update("a", "1", 1, "e1")), Published::Untracked);
    assert_eq!(rig.notes.lost, [1], "a publisher that begins anew is noticed like an application that does");
}

#[test]
fn cmd_17_unknown_keys_are_ignored_and_untracked_ones_are_sent_no_more() {
    let mut rig = Rig::new(versioned());
    rig.join(1);
    rig.track(1, &[("a", 1), ("b", 1)]);
    rig.polled.untrack(1, &["a".to_owned(), "z".to_owned()]);
    rig.polled.untrack(2, &["b".to_owned()]);
    let (_, ask) = rig.pass(10 * SECOND).pop().unwrap();
    assert_eq!(items(&ask), named(&[("b", 0)]));
    rig.polled.untrack(1, &["b".to_owned()]);
    rig.answer(&ask, vec![value("b", "2", 2)]);
    assert!(rig.sent().is_empty());
    assert!(rig.pass(60 * SECOND).is_empty(), "nothing is asked where nothing is tracked");
}

#[test]
fn a_track_of_a_subscription_that_is_over_is_refused() {
    let mut rig = Rig::new(PollRules::default());
    assert_eq!(rig.track_closed(1, vec![TrackItem::new("a", 0)], &[]).err(), Some(TrackError::NotSubscribed));
    rig.join(1);
    let ticket = rig.polled.ticket(1).unwrap();
    rig.join(1);
    let track = tourbillon_shared_poll::Track {
        items: vec![TrackItem::new("a", 0)],
        ..tourbillon_shared_poll::Track::new(ticket, 1)
    };
    assert_eq!(rig.polled.track(rig.now, 1, &track), Err(TrackError::NotSubscribed));
    assert!(rig.polled.is_empty());
}

#[test]
fn sp_16_what_was_published_meanwhile_is_no_base_of_an_older_answers_delta() {
    let mut rig = Rig::new(PollRules { publish_enabled: true, ..versioned() });
    delta(&mut rig);
    let ask = rig.next().unwrap();
    rig.answer(&ask, vec![value("a", "one", 1)]);
    let (_, ask) = rig.pass(10 * SECOND).pop().unwrap();
    assert_eq!(items(&ask), named(&[("a", 1)]));
    rig.polled.publish(rig.now, update("a", "two", 2, ""), &mut rig.notes);
    rig.notes.sent.clear();
    rig.answer(&ask, vec![Value { prev_data: "one".into(), ..value("a", "three", 3) }]);
    let receives = rig.notes.sent.iter().find(|sent| sent.who == 1).map(|sent| sent.receives);
    assert_eq!(receives, Some(Receives::Whole), "it has what was published, not what the answer tells of");
}
