//! A queue from which messages may be taken off unwritten: what goes, what stays, and in which order.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]

use proptest::prelude::*;
use tourbillon_transport::{Lane, Message, MessageQueue, Run};

/// What is done to a queue.
#[derive(Clone, Debug)]
enum Act {
    Push { length: usize, lane: Option<(u32, bool)> },
    Run { lengths: Vec<usize> },
    Pop,
    Make(usize),
    Remove(u32),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let lane = prop::option::weighted(0.7, (1..4_u32, any::<bool>()));
    let act = prop_oneof![
        6 => (0..20_usize, lane).prop_map(|(length, lane)| Act::Push { length, lane }),
        1 => prop::collection::vec(0..20_usize, 1..4).prop_map(|lengths| Act::Run { lengths }),
        2 => Just(Act::Pop),
        2 => (0..60_usize).prop_map(Act::Make),
        1 => (1..4_u32).prop_map(Act::Remove),
    ];
    prop::collection::vec(act, 0..60)
}

/// Number, and whether its messages may be dropped.
type ItsLane = Option<(u32, bool)>;

/// The same, slowly.
#[derive(Default)]
struct Model {
    waiting: Vec<(Vec<u8>, ItsLane)>,
}

impl Model {
    fn make_room(&mut self, bytes: usize) -> bool {
        let drops = |lane: ItsLane| lane.is_some_and(|(_, droppable)| droppable);
        let all: usize =
            self.waiting.iter().filter(|(_, lane)| drops(*lane)).map(|(body, _)| body.len()).sum();
        if all < bytes {
            return false;
        }
        let mut gone = 0;
        self.waiting.retain(|(body, lane)| {
            let stays = !drops(*lane) || gone >= bytes;
            gone += if stays { 0 } else { body.len() };
            stays
        });
        true
    }
}

proptest! {
    #[test]
    fn what_is_documented_to_go_goes_and_nothing_else(acts in acts()) {
        let mut queue = MessageQueue::new();
        let mut model = Model::default();
        let mut number = 0_u8;
        let mut body = |length: usize| {
            number = number.wrapping_add(1);
            vec![number; length]
        };
        for act in acts {
            match act {
                Act::Push { length, lane } => {
                    let body = body(length);
                    model.waiting.push((body.clone(), lane));
                    match lane {
                        Some((number, droppable)) => queue.push_in(Message::new(body), Lane::new(number, droppable)),
                        None => queue.push(Message::new(body)),
                    }
                }
                Act::Run { lengths } => {
                    let mut bodies: Vec<Vec<u8>> = lengths.into_iter().map(&mut body).collect();
                    model.waiting.extend(bodies.iter().map(|body| (body.clone(), None)));
                    let run = Run::new(Message::new(bodies.remove(0)));
                    for body in bodies {
                        run.append(Message::new(body)).expect("short");
                    }
                    queue.push_run(run);
                }
                Act::Pop => {
                    let expected = (!model.waiting.is_empty()).then(|| model.waiting.remove(0).0);
                    prop_assert_eq!(queue.pop().map(|message| message.as_bytes().to_vec()), expected);
                }
                Act::Make(bytes) => {
                    let made = model.make_room(bytes);
                    prop_assert_eq!(queue.drop_oldest(bytes), made);
                }
                Act::Remove(number) => {
                    model.waiting.retain(|(_, lane)| lane.is_none_or(|(its, _)| its != number));
                    queue.remove_lane(Lane::new(number, false));
                }
            }
            let bytes: usize = model.waiting.iter().map(|(body, _)| body.len()).sum();
            prop_assert_eq!(queue.bytes(), bytes);
            prop_assert_eq!(queue.is_empty(), model.waiting.is_empty());
            let waiting: Vec<&[u8]> = queue.iter().map(Message::as_bytes).collect();
            let expected: Vec<&[u8]> = model.waiting.iter().map(|(body, _)| body.as_slice()).collect();
            prop_assert_eq!(waiting, expected);
        }
    }
}
