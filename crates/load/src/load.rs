//! A load under way: connections come, hold, publish, call and go.

use std::io;
use std::time::Duration;

use crate::crowd::{Channels, Crowd, Times, now};
use crate::fleet::{Fleet, Id, Speaks};
use crate::meter::Meter;
use crate::process::Process;
use crate::report::Figures;
use crate::target::{Carrier, Target};
use crate::wire::stamped;

/// Why a load ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The clients did not all come, or did not stay.
    #[error("{ended} of {wanted} connections ended; the first: {first}")]
    Connections {
        /// How many were wanted.
        wanted: usize,
        /// How many ended.
        ended: usize,
        /// What happened to the first of them.
        first: String,
    },
    /// A command was refused.
    #[error("{0}")]
    Refused(String),
    /// Nothing moved for a long time.
    #[error("nothing came for {seconds} s: {what}")]
    Stalled {
        /// How long.
        seconds: u64,
        /// What was waited for.
        what: String,
    },
    /// The operating system said so.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Told how far a load is, for a progress bar.
pub trait Progress {
    /// So much of so much is done in the present step.
    fn step(&mut self, what: &str, done: u64, of: u64);
}

/// Nobody looks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn step(&mut self, _: &str, _: u64, _: u64) {}
}

/// How publications are made.
#[derive(Clone, Copy, Debug)]
pub struct Publishing {
    /// Publications a second; 0 is as fast as the server takes them.
    pub rate: u64,
    /// How many in all.
    pub count: u64,
    /// Bytes of a payload.
    pub payload: usize,
    /// How many channels take turns.
    pub channels: usize,
    /// Subscribers of each channel.
    pub subscribers: u32,
}

/// When publications are due.
#[derive(Clone, Copy, Debug)]
struct Schedule {
    start: u64,
    /// Publications a second, not 0.
    rate: u64,
}

impl Schedule {
    /// The moment when the publication after so many others is due.
    fn moment(self, others: u64) -> u64 {
        self.start + (u128::from(others) * 1_000_000_000 / u128::from(self.rate)) as u64
    }

    /// How many are due by now.
    fn due(self, now: u64) -> u64 {
        (u128::from(now - self.start) * u128::from(self.rate) / 1_000_000_000) as u64 + 1
    }
}

/// Publications of a saturated run that have not reached everybody, at most: as many as a server with the default
/// queue of 1 MB holds for a reader that comes late, so that a slow load program does not lose its subscribers.
const WINDOW: u64 = 512;

/// Connections being set up at the same time: more only fills the listener's queue.
const ARRIVING: usize = 100;

/// What a load gives up after when nothing moves.
const STALL: Duration = Duration::from_secs(15);

/// A load on one server.
pub struct Load<'a> {
    target: &'a Target,
    fleet: Fleet,
    pub(crate) crowd: Crowd,
    process: Option<Process>,
    progress: &'a mut dyn Progress,
    /// What carries the messages of clients that come.
    carrier: Carrier,
    started: usize,
    next_number: u64,
}

impl std::fmt::Debug for Load<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Load")
            .field("target", &self.target)
            .field("connections", &self.fleet.len())
            .finish_non_exhaustive()
    }
}

impl<'a> Load<'a> {
    /// Without connections yet. `process` is the server's, where its use of processor and memory is wanted;
    /// `channels` tells what the client of an index subscribes to.
    ///
    /// # Errors
    ///
    /// When the system has no poll instance left.
    pub fn new(
        target: &'a Target,
        process: Option<Process>,
        progress: &'a mut dyn Progress,
        channels: Channels,
    ) -> io::Result<Self> {
        let crowd = Crowd::new(target, channels);
        let (fleet, carrier) = (Fleet::new()?, target.carrier);
        Ok(Self { target, fleet, crowd, process, progress, carrier, started: 0, next_number: 1 })
    }

    /// Clients that come from now on have a WebSocket, as those who say something need.
    pub fn over_websocket(&mut self) {
        self.carrier = Carrier::WebSocket;
    }

    /// Brings the load to `count` clients that are connected and subscribed.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when one of them ends or is refused, or nothing moves.
    pub fn ramp(&mut self, count: usize) -> Result<(), LoadError> {
        let handshake = self.target.handshake();
        let mut moved = now();
        let mut last = self.crowd.ready;
        while self.crowd.ready < count {
            while self.started < count && self.started - self.crowd.ready < ARRIVING {
                let address = self.target.endpoint.address;
                let id = if self.carrier == Carrier::WebSocket {
                    self.fleet.open(address, Speaks::WebSocket, handshake.as_bytes())?
                } else {
                    let words = self.crowd.first_words(self.started);
                    let request = self.target.stream_request(self.carrier, &words);
                    self.fleet.open(address, Speaks::Stream, &request)?
                };
                self.crowd.expect(id, self.started);
                self.started += 1;
            }
            self.fleet.turn(Duration::from_millis(100), &mut self.crowd)?;
            self.check(count)?;
            if self.crowd.ready != last {
                (last, moved) = (self.crowd.ready, now());
                self.progress.step("connecting", last as u64, count as u64);
            } else if now() - moved > STALL.as_nanos() as u64 {
                let what = format!("{last} of {count} clients are connected and subscribed");
                return Err(LoadError::Stalled { seconds: STALL.as_secs(), what });
            }
        }
        Ok(())
    }

    /// An error if a connection ended or a command was refused.
    fn check(&self, wanted: usize) -> Result<(), LoadError> {
        match &self.crowd.first_error {
            None => Ok(()),
            Some(first) if self.crowd.ended > 0 => {
                Err(LoadError::Connections { wanted, ended: self.crowd.ended, first: first.clone() })
            }
            Some(first) => Err(LoadError::Refused(first.clone())),
        }
    }

    /// Closes every connection from this side.
    pub fn leave(&mut self) {
        self.fleet.close_all();
        self.crowd.forget_all();
        self.started = 0;
    }

    /// Answers pings for a while and does nothing else.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when a connection ends.
    pub fn hold(&mut self, time: Duration) -> Result<(), LoadError> {
        let start = now();
        let whole = time.as_nanos() as u64;
        loop {
            let passed = now() - start;
            if passed >= whole {
                return Ok(());
            }
            self.progress.step("holding", passed / 1_000_000, whole / 1_000_000);
            let left = Duration::from_nanos(whole - passed).min(Duration::from_millis(200));
            self.fleet.turn(left, &mut self.crowd)?;
            self.check(self.started)?;
        }
    }

    /// Goes on until something that is counted has come to a number.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when a connection ends, or nothing comes.
    pub(crate) fn until(&mut self, count: impl Fn(&Crowd) -> u64, wanted: u64) -> Result<(), LoadError> {
        let (mut last, mut moved) = (count(&self.crowd), now());
        while last < wanted {
            self.fleet.turn(Duration::from_millis(100), &mut self.crowd)?;
            self.check(self.started)?;
            let found = count(&self.crowd);
            if found != last {
                (last, moved) = (found, now());
                self.progress.step("waiting", last, wanted);
            } else if now() - moved > STALL.as_nanos() as u64 {
                let what = format!("{last} of {wanted} have come");
                return Err(LoadError::Stalled { seconds: STALL.as_secs(), what });
            }
        }
        Ok(())
    }

    /// The server's resident memory in bytes.
    ///
    /// # Errors
    ///
    /// When it is gone, or there is no process to ask.
    pub fn resident(&self) -> io::Result<u64> {
        self.process.as_ref().map_or_else(|| Err(io::ErrorKind::NotFound.into()), Process::resident)
    }

    /// Measures a stretch in which `work` happens.
    ///
    /// # Errors
    ///
    /// Those of `work`, and when a process cannot be asked.
    pub fn measured(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<(), LoadError>,
    ) -> Result<Figures, LoadError> {
        let meter = Meter::start(self.process, self.fleet.received())?;
        work(self)?;
        Ok(meter.end(self.fleet.len(), self.fleet.received())?)
    }

    /// Publishes through the connection `publisher` and waits until every subscriber has everything.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when a connection ends, a publish is refused, or deliveries stop coming.
    pub fn publish(
        &mut self,
        publisher: Id,
        how: Publishing,
        names: &[String],
    ) -> Result<Figures, LoadError> {
        self.crowd.tracker.times = Times::new();
        let complete = self.crowd.tracker.complete;
        let wanted = complete + how.count;
        let delivered = self.crowd.tracker.deliveries;
        let errors = self.crowd.reply_errors;
        let mut figures = self.measured(|load| {
            let start = now();
            let schedule = (how.rate > 0).then_some(Schedule { start, rate: how.rate });
            let (mut sent, mut moved, mut last) = (0_u64, start, delivered);
            let mut frames = Vec::new();
            while load.crowd.tracker.complete < wanted {
                frames.clear();
                let due = match schedule {
                    Some(schedule) => schedule.due(now()),
                    None if load.fleet.is_blocked(publisher) => sent,
                    None => load.crowd.tracker.complete - complete + WINDOW,
                };
                while sent < due.min(how.count) {
                    // Lateness of this program counts as latency.
                    let at = schedule.map_or_else(now, |schedule| schedule.moment(sent));
                    load.prepare(at, how, names, &mut frames);
                    sent += 1;
                }
                load.fleet.send(publisher, &frames);
                let wait = match schedule {
                    Some(schedule) if sent < how.count => {
                        Duration::from_nanos(schedule.moment(sent).saturating_sub(now()))
                    }
                    _ => Duration::from_millis(100),
                };
                load.fleet.turn(wait, &mut load.crowd)?;
                load.check(load.started)?;
                if load.crowd.reply_errors > errors {
                    return Err(LoadError::Refused("a publish command was refused".to_owned()));
                }
                let deliveries = load.crowd.tracker.deliveries;
                if deliveries != last || sent < how.count {
                    (last, moved) = (deliveries, now());
                    load.progress.step("publishing", sent, how.count);
                } else if now() - moved > STALL.as_nanos() as u64 {
                    let what = format!(
                        "{} publications did not reach everybody",
                        wanted - load.crowd.tracker.complete
                    );
                    return Err(LoadError::Stalled { seconds: STALL.as_secs(), what });
                }
            }
            Ok(())
        })?;
        figures.publications = how.count;
        figures.deliveries = self.crowd.tracker.deliveries - delivered;
        figures.take_latency(&self.crowd.tracker.times);
        Ok(figures)
    }

    /// Appends the next publication, which counts as sent at `at`.
    fn prepare(&mut self, at: u64, how: Publishing, names: &[String], frames: &mut Vec<u8>) {
        let number = self.next_number;
        self.next_number += 1;
        let name = names.get((number % how.channels.max(1) as u64) as usize).map_or("", String::as_str);
        self.crowd.tracker.sent(number, at, how.subscribers);
        let id = u32::try_from(number & 0x3fff_ffff).unwrap_or(1) | 0x4000_0000;
        let command = self.crowd.wire().publish(id, name, &stamped(number, how.payload));
        self.crowd.wire().frame(&[&command], frames);
    }

    /// Every client calls a method again and again for a while.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when a connection ends or nothing is answered.
    pub fn call(&mut self, method: &str, payload: usize, time: Duration) -> Result<Figures, LoadError> {
        let command = self.crowd.wire().rpc(7, method, &stamped(0, payload));
        let mut frame = Vec::new();
        self.crowd.wire().frame(&[&command], &mut frame);
        self.crowd.calls = Times::new();
        let (replies, errors) = (self.crowd.replies, self.crowd.reply_errors);
        self.crowd.repeat(Some(frame.clone()));
        for id in 0..self.started {
            self.crowd.asked(id);
            self.fleet.send(id, &frame);
        }
        let mut figures = self.measured(|load| load.hold(time))?;
        figures.replies = self.crowd.replies - replies;
        figures.reply_errors = self.crowd.reply_errors - errors;
        figures.take_latency(&self.crowd.calls);
        self.crowd.repeat(None);
        if figures.replies == 0 {
            return Err(LoadError::Stalled {
                seconds: time.as_secs(),
                what: "no call was answered".to_owned(),
            });
        }
        Ok(figures)
    }

    /// The connection of the client that came last.
    #[must_use]
    pub const fn last(&self) -> Id {
        self.started.saturating_sub(1)
    }
}
