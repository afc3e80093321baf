//! Where a subscriber stands in a stream, and what moves it.

use std::ops::RangeInclusive;
use std::time::Duration;

use tourbillon_types::{Disconnect, Epoch, Instant, Publication, StreamPosition, Unsubscribe};

/// Why a subscriber cannot go on from its position. The way out is always to subscribe again and recover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Lost {
    /// Publications are missing before the one that arrived, or the stream's top is not reached.
    #[error("publications are missing after offset {after}")]
    Gap {
        /// The last offset that the subscriber has.
        after: u64,
    },
    /// The stream has begun anew.
    #[error("the stream has another epoch")]
    Epoch,
    /// The stream stands before the subscriber: its newest publications are gone, and their offsets will be given
    /// to others.
    #[error("the stream went back")]
    Rollback,
    /// Publications arrive too late (REC-10).
    #[error("publications arrive too late")]
    Lag,
    /// The broker says that events may have been lost.
    #[error("the broker may have lost publications")]
    Broker,
}

/// What ends when a position is lost (HID-31).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The subscription: the client asked for it, and asks again.
    Subscription(Unsubscribe),
    /// The connection: the server subscribed it, and does so when it connects again.
    Connection(Disconnect),
}

impl Lost {
    /// What ends: for a subscription that the client asked for 2500, for one of the server's 3010 (HID-31).
    #[must_use]
    pub const fn ending(self, server_side: bool) -> Ending {
        if server_side {
            Ending::Connection(Disconnect::INSUFFICIENT_STATE)
        } else {
            Ending::Subscription(Unsubscribe::INSUFFICIENT_STATE)
        }
    }
}

/// What becomes of a publication at a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// It is the next one, and the position has moved to it.
    Next,
    /// The subscriber has it already.
    Known,
    /// It cannot follow.
    Lost(Lost),
}

/// The rules of live publications (REC-08). Allocates nothing.
///
/// The next offset of the same epoch moves the position; lower offsets are known already; anything else has lost
/// the position, which then stays as it is. A position without an epoch takes the first one it sees (HID-10).
/// Publications without an offset are outside the stream: they go to everybody and move nothing.
///
/// ```
/// use tourbillon_recovery::{Lost, Step, step};
/// use tourbillon_types::{Epoch, StreamPosition};
///
/// let epoch = Epoch::from("abcdefgh");
/// let mut position = StreamPosition::default();
/// assert_eq!(step(&mut position, 1, &epoch), Step::Next);
/// assert_eq!(step(&mut position, 1, &epoch), Step::Known);
/// assert_eq!(step(&mut position, 3, &epoch), Step::Lost(Lost::Gap { after: 1 }));
/// ```
pub fn step(position: &mut StreamPosition, offset: u64, epoch: &Epoch) -> Step {
    if offset == 0 {
        return Step::Next;
    }
    let adopts = position.epoch.is_unknown();
    if !adopts && position.epoch != *epoch {
        return Step::Lost(Lost::Epoch);
    }
    match offset.checked_sub(position.offset) {
        Some(1) => {
            position.offset = offset;
            if adopts {
                position.epoch = epoch.clone();
            }
            Step::Next
        }
        Some(0) | None => Step::Known,
        Some(_) => Step::Lost(Lost::Gap { after: position.offset }),
    }
}

/// [`step`] over publications that follow each other from offset `first` to `last`, of which only the last is sent
/// (`batch_flush_latest`). A position among them, or just before them, moves to the last; one at it or behind it stays.
///
/// ```
/// use tourbillon_recovery::{Lost, Step, leap};
/// use tourbillon_types::{Epoch, StreamPosition};
///
/// let epoch = Epoch::from("abcdefgh");
/// let mut position = StreamPosition::default();
/// assert_eq!(leap(&mut position, 1..=4, &epoch), Step::Next);
/// assert_eq!(leap(&mut position, 3..=5, &epoch), Step::Next);
/// assert_eq!(leap(&mut position, 2..=5, &epoch), Step::Known);
/// assert_eq!(leap(&mut position, 7..=9, &epoch), Step::Lost(Lost::Gap { after: 5 }));
/// ```
pub fn leap(position: &mut StreamPosition, offsets: RangeInclusive<u64>, epoch: &Epoch) -> Step {
    let last = *offsets.end();
    let same_epoch = position.epoch.is_unknown() || position.epoch == *epoch;
    if let Some(before) = offsets.start().checked_sub(1)
        && same_epoch
        && (before..last).contains(&position.offset)
    {
        position.offset = last - 1;
    }
    step(position, last, epoch)
}

/// Whether a publication took longer to arrive than allowed (REC-10). Publications without a time never did, and
/// those from clocks that run ahead neither. Once for each broadcast, not for each subscriber.
#[must_use]
pub fn is_late(publication: &Publication, unix_millis: i64, max_lag: Duration) -> bool {
    let lag = unix_millis.saturating_sub(publication.time);
    publication.time > 0 && u64::try_from(lag).is_ok_and(|lag| Duration::from_millis(lag) > max_lag)
}

/// The periodic comparison with the broker (REC-09): the safety net under [`step`], for what was lost at the end of
/// a stream, where no later publication shows it.
///
/// [`ask`](Self::ask) comes before the broker is asked for the stream's position, [`judge`](Self::judge) after. As
/// the position moves meanwhile, being behind once proves nothing: what is missing may be on its way. Who has not
/// reached by the second answer where the stream stood at the first one has lost something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PositionCheck {
    /// Where the position was when the broker was asked.
    asked: u64,
    /// Where the stream stood when the position was behind; 0 if it was not.
    ahead: u64,
    due: Instant,
}

/// What a [`PositionCheck`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Judgement {
    /// Nothing is missing.
    Valid,
    /// Publications may be on their way: ask again soon.
    Behind,
    /// The position is lost.
    Lost(Lost),
}

impl PositionCheck {
    /// A check that is due first at `due`.
    #[must_use]
    pub const fn new(due: Instant) -> Self {
        Self { asked: 0, ahead: 0, due }
    }

    /// Whether it is time to ask the broker.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        self.due <= now
    }

    /// Notes the position before the broker is asked. A stream that is found to stand before it went back.
    pub const fn ask(&mut self, position: &StreamPosition) {
        self.asked = position.offset;
    }

    /// Compares the present position with the stream's, as the broker told it. The next check is due after `delay`
    /// (`client.channel_position_check_delay`, 40 s) if all is well, and at once if it is behind.
    pub fn judge(
        &mut self,
        now: Instant,
        delay: Duration,
        position: &StreamPosition,
        top: &StreamPosition,
    ) -> Judgement {
        let unknown = position.epoch.is_unknown() && position.offset == 0;
        if !unknown && position.epoch != top.epoch {
            return Judgement::Lost(Lost::Epoch);
        }
        if top.offset < self.asked {
            return Judgement::Lost(Lost::Rollback);
        }
        if position.offset < self.ahead {
            return Judgement::Lost(Lost::Gap { after: position.offset });
        }
        if position.offset < top.offset {
            self.ahead = top.offset;
            self.due = now;
            return Judgement::Behind;
        }
        self.ahead = 0;
        self.due = now + delay;
        Judgement::Valid
    }
}
