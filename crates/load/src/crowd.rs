//! The clients of a load: what they ask for when they come, and what is counted of what they get.

use std::rc::Rc;
use std::time::Duration;

use hdrhistogram::Histogram;
use nix::time::{ClockId, clock_gettime};
use tourbillon_types::Encoding;

use crate::fleet::{Ended, Handler, Id};
use crate::target::Target;
use crate::wire::{Seen, Wire};

/// Nanoseconds of the monotonic clock.
#[must_use]
pub(crate) fn now() -> u64 {
    // The monotonic clock of Linux cannot fail.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| {
        let time = Duration::from(time);
        u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
    })
}

/// Nanoseconds up to two minutes with three digits.
#[derive(Clone, Debug)]
pub(crate) struct Times(Option<Histogram<u64>>);

impl Times {
    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_bounds(1, 120_000_000_000, 3).ok())
    }

    pub(crate) fn record(&mut self, nanos: u64) {
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(nanos.max(1));
        }
    }

    /// The value below which this share of all is, in nanoseconds; 0 when there are none.
    pub(crate) fn at(&self, quantile: f64) -> u64 {
        self.0.as_ref().map_or(0, |histogram| histogram.value_at_quantile(quantile))
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, Histogram::len)
    }
}

/// Publications under way: when each was sent and how many subscribers it has not reached.
#[derive(Debug)]
pub(crate) struct Tracker {
    slots: Vec<Slot>,
    /// From sending to the last subscriber.
    pub(crate) times: Times,
    /// Deliveries so far.
    pub(crate) deliveries: u64,
    /// Publications that reached every subscriber.
    pub(crate) complete: u64,
    /// Deliveries of a publication that had reached everybody already, or that was not sent.
    pub(crate) surplus: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    number: u64,
    sent: u64,
    left: u32,
}

impl Tracker {
    const SLOTS: usize = 1 << 16;

    fn new() -> Self {
        Self {
            slots: vec![Slot::default(); Self::SLOTS],
            times: Times::new(),
            deliveries: 0,
            complete: 0,
            surplus: 0,
        }
    }

    fn slot(&mut self, number: u64) -> Option<&mut Slot> {
        let at = usize::try_from(number).ok()? & (Self::SLOTS - 1);
        self.slots.get_mut(at)
    }

    /// A publication is sent at `sent` to so many subscribers. Numbers count up from 1.
    pub(crate) fn sent(&mut self, number: u64, sent: u64, subscribers: u32) {
        if let Some(slot) = self.slot(number) {
            *slot = Slot { number, sent, left: subscribers };
        }
    }

    fn delivered(&mut self, number: u64, now: u64) {
        self.deliveries += 1;
        let Some(slot) = self.slot(number) else { return };
        if slot.number != number || slot.left == 0 {
            self.surplus += 1;
            return;
        }
        slot.left -= 1;
        if slot.left == 0 {
            let taken = now.saturating_sub(slot.sent);
            self.times.record(taken);
            self.complete += 1;
        }
    }
}

/// How far a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The connect command is on its way.
    Connecting,
    /// So many subscribe commands are unanswered.
    Subscribing(u32),
    Ready,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    /// The how manieth client this is.
    index: usize,
    phase: Phase,
    /// When it began, and later when its last command went out.
    since: u64,
}

/// What a subscribe command asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    Nothing,
    /// What it missed.
    Missed,
    Deltas,
    /// What has a tag `to` with the client's index.
    Own,
}

/// Which channels a client subscribes to when it comes, by its index.
pub(crate) type Channels = Box<dyn Fn(usize) -> Vec<String>>;

/// All clients of a load.
pub(crate) struct Crowd {
    wire: Rc<Wire>,
    target: Target,
    channels: Channels,
    /// What subscribe commands ask for besides the channel.
    pub(crate) asks: Asks,
    /// Publications that came while that is what was missed.
    pub(crate) recovered: u64,
    /// Sent again after every reply, when there is one: a call, framed.
    again: Option<Vec<u8>>,
    pong: Vec<u8>,
    members: Vec<Option<Member>>,
    /// Messages that are neither replies nor pings nor publications with a number.
    pub(crate) others: u64,
    pub(crate) ready: usize,
    pub(crate) ended: usize,
    /// The first thing that went wrong.
    pub(crate) first_error: Option<String>,
    pub(crate) tracker: Tracker,
    /// Replies since the clients were ready, and those of them that are errors.
    pub(crate) replies: u64,
    pub(crate) reply_errors: u64,
    /// From a command to its reply, where commands follow replies.
    pub(crate) calls: Times,
    /// From the start of a connection to its last subscribe reply.
    pub(crate) arrivals: Times,
    now: u64,
}

impl Crowd {
    pub(crate) fn new(target: &Target, channels: Channels) -> Self {
        let wire = Rc::new(Wire::new(target.encoding));
        let mut pong = Vec::new();
        wire.frame(&[&wire.pong()], &mut pong);
        Self {
            wire,
            target: target.clone(),
            channels,
            asks: Asks::Nothing,
            recovered: 0,
            again: None,
            pong,
            members: Vec::new(),
            others: 0,
            ready: 0,
            ended: 0,
            first_error: None,
            tracker: Tracker::new(),
            replies: 0,
            reply_errors: 0,
            calls: Times::new(),
            arrivals: Times::new(),
            now: now(),
        }
    }

    pub(crate) fn wire(&self) -> &Wire {
        &self.wire
    }

    /// A connection with this number is being opened for a client.
    pub(crate) fn expect(&mut self, id: Id, index: usize) {
        if self.members.len() <= id {
            self.members.resize(id + 1, None);
        }
        if let Some(slot) = self.members.get_mut(id) {
            *slot = Some(Member { index, phase: Phase::Connecting, since: now() });
        }
    }

    /// All connections were closed from this side.
    pub(crate) fn forget_all(&mut self) {
        self.members.clear();
        self.ready = 0;
    }

    /// From now on every reply is followed by this frame.
    pub(crate) fn repeat(&mut self, frame: Option<Vec<u8>>) {
        self.again = frame;
    }

    /// A command goes out on a connection now.
    pub(crate) fn asked(&mut self, id: Id) {
        let now = now();
        if let Some(Some(member)) = self.members.get_mut(id) {
            member.since = now;
        }
    }

    /// All that the client of an index says when it comes, as one body.
    pub(crate) fn first_words(&self, index: usize) -> Vec<u8> {
        let channels = (self.channels)(index);
        let asked = subscribes(&self.wire, self.asks, index, &channels);
        let connect = std::iter::once(self.wire.connect(1, self.target.token(index)));
        let commands: Vec<Vec<u8>> = connect.chain(asked).collect();
        match self.target.encoding {
            Encoding::Json => commands.join(&b'\n'),
            Encoding::Protobuf => commands.concat(),
        }
    }

    fn fail(&mut self, text: String) {
        self.first_error.get_or_insert(text);
    }

    fn reply(&mut self, id: Id, error: Option<u32>, out: &mut Vec<u8>) {
        let Some(Some(member)) = self.members.get_mut(id) else { return };
        let mut failed = None;
        match member.phase {
            Phase::Connecting => {
                if let Some(code) = error {
                    failed = Some(format!("a connect command was refused with error {code}"));
                }
                let channels = (self.channels)(member.index);
                let commands = subscribes(&self.wire, self.asks, member.index, &channels);
                // Over a stream they went out with the first command, and these go nowhere.
                if commands.is_empty() {
                    member.phase = Phase::Ready;
                } else {
                    member.phase = Phase::Subscribing(u32::try_from(commands.len()).unwrap_or(u32::MAX));
                    let parts: Vec<&[u8]> = commands.iter().map(Vec::as_slice).collect();
                    self.wire.frame(&parts, out);
                }
            }
            Phase::Subscribing(left) => {
                if let Some(code) = error {
                    failed = Some(format!("a subscribe command was refused with error {code}"));
                }
                member.phase = if left <= 1 { Phase::Ready } else { Phase::Subscribing(left - 1) };
            }
            Phase::Ready => {
                self.replies += 1;
                self.reply_errors += u64::from(error.is_some());
                if let Some(again) = &self.again {
                    self.calls.record(self.now.saturating_sub(member.since));
                    member.since = self.now;
                    out.extend_from_slice(again);
                }
                return;
            }
        }
        if member.phase == Phase::Ready {
            let taken = self.now.saturating_sub(member.since);
            self.arrivals.record(taken);
            self.ready += 1;
        }
        if let Some(text) = failed {
            self.fail(text);
        }
    }
}

/// The commands that subscribe the client of an index.
fn subscribes(wire: &Wire, asks: Asks, index: usize, channels: &[String]) -> Vec<Vec<u8>> {
    let one = |(channel, number): (&String, u32)| match asks {
        Asks::Nothing => wire.subscribe(number, channel),
        Asks::Missed => wire.recover(number, channel),
        Asks::Deltas => wire.subscribe_with_deltas(number, channel),
        Asks::Own => wire.subscribe_filtered(number, channel, "to", &index.to_string()),
    };
    channels.iter().zip(2..).map(one).collect()
}

impl Handler for Crowd {
    fn read(&mut self) {
        self.now = now();
    }

    fn opened(&mut self, id: Id, out: &mut Vec<u8>) {
        let index = self.members.get(id).and_then(|member| member.as_ref()).map_or(0, |member| member.index);
        let command = self.wire.connect(1, self.target.token(index));
        self.wire.frame(&[&command], out);
    }

    fn message(&mut self, id: Id, message: &[u8], out: &mut Vec<u8>) {
        let wire = self.wire.clone();
        if self.asks == Asks::Missed {
            self.recovered += wire.stamps(message);
        }
        wire.each(message, |seen| match seen {
            Seen::Publication(number) => self.tracker.delivered(number, self.now),
            Seen::Reply { error, .. } => self.reply(id, error, out),
            Seen::Ping => out.extend_from_slice(&self.pong),
            Seen::Other => self.others += 1,
        });
    }

    fn ended(&mut self, id: Id, why: Ended) {
        if let Some(Some(member)) = self.members.get_mut(id).map(Option::take) {
            self.ended += 1;
            self.ready -= usize::from(member.phase == Phase::Ready);
        }
        self.fail(why.to_string());
    }
}
