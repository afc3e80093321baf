//! The gate between a channel and a subscriber.

use std::ops::RangeInclusive;
use std::sync::Arc;

use tourbillon_types::{Publication, StreamPosition};

use crate::position::{Lost, Step, leap, step};

/// What stands between a channel's publications and one subscriber.
///
/// It begins *buffering*: what arrives while the history is read and the reply is on its way collects behind it. When
/// the reply is queued it [opens](Self::open) and gives what is due after it; from then on it is *live*, and says of
/// each publication whether the subscriber gets it. Reading the history only after the gate is in place is what makes
/// sure that a publication is in the page, behind the gate, or both; positions tell which.
///
/// A subscriber without position gets everything in the order of arrival.
#[derive(Debug)]
pub struct Gate(State);

#[derive(Debug)]
enum State {
    Buffering(Box<Buffer>),
    /// Live, without a position.
    Untracked,
    /// Live; all up to this place was delivered.
    Tracked(StreamPosition),
}

#[derive(Debug)]
struct Buffer {
    held: Vec<Held>,
    limit: usize,
}

#[derive(Debug)]
struct Held {
    publication: Arc<Publication>,
    hidden: bool,
}

/// What becomes of a publication at the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Offer {
    /// The subscriber gets it now.
    Deliver,
    /// The subscriber does not get it: it has it already, or a filter hides it.
    Skip,
    /// It waits behind the gate.
    Held,
    /// The gate holds as many as it may: the subscription cannot be established.
    Full,
    /// Publications are missing: the subscription ends (see [`Lost::ending`]).
    Lost(Lost),
}

/// What a gate gave when it opened.
#[derive(Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Opened {
    /// What the subscriber gets now, in order, before anything else.
    pub publications: Vec<Arc<Publication>>,
    /// Publications were missing among what was held: after `publications` the subscription ends.
    pub lost: Option<Lost>,
}

impl Gate {
    /// A gate that holds up to `limit` publications back.
    #[must_use]
    pub fn buffering(limit: usize) -> Self {
        Self(State::Buffering(Box::new(Buffer { held: Vec::new(), limit })))
    }

    /// Whether it holds publications back.
    #[must_use]
    pub const fn is_buffering(&self) -> bool {
        matches!(self.0, State::Buffering(_))
    }

    /// Where the subscriber stands; `None` while buffering and for subscribers without position.
    #[must_use]
    pub const fn position(&self) -> Option<&StreamPosition> {
        match &self.0 {
            State::Tracked(position) => Some(position),
            State::Buffering(_) | State::Untracked => None,
        }
    }

    /// Takes note of a publication. One that is `hidden` by a filter moves the position like any other (HID-33).
    ///
    /// Allocates nothing when live. Once something was lost, the answer to what follows is the same.
    pub fn offer(&mut self, publication: &Arc<Publication>, hidden: bool) -> Offer {
        match &mut self.0 {
            State::Buffering(buffer) if buffer.held.len() >= buffer.limit => Offer::Full,
            State::Buffering(buffer) => {
                buffer.held.push(Held { publication: publication.clone(), hidden });
                Offer::Held
            }
            State::Untracked if hidden => Offer::Skip,
            State::Untracked => Offer::Deliver,
            State::Tracked(position) => match step(position, publication.offset, &publication.epoch) {
                Step::Next if hidden => Offer::Skip,
                Step::Next => Offer::Deliver,
                Step::Known => Offer::Skip,
                Step::Lost(lost) => Offer::Lost(lost),
            },
        }
    }

    /// Takes note of publications that follow each other, with these offsets, of which only the `newest` is sent. Those
    /// that it stands for move the position, as hidden ones do.
    ///
    /// For a gate that is live: behind one that is not, each publication [waits](Self::offer) by itself.
    pub fn offer_newest(&mut self, offsets: RangeInclusive<u64>, newest: &Arc<Publication>) -> Offer {
        let State::Tracked(position) = &mut self.0 else { return self.offer(newest, false) };
        match leap(position, offsets, &newest.epoch) {
            Step::Next => Offer::Deliver,
            Step::Known => Offer::Skip,
            Step::Lost(lost) => Offer::Lost(lost),
        }
    }

    /// Opens the gate of a subscriber that stands at `position` after its reply, or of one without position. A gate
    /// that is open already stays as it is.
    pub fn open(&mut self, position: Option<StreamPosition>) -> Opened {
        if !self.is_buffering() {
            return Opened::default();
        }
        let open = position.map_or(State::Untracked, State::Tracked);
        let State::Buffering(buffer) = std::mem::replace(&mut self.0, open) else {
            return Opened::default();
        };
        let mut held = buffer.held;
        let State::Tracked(position) = &mut self.0 else {
            let shown = held.into_iter().filter(|held| !held.hidden);
            return Opened { publications: shown.map(|held| held.publication).collect(), lost: None };
        };
        in_order(&mut held);
        let mut opened = Opened::default();
        for Held { publication, hidden } in held {
            match step(position, publication.offset, &publication.epoch) {
                Step::Next if hidden => {}
                Step::Next => opened.publications.push(publication),
                Step::Known => {}
                Step::Lost(lost) => {
                    opened.lost = Some(lost);
                    break;
                }
            }
        }
        opened
    }

    /// Takes what follows `position` from behind the gate, for the reply, and moves the position over it. What is
    /// outside the stream stays, as do later publications to come. Nothing when the gate is open.
    pub(crate) fn take_following(
        &mut self,
        position: &mut StreamPosition,
        mut each: impl FnMut(Arc<Publication>),
    ) -> Result<(), Lost> {
        let State::Buffering(buffer) = &mut self.0 else { return Ok(()) };
        in_order(&mut buffer.held);
        let mut lost = None;
        buffer.held.retain(|Held { publication, hidden }| {
            if publication.offset == 0 || lost.is_some() {
                return true;
            }
            match step(position, publication.offset, &publication.epoch) {
                Step::Next if *hidden => {}
                Step::Next => each(publication.clone()),
                Step::Known => {}
                Step::Lost(reason) => lost = Some(reason),
            }
            false
        });
        lost.map_or(Ok(()), Err)
    }
}

/// Orders what a broker delivered out of order. Publications outside the stream keep to the front.
fn in_order(held: &mut [Held]) {
    if !held.is_sorted_by_key(|held| held.publication.offset) {
        held.sort_by_key(|held| held.publication.offset);
    }
}
