//! Every order of a subscribe's steps, up to three publications, their deliveries, an error and an unsubscribe.

use std::sync::Arc;

use tourbillon_recovery::{HistoryQuery, Judgement, StreamLog};
use tourbillon_types::{Instant, Publication, StreamPosition};

use crate::rig::{META_TTL, at, policy};
use crate::subscriber::{End, Subscriber};

const NOW: Instant = Instant::ZERO;

/// The publications that are there before anything happens.
const BEFORE: u64 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// The broker answers the query. The answer is on its way.
    Read,
    /// The answer arrives.
    Answer,
    /// The reply is queued.
    Reply,
    /// The broker takes a publication.
    Publish,
    /// A publication arrives, and what befell it on the way.
    Deliver(usize, Fate),
    Unsubscribe,
    /// The broker's answer was an error.
    Error,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Arrives,
    IsLost,
    ArrivesTwice,
}

const FATES: [Fate; 3] = [Fate::Arrives, Fate::IsLost, Fate::ArrivesTwice];

/// What may still happen.
#[derive(Clone)]
struct Open {
    steps: Vec<Event>,
    published: usize,
    publications: usize,
    undelivered: Vec<usize>,
    end: Option<Event>,
}

/// Calls `check` with every order there is.
fn each_order(open: &Open, order: &mut Vec<Event>, check: &mut impl FnMut(&[Event])) {
    let mut last = true;
    let mut go = |event: Event, rest: Open| {
        last = false;
        order.push(event);
        each_order(&rest, order, check);
        order.pop();
    };
    if let Some((step, rest)) = open.steps.split_first() {
        go(*step, Open { steps: rest.to_vec(), ..open.clone() });
    }
    if open.published < open.publications {
        let mut rest = open.clone();
        rest.undelivered.push(open.published);
        rest.published += 1;
        go(Event::Publish, rest);
    }
    for (place, number) in open.undelivered.iter().enumerate() {
        let mut rest = open.clone();
        rest.undelivered.remove(place);
        for fate in FATES {
            go(Event::Deliver(*number, fate), rest.clone());
        }
    }
    if let Some(end) = open.end {
        go(end, Open { end: None, ..open.clone() });
    }
    if last {
        check(order);
    }
}

/// Carries an order out, and holds what came of it against what happened. The subscriber itself checks that nothing
/// comes before the reply, twice, or after a gap.
fn check(order: &[Event], position: Option<&StreamPosition>) {
    let mut log = StreamLog::new("a".into(), NOW, META_TTL);
    let mut published: Vec<Arc<Publication>> = Vec::new();
    for _ in 0..BEFORE {
        log.append(NOW, &policy(100), Publication::default());
    }
    let (mut subscriber, query) = Subscriber::subscribe(Subscriber::ask(position.cloned()), 300, 10);
    let mut page = None;
    for event in order {
        match event {
            Event::Read => page = Some(log.read(NOW, &query, META_TTL)),
            Event::Answer => subscriber.answer(page.take().expect("a page")),
            Event::Reply => subscriber.reply(),
            Event::Publish => published.push(log.append(NOW, &policy(100), Publication::default())),
            Event::Deliver(number, fate) => {
                let times = match fate {
                    Fate::Arrives => 1,
                    Fate::IsLost => 0,
                    Fate::ArrivesTwice => 2,
                };
                for _ in 0..times {
                    subscriber.deliver(&published[*number]);
                }
            }
            Event::Unsubscribe => subscriber.end(End::Unsubscribed),
            Event::Error => subscriber.end(End::Error),
        }
    }
    let top = log.read(NOW, &HistoryQuery::position(), META_TTL).position;
    let known = subscriber.client().position.offset;
    match subscriber.ended() {
        None => {
            assert!(subscriber.client().replied, "neither replied nor ended: {order:?}");
            // What is missing at the end shows when the positions are compared.
            subscriber.ask_position();
            let first = subscriber.judge(NOW, &top).expect("a position");
            subscriber.ask_position();
            let second = subscriber.judge(NOW, &top).expect("a position");
            if known == top.offset {
                assert_eq!((first, second), (Judgement::Valid, Judgement::Valid), "{order:?}");
            } else {
                assert_eq!(first, Judgement::Behind, "{order:?}");
                assert!(matches!(second, Judgement::Lost(_)), "a silent gap: {order:?}");
            }
        }
        Some(End::Lost(_) | End::Refused(_)) => {
            let disturbed = order.iter().enumerate().any(|(place, event)| match event {
                Event::Deliver(number, fate) => {
                    *fate == Fate::IsLost || {
                        let later = order.iter().take(place);
                        later.clone().any(|event| matches!(event, Event::Deliver(other, _) if other > number))
                    }
                }
                _ => false,
            });
            assert!(disturbed, "lost without a reason: {order:?}");
        }
        Some(End::Unsubscribed | End::Error) => {}
        Some(End::Full) => panic!("full: {order:?}"),
    }
}

fn every_order(publications: usize, end: Option<Event>) -> usize {
    let steps =
        if end == Some(Event::Error) { Vec::new() } else { vec![Event::Read, Event::Answer, Event::Reply] };
    let open = Open { steps, published: 0, publications, undelivered: Vec::new(), end };
    let positions = [None, Some(at(0, "a")), Some(at(1, "a")), Some(at(2, "a")), Some(at(1, "b"))];
    let mut count = 0;
    each_order(&open, &mut Vec::new(), &mut |order| {
        for position in &positions {
            check(order, position.as_ref());
            count += 1;
        }
    });
    count
}

#[test]
fn no_order_of_up_to_three_publications_loses_doubles_or_hurries() {
    assert_eq!(every_order(0, None), 5);
    assert!(every_order(1, None) > 100);
    assert!(every_order(2, None) > 1000);
    assert!(every_order(3, None) > 100_000);
}

#[test]
fn an_unsubscribe_at_any_moment_leaves_nothing_behind() {
    assert!(every_order(2, Some(Event::Unsubscribe)) > 10_000);
}

#[test]
fn an_error_at_any_moment_leaves_nothing_behind() {
    assert!(every_order(3, Some(Event::Error)) > 1000);
}
