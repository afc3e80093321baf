//! Logs and subscribers against the reference, under random events.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tourbillon_recovery::{HistoryQuery, Judgement, Page, StreamLog};
use tourbillon_types::{Epoch, Instant, Payload, Publication, StreamPosition};

use crate::reference::Reference;
use crate::rig::{META_TTL, offsets, policy};
use crate::subscriber::{End, Subscriber, epoch};

const SUBSCRIBERS: usize = 2;
/// Small, so that too much to recover is frequent.
const LIMIT: usize = 4;

#[derive(Clone, Debug)]
enum Event {
    Publish {
        size: usize,
    },
    Read(HistoryQuery, Since),
    Clear,
    Pass(Duration),
    Restart,
    Connect(usize),
    Disconnect(usize),
    /// The next step of a subscribe: the history is read, the answer arrives, the reply is queued.
    Step(usize),
    Deliver {
        to: usize,
        place: usize,
        times: usize,
    },
    /// The broker is asked where the stream stands, or has answered.
    Check(usize),
}

#[derive(Clone, Copy, Debug)]
enum Since {
    None,
    Present(u64),
    Another(u64),
    Unknown(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let to = 0..SUBSCRIBERS;
    let offset = || prop_oneof![0u64..12, Just(u64::MAX)];
    let since = prop_oneof![
        Just(Since::None),
        offset().prop_map(Since::Present),
        offset().prop_map(Since::Another),
        offset().prop_map(Since::Unknown),
    ];
    let limit = prop_oneof![Just(None), (0usize..6).prop_map(Some)];
    let query =
        (limit, any::<bool>()).prop_map(|(limit, reverse)| HistoryQuery { since: None, limit, reverse });
    // Mostly on time, sometimes out of order, lost or twice.
    let place = prop_oneof![12 => Just(0usize), 1 => 1usize..3];
    let times = prop_oneof![12 => Just(1usize), 1 => Just(0usize), 1 => Just(2usize)];
    prop_oneof![
        8 => (1usize..6).prop_map(|size| Event::Publish { size }),
        3 => (query, since).prop_map(|(query, since)| Event::Read(query, since)),
        1 => Just(Event::Clear),
        2 => prop_oneof![5 => 0u64..50, 1 => 50u64..200, 1 => 3500u64..3700]
            .prop_map(|seconds| Event::Pass(Duration::from_secs(seconds))),
        1 => Just(Event::Restart),
        3 => to.clone().prop_map(Event::Connect),
        1 => to.clone().prop_map(Event::Disconnect),
        10 => to.clone().prop_map(Event::Step),
        16 => (to.clone(), place, times).prop_map(|(to, place, times)| Event::Deliver { to, place, times }),
        2 => to.prop_map(Event::Check),
    ]
}

/// One client over all its subscriptions.
#[derive(Default)]
struct Seat {
    subscriber: Option<Subscriber>,
    query: Option<HistoryQuery>,
    page: Option<(Page, bool)>,
    answered: bool,
    /// What is on its way to it.
    queue: VecDeque<Arc<Publication>>,
    /// Where the client stopped, if it has ever been subscribed.
    seen: Option<StreamPosition>,
    checking: Option<StreamPosition>,
    /// Whether something happened by which a position may get lost.
    disturbed: bool,
}

struct World {
    now: Instant,
    log: StreamLog,
    reference: Reference,
    published: u64,
    seats: [Seat; SUBSCRIBERS],
}

impl World {
    fn new() -> Self {
        let now = Instant::ZERO;
        Self {
            now,
            log: StreamLog::new(epoch(0), now, META_TTL),
            reference: Reference::new(now, META_TTL),
            published: 0,
            seats: Default::default(),
        }
    }

    fn new_epoch(&mut self) {
        self.log = StreamLog::new(epoch(self.reference.epoch()), self.now, META_TTL);
        for seat in &mut self.seats {
            seat.disturbed = true;
        }
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Publish { size } => self.publish(*size),
            Event::Read(query, since) => self.read(query, *since),
            Event::Clear => {
                self.log.clear();
                self.reference.clear();
            }
            Event::Pass(duration) => {
                self.now += *duration;
                let expired = self.log.is_expired(self.now);
                assert_eq!(self.reference.pass(self.now, META_TTL), expired);
                if expired {
                    self.new_epoch();
                }
            }
            Event::Restart => {
                self.reference.restart(self.now, META_TTL);
                self.new_epoch();
            }
            Event::Connect(seat) => {
                let seat = &mut self.seats[*seat];
                seat.leave(&self.reference);
                seat.subscribe();
            }
            Event::Disconnect(seat) => self.seats[*seat].leave(&self.reference),
            Event::Step(seat) => self.step(*seat),
            Event::Deliver { to, place, times } => self.deliver(*to, *place, *times),
            Event::Check(seat) => self.check(*seat),
        }
        assert_eq!(self.log.position(), self.reference.position());
    }

    fn publish(&mut self, size: usize) {
        let policy = policy(size);
        self.published += 1;
        let data = Payload::from(self.published.to_le_bytes().to_vec());
        let publication = Publication { data, ..Publication::default() };
        let appended = self.log.append(self.now, &policy, publication);
        self.reference.publish(self.now, &policy, self.published);
        for seat in &mut self.seats {
            seat.queue.push_back(appended.clone());
        }
    }

    fn read(&mut self, query: &HistoryQuery, since: Since) {
        let position = |offset, epoch| Some(StreamPosition { offset, epoch });
        let since = match since {
            Since::None => None,
            Since::Present(offset) => position(offset, epoch(self.reference.epoch())),
            Since::Another(offset) => position(offset, epoch(self.reference.epoch() + 1)),
            Since::Unknown(offset) => position(offset, Epoch::UNKNOWN),
        };
        let query = HistoryQuery { since, ..query.clone() };
        let page = self.log.read(self.now, &query, META_TTL);
        assert_eq!(offsets(&page.publications), self.reference.read(self.now, &query, META_TTL));
    }

    fn step(&mut self, seat: usize) {
        let seat = &mut self.seats[seat];
        let Some(subscriber) = &mut seat.subscriber else { return };
        if let Some(query) = seat.query.take() {
            let recovers = query.since.as_ref().is_some_and(|since| self.reference.recovers(since, LIMIT));
            self.reference.read(self.now, &query, META_TTL);
            seat.page = Some((self.log.read(self.now, &query, META_TTL), recovers));
        } else if let Some((page, _)) = seat.page.clone().filter(|_| !seat.answered) {
            subscriber.answer(page);
            seat.answered = true;
        } else if let Some((page, recovers)) = seat.page.take() {
            subscriber.reply();
            if subscriber.ended().is_none() {
                let client = subscriber.client();
                assert_eq!(client.recovered, recovers, "recovered when it can be, and only then");
                assert!(client.position.offset >= page.position.offset, "all that was read");
            }
        }
    }

    fn deliver(&mut self, to: usize, place: usize, times: usize) {
        let seat = &mut self.seats[to];
        let place = place.min(seat.queue.len().saturating_sub(1));
        let Some(publication) = seat.queue.remove(place) else { return };
        seat.disturbed |= place > 0 || times == 0 || publication.epoch != self.log.position().epoch;
        let Some(subscriber) = &mut seat.subscriber else { return };
        for _ in 0..times {
            subscriber.deliver(&publication);
        }
    }

    fn check(&mut self, seat: usize) {
        let seat = &mut self.seats[seat];
        let Some(subscriber) = &mut seat.subscriber else { return };
        match seat.checking.take() {
            None => {
                subscriber.ask_position();
                seat.checking = Some(self.log.position());
            }
            Some(top) => {
                // What is on its way for longer than from one check to the next counts as lost.
                seat.disturbed |= !seat.queue.is_empty() || top.epoch != self.log.position().epoch;
                let _ = subscriber.judge(self.now, &top);
            }
        }
    }

    /// Whoever is still subscribed either has everything, or finds out.
    fn finish(mut self) {
        let top = self.log.position();
        for seat in &mut self.seats {
            let Some(subscriber) = &mut seat.subscriber else { continue };
            for _ in 0..2 {
                subscriber.ask_position();
                if subscriber.judge(self.now, &top) == Some(Judgement::Behind) {
                    seat.disturbed = true;
                }
            }
            if subscriber.ended().is_none() && subscriber.client().replied {
                assert_eq!(subscriber.client().position, top, "a silent gap");
            }
            seat.leave(&self.reference);
        }
    }
}

impl Seat {
    fn subscribe(&mut self) {
        let ask = Subscriber::ask(self.seen.clone());
        let (subscriber, query) = Subscriber::subscribe(ask, LIMIT, 1000);
        *self = Self {
            subscriber: Some(subscriber),
            query: Some(query),
            queue: std::mem::take(&mut self.queue),
            seen: self.seen.take(),
            ..Self::default()
        };
    }

    /// Ends the subscription, and holds what the client got against what was published.
    fn leave(&mut self, reference: &Reference) {
        let Some(subscriber) = self.subscriber.take() else { return };
        if let Some(end @ (End::Lost(_) | End::Refused(_))) = subscriber.ended() {
            assert!(self.disturbed, "lost without a reason: {end:?}");
        }
        let client = subscriber.client();
        for publication in &client.received {
            let data = publication.data.as_ref().try_into().map(u64::from_le_bytes).expect("a number");
            let expected = reference.data(publication.epoch.as_str(), publication.offset);
            assert_eq!(Some(data), expected, "another publication than was published");
        }
        if client.replied {
            self.seen = Some(client.position.clone());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn random_events_end_as_the_reference_says(events in prop::collection::vec(event(), 1..120)) {
        let mut world = World::new();
        for event in &events {
            world.happen(event);
        }
        world.finish();
    }
}
