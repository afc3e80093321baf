//! The polled channels of a node, and which of them is due next.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tourbillon_types::{Channel, Epoch, Instant, Now};

use crate::keys::Sink;
use crate::polled::{Ask, Detached, Polled, Ticket, Track, TrackError, Tracked, Wants};
use crate::{Applied, BackendError, PollRules, Published, Refreshed, Update};

/// The polled channels of a node. Each is held while it is worked on, so that all that is sent of it is in one order.
///
/// One task asks the application: it takes questions by [`next`](Self::next) for as long as there are any, waits until
/// [`due`](Self::due) or until it is woken because something is due earlier, and gives back
/// [`answers`](Self::answer).
pub struct Polls<S> {
    channels: Mutex<Channels<S>>,
    /// How many there are: looked at for every subscription that ends, whatever its channel.
    count: AtomicUsize,
    /// Into how many of them values are published: looked at for every publication, whatever its channel.
    direct: AtomicUsize,
    schedule: Mutex<BTreeSet<(Instant, Channel)>>,
    wake: Box<dyn Fn() + Send + Sync>,
}

type Channels<S> = HashMap<Channel, Arc<Mutex<Kept<S>>>, RandomState>;

struct Kept<S> {
    polled: Polled<S>,
    /// When it is due, as the schedule has it.
    scheduled: Instant,
    /// It is off the map: whoever still finds it looks again.
    over: bool,
}

impl<S: Clone> Polls<S> {
    /// No channels. `wake` is called when something is due earlier than it was; it must not block.
    #[must_use]
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            channels: Mutex::new(HashMap::default()),
            count: AtomicUsize::new(0),
            direct: AtomicUsize::new(0),
            schedule: Mutex::new(BTreeSet::new()),
            wake: Box::new(wake),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// Whether somebody has this channel.
    #[must_use]
    pub fn has(&self, channel: &str) -> bool {
        self.with(channel, |polled| polled.has_subscribers()).unwrap_or_default()
    }

    /// Whether values are published into any of them.
    #[must_use]
    pub fn takes_updates(&self) -> bool {
        self.direct.load(Ordering::Relaxed) > 0
    }

    /// Whether somebody has this channel, and values are published into it.
    #[must_use]
    pub fn takes_updates_of(&self, channel: &str) -> bool {
        let takes = |polled: &mut Polled<S>| polled.rules().publish_enabled && polled.has_subscribers();
        self.takes_updates() && self.with(channel, takes).unwrap_or_default()
    }

    /// The numbers of channels and of keys that are tracked in them.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        let all: Vec<_> = self.channels.lock().values().cloned().collect();
        (all.len(), all.iter().map(|kept| kept.lock().polled.len()).sum())
    }

    /// Adds a subscriber to a channel, and gives what it is told of it: to what its versions belong (SP-02).
    pub fn attach(
        &self,
        now: Now,
        channel: &Channel,
        rules: &PollRules,
        who: u64,
        (to, wants): (S, Wants),
    ) -> Epoch {
        loop {
            let kept = {
                let mut channels = self.channels.lock();
                let kept = channels.entry(channel.clone()).or_insert_with(|| {
                    self.count.fetch_add(1, Ordering::Relaxed);
                    self.direct.fetch_add(usize::from(rules.publish_enabled), Ordering::Relaxed);
                    let polled = Polled::new(channel.clone(), *rules, Epoch::random(), now);
                    Arc::new(Mutex::new(Kept { polled, scheduled: Instant::MAX, over: false }))
                });
                kept.clone()
            };
            let mut locked = kept.lock();
            if locked.over {
                let direct = locked.polled.rules().publish_enabled;
                drop(locked);
                self.remove(channel, &kept, direct);
                continue;
            }
            locked.polled.attach(who, to, wants);
            let epoch = locked.polled.epoch().clone();
            self.schedule(channel, &mut locked);
            return epoch;
        }
    }

    /// Removes a subscriber from a channel, if it is one of its subscribers.
    pub fn detach(&self, now: Now, channel: &str, who: u64) -> Detached {
        self.with(channel, |polled| polled.detach(now, who)).unwrap_or_default()
    }

    /// See [`Polled::ticket`].
    #[must_use]
    pub fn ticket(&self, channel: &str, who: u64) -> Option<Ticket> {
        self.with(channel, |polled| polled.ticket(who))?
    }

    /// See [`Polled::track`].
    ///
    /// # Errors
    ///
    /// See [`TrackError`].
    pub fn track(&self, now: Now, channel: &str, who: u64, track: &Track) -> Result<Tracked, TrackError> {
        self.with(channel, |polled| polled.track(now, who, track)).unwrap_or(Err(TrackError::NotSubscribed))
    }

    /// See [`Polled::open`].
    pub fn open(&self, now: Now, channel: &str, (who, gate): (u64, u32), sink: &mut dyn Sink<S>) {
        self.with(channel, |polled| polled.open(now, who, gate, sink));
    }

    /// See [`Polled::untrack`].
    pub fn untrack(&self, channel: &str, who: u64, keys: &[String]) {
        self.with(channel, |polled| polled.untrack(who, keys));
    }

    /// See [`Polled::publish`]. `None`: nobody has the channel here.
    pub fn publish(
        &self,
        now: Now,
        channel: &str,
        update: Update,
        sink: &mut dyn Sink<S>,
    ) -> Option<Published> {
        self.with(channel, |polled| polled.publish(now, update, sink))
    }

    /// See [`Polled::answer`].
    pub fn answer(
        &self,
        now: Now,
        channel: &str,
        ask: &Ask,
        answer: Result<Refreshed, BackendError>,
        sink: &mut dyn Sink<S>,
    ) -> Applied {
        self.with(channel, |polled| polled.answer(now, ask, answer, sink)).unwrap_or_default()
    }

    /// The next question that is due. Channels that nobody has had for long enough are forgotten on the way.
    pub fn next(&self, now: Now) -> Option<(Channel, Ask)> {
        loop {
            let (due, channel) = {
                let mut schedule = self.schedule.lock();
                let (at, _) = schedule.first()?;
                if *at > now.instant {
                    return None;
                }
                schedule.pop_first()?
            };
            let Some(kept) = self.channels.lock().get(&channel).cloned() else { continue };
            let mut locked = kept.lock();
            locked.scheduled = Instant::MAX;
            locked.polled.tick(now);
            if locked.polled.is_over(now) {
                locked.over = true;
                let direct = locked.polled.rules().publish_enabled;
                drop(locked);
                self.remove(&channel, &kept, direct);
                continue;
            }
            let ask = locked.polled.ask(now);
            self.schedule(&channel, &mut locked);
            if let Some(mut ask) = ask {
                ask.waited = now.instant - due;
                return Some((channel, ask));
            }
        }
    }

    /// When there may be a question next; [`Instant::MAX`] for never.
    #[must_use]
    pub fn due(&self) -> Instant {
        self.schedule.lock().first().map_or(Instant::MAX, |(at, _)| *at)
    }

    fn with<R>(&self, channel: &str, work: impl FnOnce(&mut Polled<S>) -> R) -> Option<R> {
        if self.is_empty() {
            return None;
        }
        let (name, kept) = {
            let channels = self.channels.lock();
            let (name, kept) = channels.get_key_value(channel)?;
            (name.clone(), kept.clone())
        };
        let mut locked = kept.lock();
        if locked.over {
            return None;
        }
        let result = work(&mut locked.polled);
        self.schedule(&name, &mut locked);
        Some(result)
    }

    /// Has the schedule follow a channel.
    fn schedule(&self, channel: &Channel, kept: &mut Kept<S>) {
        let due = kept.polled.due();
        let before = std::mem::replace(&mut kept.scheduled, due);
        if due == before {
            return;
        }
        let mut schedule = self.schedule.lock();
        if before < Instant::MAX {
            schedule.remove(&(before, channel.clone()));
        }
        if due < Instant::MAX {
            let first = schedule.first().is_none_or(|(at, _)| due < *at);
            schedule.insert((due, channel.clone()));
            drop(schedule);
            if first {
                (self.wake)();
            }
        }
    }

    fn remove(&self, channel: &Channel, kept: &Arc<Mutex<Kept<S>>>, direct: bool) {
        let mut channels = self.channels.lock();
        if channels.get(channel).is_some_and(|found| Arc::ptr_eq(found, kept)) {
            channels.remove(channel);
            self.count.fetch_sub(1, Ordering::Relaxed);
            self.direct.fetch_sub(usize::from(direct), Ordering::Relaxed);
        }
    }
}

impl<S> fmt::Debug for Polls<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Polls").field("channels", &self.count).finish_non_exhaustive()
    }
}
