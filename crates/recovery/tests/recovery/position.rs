//! What moves a position, and what loses it.

use std::time::Duration;

use tourbillon_recovery::{Ending, Judgement, Lost, PositionCheck, Step, is_late, step};
use tourbillon_types::{Disconnect, Epoch, Publication, StreamPosition, Unsubscribe};

use crate::rig::{at, seconds};

const DELAY: Duration = Duration::from_secs(40);

#[test]
fn each_publication_is_next_known_or_lost() {
    for (position, offset, epoch, expected, after) in [
        (at(4, "a"), 5, "a", Step::Next, at(5, "a")),
        (at(4, "a"), 4, "a", Step::Known, at(4, "a")),
        (at(4, "a"), 1, "a", Step::Known, at(4, "a")),
        (at(4, "a"), 6, "a", Step::Lost(Lost::Gap { after: 4 }), at(4, "a")),
        (at(4, "a"), 5, "b", Step::Lost(Lost::Epoch), at(4, "a")),
        (at(4, "a"), 1, "b", Step::Lost(Lost::Epoch), at(4, "a")),
        (at(4, "a"), 5, "", Step::Lost(Lost::Epoch), at(4, "a")),
        // Outside the stream.
        (at(4, "a"), 0, "", Step::Next, at(4, "a")),
        (at(u64::MAX, "a"), u64::MAX, "a", Step::Known, at(u64::MAX, "a")),
    ] {
        let mut moved = position.clone();
        assert_eq!(step(&mut moved, offset, &Epoch::from(epoch)), expected, "{position:?} {offset} {epoch}");
        assert_eq!(moved, after, "{position:?} {offset} {epoch}");
    }
}

#[test]
fn a_position_without_epoch_takes_the_first_it_sees() {
    let mut position = StreamPosition::default();
    assert_eq!(step(&mut position, 1, &Epoch::from("a")), Step::Next);
    assert_eq!(position, at(1, "a"));
    assert_eq!(step(&mut position, 2, &Epoch::from("b")), Step::Lost(Lost::Epoch));
    let mut position = StreamPosition::default();
    assert_eq!(step(&mut position, 2, &Epoch::from("a")), Step::Lost(Lost::Gap { after: 0 }));
    assert!(position.epoch.is_unknown(), "a lost position stays as it is");
}

#[test]
fn steps_allocate_nothing() {
    let epoch = Epoch::from("a");
    let mut position = StreamPosition::default();
    let steps = allocation_counter::measure(|| {
        for offset in 1..=1000 {
            assert_eq!(step(&mut position, offset, &epoch), Step::Next);
        }
    });
    assert_eq!(steps.count_total, 0);
}

#[test]
fn a_lost_position_ends_the_subscription_of_a_client_or_the_connection() {
    assert_eq!(Lost::Epoch.ending(false), Ending::Subscription(Unsubscribe::INSUFFICIENT_STATE));
    assert_eq!(Lost::Epoch.ending(true), Ending::Connection(Disconnect::INSUFFICIENT_STATE));
}

#[test]
fn a_publication_is_late_when_its_lag_is_above_the_limit() {
    let made = Publication { time: 10_000, ..Publication::default() };
    let limit = Duration::from_secs(1);
    assert!(!is_late(&made, 11_000, limit));
    assert!(is_late(&made, 11_001, limit));
    assert!(!is_late(&made, 9_000, limit), "a clock that runs ahead");
    assert!(!is_late(&Publication::default(), 11_001, limit), "without a time");
}

#[test]
fn checks_are_due_after_their_delay() {
    let mut check = PositionCheck::new(seconds(40));
    assert!(!check.is_due(seconds(39)) && check.is_due(seconds(40)));
    check.ask(&at(4, "a"));
    assert_eq!(check.judge(seconds(40), DELAY, &at(4, "a"), &at(4, "a")), Judgement::Valid);
    assert!(!check.is_due(seconds(79)) && check.is_due(seconds(80)));
}

#[test]
fn what_is_missing_may_be_on_its_way_once() {
    let mut check = PositionCheck::default();
    check.ask(&at(4, "a"));
    assert_eq!(check.judge(seconds(1), DELAY, &at(4, "a"), &at(6, "a")), Judgement::Behind);
    assert!(check.is_due(seconds(1)));
    check.ask(&at(5, "a"));
    let lost = Judgement::Lost(Lost::Gap { after: 5 });
    assert_eq!(check.judge(seconds(2), DELAY, &at(5, "a"), &at(6, "a")), lost);
}

#[test]
fn a_stream_that_goes_on_is_not_lost_however_often_it_is_behind() {
    let mut check = PositionCheck::default();
    for offset in 0..100 {
        check.ask(&at(offset, "a"));
        let judgement = check.judge(seconds(1), DELAY, &at(offset, "a"), &at(offset + 1, "a"));
        assert_eq!(judgement, Judgement::Behind);
    }
    check.ask(&at(100, "a"));
    assert_eq!(check.judge(seconds(1), DELAY, &at(101, "a"), &at(101, "a")), Judgement::Valid);
}

#[test]
fn what_arrived_while_the_broker_was_asked_is_no_rollback() {
    let mut check = PositionCheck::default();
    check.ask(&at(4, "a"));
    assert_eq!(check.judge(seconds(1), DELAY, &at(5, "a"), &at(4, "a")), Judgement::Valid);
    check.ask(&at(5, "a"));
    assert_eq!(check.judge(seconds(2), DELAY, &at(5, "a"), &at(4, "a")), Judgement::Lost(Lost::Rollback));
}

#[test]
fn another_epoch_is_found_without_any_publication() {
    let mut check = PositionCheck::default();
    check.ask(&at(4, "a"));
    assert_eq!(check.judge(seconds(1), DELAY, &at(4, "a"), &at(4, "b")), Judgement::Lost(Lost::Epoch));
    assert_eq!(check.judge(seconds(1), DELAY, &at(4, "a"), &at(0, "")), Judgement::Lost(Lost::Epoch));
    let mut check = PositionCheck::default();
    check.ask(&StreamPosition::default());
    let judgement = check.judge(seconds(1), DELAY, &StreamPosition::default(), &at(0, "b"));
    assert_eq!(judgement, Judgement::Valid, "a subscriber from before the first epoch");
    let judgement = check.judge(seconds(1), DELAY, &StreamPosition::default(), &at(2, "b"));
    assert_eq!(judgement, Judgement::Behind);
}
