//! What comes through a gate, and when.

use std::sync::Arc;

use tourbillon_recovery::{Gate, Lost, Offer, Opened};
use tourbillon_types::Publication;

use crate::rig::{at, offsets, publication};

fn held(offsets: &[u64]) -> Gate {
    let mut gate = Gate::buffering(100);
    for offset in offsets {
        assert_eq!(gate.offer(&publication(*offset, "a"), false), Offer::Held);
    }
    gate
}

#[test]
fn a_gate_holds_back_until_it_is_opened() {
    let mut gate = held(&[4, 5]);
    assert!(gate.is_buffering() && gate.position().is_none());
    let opened = gate.open(Some(at(3, "a")));
    assert_eq!((offsets(&opened.publications), opened.lost), (vec![4, 5], None));
    assert_eq!(gate.position(), Some(&at(5, "a")));
    assert_eq!(gate.offer(&publication(6, "a"), false), Offer::Deliver);
    assert_eq!(gate.offer(&publication(6, "a"), false), Offer::Skip);
    assert_eq!(gate.offer(&publication(8, "a"), false), Offer::Lost(Lost::Gap { after: 6 }));
    assert_eq!(gate.open(Some(at(0, "a"))), Opened::default(), "it is open already");
    assert_eq!(gate.position(), Some(&at(6, "a")));
}

#[test]
fn what_the_reply_covers_is_not_given_again() {
    let opened = held(&[2, 3, 4, 4]).open(Some(at(3, "a")));
    assert_eq!(offsets(&opened.publications), [4]);
}

#[test]
fn what_came_out_of_order_is_put_in_order() {
    let opened = held(&[6, 4, 5]).open(Some(at(3, "a")));
    assert_eq!((offsets(&opened.publications), opened.lost), (vec![4, 5, 6], None));
}

#[test]
fn a_gap_behind_the_gate_shows_when_it_opens() {
    let opened = held(&[4, 6]).open(Some(at(3, "a")));
    assert_eq!(offsets(&opened.publications), [4]);
    assert_eq!(opened.lost, Some(Lost::Gap { after: 4 }));
}

#[test]
fn another_epoch_behind_the_gate_shows_when_it_opens() {
    let opened = held(&[4]).open(Some(at(3, "b")));
    assert_eq!((opened.publications, opened.lost), (vec![], Some(Lost::Epoch)));
}

#[test]
fn hidden_publications_move_the_position_and_are_not_given() {
    let mut gate = Gate::buffering(10);
    for (offset, hidden) in [(4, false), (5, true), (6, false)] {
        assert_eq!(gate.offer(&publication(offset, "a"), hidden), Offer::Held);
    }
    let opened = gate.open(Some(at(3, "a")));
    assert_eq!((offsets(&opened.publications), opened.lost), (vec![4, 6], None));
    assert_eq!(gate.offer(&publication(7, "a"), true), Offer::Skip);
    assert_eq!(gate.position(), Some(&at(7, "a")));
    assert_eq!(gate.offer(&publication(8, "a"), false), Offer::Deliver);
}

#[test]
fn without_a_position_everything_comes_as_it_came() {
    let mut gate = held(&[6, 4, 4]);
    assert_eq!(gate.offer(&publication(9, "b"), true), Offer::Held);
    let opened = gate.open(None);
    assert_eq!((offsets(&opened.publications), opened.lost), (vec![6, 4, 4], None));
    assert_eq!(gate.offer(&publication(1, "b"), false), Offer::Deliver);
    assert_eq!(gate.offer(&publication(1, "b"), true), Offer::Skip);
    assert_eq!(gate.position(), None);
}

#[test]
fn what_is_outside_the_stream_comes_through_and_moves_nothing() {
    let outside = Arc::new(Publication::default());
    let mut gate = held(&[4]);
    assert_eq!(gate.offer(&outside, false), Offer::Held);
    let opened = gate.open(Some(at(3, "a")));
    let mut given = offsets(&opened.publications);
    given.sort_unstable();
    assert_eq!((given, opened.lost), (vec![0, 4], None));
    assert_eq!(gate.offer(&outside, false), Offer::Deliver);
    assert_eq!(gate.offer(&outside, true), Offer::Skip);
    assert_eq!(gate.position(), Some(&at(4, "a")));
}

#[test]
fn a_gate_holds_no_more_than_its_limit() {
    let mut gate = Gate::buffering(2);
    let next = |offset| publication(offset, "a");
    assert_eq!(gate.offer(&next(1), false), Offer::Held);
    assert_eq!(gate.offer(&next(2), false), Offer::Held);
    assert_eq!(gate.offer(&next(3), false), Offer::Full);
}

#[test]
fn a_lost_position_stays_lost() {
    let mut gate = held(&[]);
    assert_eq!(gate.open(Some(at(3, "a"))), Opened::default());
    for offset in [5, 6, 9] {
        assert_eq!(gate.offer(&publication(offset, "a"), false), Offer::Lost(Lost::Gap { after: 3 }));
    }
}

#[test]
fn live_offers_allocate_nothing_and_gates_are_small() {
    let mut gate = held(&[]);
    let _ = gate.open(Some(at(0, "a")));
    let publications: Vec<_> = (1..=100).map(|offset| publication(offset, "a")).collect();
    let offers = allocation_counter::measure(|| {
        for publication in &publications {
            assert_eq!(gate.offer(publication, false), Offer::Deliver);
        }
    });
    assert_eq!(offers.count_total, 0);
    assert!(size_of::<Gate>() <= 32, "a gate takes {} bytes", size_of::<Gate>());
}
