//! One polled channel: who has it, who tracks which keys, and what is to be asked when.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use tourbillon_types::{Channel, Epoch, Instant, Now, Publication};

use crate::cycle::Cycles;
use crate::keys::{Entry, Holder, Sink, value};
use crate::{Item, Key, PollMode, PollRules};

/// How long a channel is kept at least after its epoch changed. Everybody subscribes anew then, and whoever does so after
/// the channel was forgotten would be told an epoch that is known to be another a moment later.
const EPOCH_KEPT: Duration = Duration::from_secs(30);

/// One polled channel. Subscribers are `S`, named by a number of the caller's.
#[derive(Debug)]
pub struct Polled<S> {
    pub(crate) channel: Channel,
    pub(crate) rules: PollRules,
    pub(crate) epoch: Epoch,
    /// What prints of values are made with: differs from channel to channel.
    pub(crate) hasher: RandomState,
    /// The last version that was given to a value.
    pub(crate) versions: u64,
    serials: u64,
    tickets: u32,
    pub(crate) keys: HashMap<Key, Entry<S>, RandomState>,
    members: HashMap<u64, Member<S>, RandomState>,
    /// Keys that are to be asked about at once, and since when the first of them is.
    hot: VecDeque<Key>,
    hot_since: Instant,
    pub(crate) cycles: Cycles,
    /// When keys of which subscriber cease to be tracked, or earlier.
    expiries: BinaryHeap<Reverse<(Instant, u64)>>,
    /// How many questions wait for their answers.
    pub(crate) unanswered: usize,
    /// When the channel may be forgotten, once nobody has it.
    pub(crate) kept_until: Instant,
}

/// A subscriber.
#[derive(Debug)]
struct Member<S> {
    to: S,
    ticket: Ticket,
    wants: Wants,
    keys: HashSet<Key, RandomState>,
    /// Keys whose values have to wait for a reply, by its number.
    gated: Vec<(u32, Vec<Key>)>,
    /// When its keys are looked through.
    due: Instant,
}

/// Names one subscription: whoever comes again gets another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticket(u32);

/// What became of a subscriber that was to be removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Detached {
    /// It was one. Otherwise nothing was changed: it never was, or has lost the channel to another epoch already.
    pub was_subscriber: bool,
    /// The channel is there, and nobody has it.
    pub unused: bool,
}

/// How a subscriber wants values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// It takes deltas.
    pub delta: bool,
    /// It is sent no publications.
    pub mute: bool,
}

/// Which keys a subscriber tracks from now on (CMD-16).
#[derive(Clone, Debug)]
pub struct Track {
    /// The subscription.
    pub ticket: Ticket,
    /// Names the reply, after which values may be sent; not 0.
    pub gate: u32,
    /// The keys. Of several that are the same the last one counts.
    pub items: Vec<TrackItem>,
    /// Keys among them, or others, that it does not track after all.
    pub untrack: Vec<String>,
}

impl Track {
    /// No keys yet.
    #[must_use]
    pub const fn new(ticket: Ticket, gate: u32) -> Self {
        Self { ticket, gate, items: Vec::new(), untrack: Vec::new() }
    }
}

/// A key to be tracked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackItem {
    /// The key.
    pub key: String,
    /// The version that the subscriber has; 0 for none.
    pub version: u64,
    /// When its right to the key ends, seconds since 1970 UTC; `None` for never.
    pub expire_at: Option<i64>,
}

impl TrackItem {
    /// A key that is tracked for as long as its subscriber likes.
    #[must_use]
    pub fn new(key: impl Into<String>, version: u64) -> Self {
        Self { key: key.into(), version, expire_at: None }
    }
}

/// Keys are tracked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracked {
    /// Values that are kept and newer than those that the subscriber has.
    pub items: Vec<Arc<Publication>>,
    /// Whether the subscriber takes deltas: it needs the values in the form that these are applied to.
    pub delta: bool,
    /// When the first of its rights to these keys ends, seconds since 1970 UTC.
    pub expire_at: Option<i64>,
}

/// Why keys are not tracked. None of them is then, and what was tracked before goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrackError {
    /// The subscription is over.
    #[error("not subscribed")]
    NotSubscribed,
    /// It would be more keys than a connection may track (SP-06).
    #[error("too many tracked keys")]
    Limit,
}

/// A question to the application. It counts as unanswered until it is given back to [`Polled::answer`].
#[derive(Debug)]
pub struct Ask {
    pub(crate) asked: Vec<Asked>,
    trigger: Trigger,
    pub(crate) waited: Duration,
}

/// A key that is asked about.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) key: Key,
    pub(crate) serial: u64,
    pub(crate) version: u64,
}

/// Why keys are asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// A cycle.
    Timer,
    /// Somebody waits for them.
    Notification,
}

impl Ask {
    /// The keys.
    #[must_use]
    pub fn items(&self) -> Vec<Item> {
        self.asked.iter().map(|asked| Item { key: asked.key.clone(), version: asked.version }).collect()
    }

    /// How many there are; never none.
    #[must_use]
    pub fn count(&self) -> usize {
        self.asked.len()
    }

    /// Why they are asked about.
    #[must_use]
    pub const fn trigger(&self) -> Trigger {
        self.trigger
    }

    /// How long it could have been asked before it was taken by [`Polls::next`](crate::Polls::next).
    #[must_use]
    pub const fn waited(&self) -> Duration {
        self.waited
    }
}

impl<S: Clone> Polled<S> {
    /// A channel that nobody has. `epoch` names this incarnation of it where versions are the node's; where they are the
    /// application's, it is not looked at.
    #[must_use]
    pub fn new(channel: Channel, rules: PollRules, epoch: Epoch, now: Now) -> Self {
        let epoch = if rules.mode == PollMode::Versionless { epoch } else { Epoch::UNKNOWN };
        Self {
            channel,
            epoch,
            hasher: RandomState::default(),
            versions: 0,
            serials: 0,
            tickets: 0,
            keys: HashMap::default(),
            members: HashMap::default(),
            hot: VecDeque::new(),
            hot_since: Instant::MAX,
            cycles: Cycles::new(now.instant, &rules),
            expiries: BinaryHeap::new(),
            unanswered: 0,
            kept_until: now.instant + rules.shutdown_delay,
            rules,
        }
    }

    /// The rules.
    #[must_use]
    pub const fn rules(&self) -> &PollRules {
        &self.rules
    }

    /// To what the versions belong, as a subscriber is told; unknown where the application has not said (SP-02).
    #[must_use]
    pub const fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// How many keys are tracked.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether somebody has the channel.
    #[must_use]
    pub fn has_subscribers(&self) -> bool {
        !self.members.is_empty()
    }

    /// Whether no key is tracked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Adds a subscriber, which tracks nothing yet. One that is there already begins anew.
    pub fn attach(&mut self, who: u64, to: S, wants: Wants) -> Ticket {
        self.detach(Now::default(), who);
        self.tickets = self.tickets.wrapping_add(1);
        let ticket = Ticket(self.tickets);
        let member =
            Member { to, ticket, wants, keys: HashSet::default(), gated: Vec::new(), due: Instant::MAX };
        self.members.insert(who, member);
        ticket
    }

    /// Removes a subscriber and all that it tracks, if it is one.
    pub fn detach(&mut self, now: Now, who: u64) -> Detached {
        let member = self.members.remove(&who);
        let was_subscriber = member.is_some();
        if let Some(member) = member {
            for key in &member.keys {
                self.drop_holder(key, who);
            }
            self.kept_until = self.kept_until.max(now.instant + self.rules.shutdown_delay);
            self.trim_expiries();
        }
        Detached { was_subscriber, unused: self.members.is_empty() }
    }

    /// The subscription of this subscriber.
    #[must_use]
    pub fn ticket(&self, who: u64) -> Option<Ticket> {
        self.members.get(&who).map(|member| member.ticket)
    }

    /// Begins to track keys. Their values are sent once the reply is queued and [`open`](Self::open) says so; which
    /// versions the subscriber has is set to what it says of each key.
    ///
    /// # Errors
    ///
    /// See [`TrackError`].
    pub fn track(&mut self, now: Now, who: u64, track: &Track) -> Result<Tracked, TrackError> {
        let member = self.members.get(&who).filter(|member| member.ticket == track.ticket);
        let member = member.ok_or(TrackError::NotSubscribed)?;
        let untrack: HashSet<&str> = track.untrack.iter().map(String::as_str).collect();
        let mut last: HashMap<&str, &TrackItem> = HashMap::with_capacity(track.items.len());
        last.extend(track.items.iter().map(|item| (item.key.as_str(), item)));
        let expire_at = last.values().filter_map(|item| item.expire_at).min();
        last.retain(|key, _| !untrack.contains(key));
        let gone = untrack.iter().filter(|key| member.keys.contains(**key)).count();
        let new = last.keys().filter(|key| !member.keys.contains(**key)).count();
        if member.keys.len() - gone + new > self.rules.max_keys_per_connection {
            return Err(TrackError::Limit);
        }
        let delta = member.wants.delta;
        self.untrack(who, &track.untrack);
        if self.keys.is_empty() {
            self.cycles.awake(now.instant);
        }
        // In the order in which they were sent, and each once.
        let mut keys = Vec::with_capacity(last.len());
        let mut items = Vec::new();
        for item in &track.items {
            if last.get(item.key.as_str()).is_some_and(|counts| std::ptr::eq(*counts, item)) {
                let (key, kept) = self.hold(now, who, track.gate, item);
                items.extend(kept);
                keys.push(key);
            }
        }
        if let Some(member) = self.members.get_mut(&who) {
            member.keys.extend(keys.iter().cloned());
            member.gated.push((track.gate, keys));
        }
        Ok(Tracked { items, delta, expire_at })
    }

    /// Has a subscriber track one key, and gives what is kept of it for the reply.
    fn hold(&mut self, now: Now, who: u64, gate: u32, item: &TrackItem) -> (Key, Option<Arc<Publication>>) {
        let known = self.keys.get_key_value(item.key.as_str()).map(|(key, _)| key.clone());
        let key = known.unwrap_or_else(|| {
            let key = Key::from(item.key.as_str());
            self.serials += 1;
            self.keys.insert(key.clone(), Entry::new(self.serials));
            key
        });
        let due = item.expire_at.map_or(Instant::MAX, |at| self.ceases(now, at));
        let (Some(entry), Some(member)) = (self.keys.get_mut(&key), self.members.get_mut(&who)) else {
            return (key, None);
        };
        let Wants { delta, mute } = member.wants;
        let mut holder =
            Holder { to: member.to.clone(), version: item.version, gate, delta, based: false, mute, due };
        // Versions that the node gave are not told apart from those of another instance by the reply (PRO-84).
        let kept = entry
            .data
            .clone()
            .filter(|_| self.rules.mode == PollMode::Versioned && entry.version > item.version);
        let kept = kept.map(|data| {
            holder.version = entry.version;
            holder.based = delta;
            Arc::new(value(&key, data, entry.version))
        });
        entry.holders.insert(who, holder);
        if due < member.due {
            member.due = due;
            self.expiries.push(Reverse((due, who)));
            self.trim_expiries();
        }
        (key, kept)
    }

    /// Forgets expiries of subscribers that are gone, and those that an earlier one has replaced, before they outnumber
    /// the others.
    fn trim_expiries(&mut self) {
        if self.expiries.len() > 2 * self.members.len() {
            let members = self.members.iter().filter(|(_, member)| member.due < Instant::MAX);
            self.expiries = members.map(|(who, member)| Reverse((member.due, *who))).collect();
        }
    }

    /// When a key ceases to be tracked whose right ends at this second.
    fn ceases(&self, now: Now, expire_at: i64) -> Instant {
        let left = expire_at.saturating_mul(1000).saturating_sub(now.unix_millis);
        let extra = i64::try_from(self.rules.track_expired_extra_delay.as_millis()).unwrap_or(i64::MAX);
        let left = u64::try_from(left.saturating_add(extra)).unwrap_or_default();
        now.instant + Duration::from_millis(left)
    }

    /// The reply to a [`track`](Self::track) is queued: what is newer than what the subscriber has follows, from what is
    /// kept or from the application (SP-11).
    pub fn open(&mut self, now: Now, who: u64, gate: u32, sink: &mut dyn Sink<S>) {
        let Some(member) = self.members.get_mut(&who) else { return };
        let Some(at) = member.gated.iter().position(|(number, _)| *number == gate) else { return };
        let (_, keys) = member.gated.swap_remove(at);
        for key in keys {
            let Some(entry) = self.keys.get_mut(&key) else { continue };
            let Some(holder) = entry.holders.get_mut(&who).filter(|holder| holder.gate == gate) else {
                continue;
            };
            holder.gate = 0;
            let version = holder.version;
            if entry.version > version {
                if entry.data.is_some() {
                    entry.deliver_kept(&self.channel, &key, who, sink);
                } else {
                    entry.wanted = true;
                    self.heat(now, &key);
                }
            } else if version == 0 && !entry.warmed {
                entry.warmed = true;
                self.heat(now, &key);
            }
        }
    }

    /// Ceases to track keys. Those that are not tracked are ignored (CMD-17).
    pub fn untrack(&mut self, who: u64, keys: &[String]) {
        for key in keys {
            let Some(member) = self.members.get_mut(&who) else { return };
            if let Some(key) = member.keys.take(key.as_str()) {
                self.drop_holder(&key, who);
            }
        }
    }

    fn drop_holder(&mut self, key: &Key, who: u64) {
        let Some(entry) = self.keys.get_mut(key) else { return };
        entry.holders.remove(&who);
        if entry.holders.is_empty() {
            self.keys.remove(key);
        }
    }

    /// Has a key asked about at once, unless it is already.
    pub(crate) fn heat(&mut self, now: Now, key: &Key) {
        let Some(entry) = self.keys.get_mut(key).filter(|entry| !entry.hot && !entry.asked) else { return };
        entry.hot = true;
        if self.hot.is_empty() {
            self.hot_since = now.instant;
        }
        self.hot.push_back(key.clone());
    }

    /// When there is something to do: [`tick`](Self::tick), then [`ask`](Self::ask) until it asks nothing.
    /// [`Instant::MAX`] for never.
    #[must_use]
    pub fn due(&self) -> Instant {
        let hot = if self.hot.is_empty() { Instant::MAX } else { self.hot_since };
        let cycle =
            if self.keys.is_empty() && !self.cycles.is_running() { Instant::MAX } else { self.cycles.due() };
        let expiry = self.expiries.peek().map_or(Instant::MAX, |Reverse((due, _))| *due);
        let end = if self.is_unused() { self.kept_until } else { Instant::MAX };
        hot.min(cycle).min(expiry).min(end)
    }

    /// Whether it may be forgotten: nobody has had it for a while (SP-15).
    #[must_use]
    pub fn is_over(&self, now: Now) -> bool {
        self.is_unused() && self.kept_until <= now.instant
    }

    fn is_unused(&self) -> bool {
        self.members.is_empty() && self.unanswered == 0
    }

    /// Time passed: keys whose time is over cease to be tracked, without a word (SP-14), and a cycle begins.
    pub fn tick(&mut self, now: Now) {
        while let Some(Reverse((due, who))) = self.expiries.peek().copied()
            && due <= now.instant
        {
            self.expiries.pop();
            self.expire(now, due, who);
        }
        if self.cycles.begins(now.instant) && !self.keys.is_empty() {
            let mut keys = Vec::with_capacity(self.keys.len());
            for (key, entry) in &mut self.keys {
                if !std::mem::take(&mut entry.fresh) {
                    keys.push(key.clone());
                }
            }
            keys.sort_unstable();
            self.cycles.begin(now.instant, &keys, self.rules.refresh_batch_size);
        }
    }

    fn expire(&mut self, now: Now, due: Instant, who: u64) {
        let Some(member) = self.members.get_mut(&who).filter(|member| member.due == due) else { return };
        let mut next = Instant::MAX;
        let mut over = Vec::new();
        for key in &member.keys {
            let holder = self.keys.get(key).and_then(|entry| entry.holders.get(&who));
            match holder.map_or(Instant::MAX, |holder| holder.due) {
                due if due <= now.instant => over.push(key.clone()),
                due => next = next.min(due),
            }
        }
        member.due = next;
        for key in &over {
            member.keys.remove(key);
        }
        if next < Instant::MAX {
            self.expiries.push(Reverse((next, who)));
        }
        for key in &over {
            self.drop_holder(key, who);
        }
    }

    /// The next question that is due.
    pub fn ask(&mut self, now: Now) -> Option<Ask> {
        if !self.hot.is_empty() && self.hot_since <= now.instant {
            let some = self.hot.len().min(self.rules.refresh_batch_size.max(1));
            let keys: Vec<Key> = self.hot.drain(..some).collect();
            self.hot_since = now.instant;
            if let Some(ask) = self.question(keys, Trigger::Notification) {
                return Some(ask);
            }
        }
        while let Some(keys) = self.cycles.take(now.instant) {
            match self.question(keys, Trigger::Timer) {
                Some(ask) => return Some(ask),
                // Nobody tracks them any more, or they are being asked about.
                None => drop(self.cycles.answered(now.instant, &self.rules)),
            }
        }
        None
    }

    fn question(&mut self, keys: Vec<Key>, trigger: Trigger) -> Option<Ask> {
        let versioned = self.rules.mode == PollMode::Versioned;
        let mut asked = Vec::with_capacity(keys.len());
        for key in keys {
            let Some(entry) = self.keys.get_mut(&key) else { continue };
            if trigger == Trigger::Notification && !std::mem::take(&mut entry.hot) || entry.asked {
                continue;
            }
            entry.asked = true;
            let version = if versioned && !entry.wanted { entry.version } else { 0 };
            asked.push(Asked { key, serial: entry.serial, version });
        }
        if asked.is_empty() {
            return None;
        }
        self.unanswered += 1;
        Some(Ask { asked, trigger, waited: Duration::ZERO })
    }

    /// Nobody tracks this key any more.
    pub(crate) fn forget(&mut self, key: &Key) -> Option<Entry<S>> {
        let entry = self.keys.remove(key)?;
        for who in entry.holders.keys() {
            if let Some(member) = self.members.get_mut(who) {
                member.keys.remove(key);
            }
        }
        Some(entry)
    }

    /// The versions belong to another epoch: everybody has to begin anew (SP-10). An unknown epoch says nothing.
    /// `true`: it was another one.
    pub(crate) fn flip(&mut self, now: Now, epoch: &Epoch, sink: &mut dyn Sink<S>) -> bool {
        if epoch.is_unknown() || *epoch == self.epoch {
            return false;
        }
        self.epoch = epoch.clone();
        self.keys.clear();
        self.hot.clear();
        self.expiries.clear();
        for (_, member) in self.members.drain() {
            sink.lost(&self.channel, &member.to);
        }
        self.kept_until = now.instant + self.rules.shutdown_delay.max(EPOCH_KEPT);
        true
    }

    /// What stands for a value.
    pub(crate) fn print(&self, data: &[u8]) -> (usize, u64) {
        (data.len(), self.hasher.hash_one(data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiries_end_with_their_subscribers() {
        let now = Now { instant: Instant::ZERO, unix_millis: 1_000_000 };
        let mut polled = Polled::new(Channel::from("prices"), PollRules::default(), Epoch::from("made"), now);
        polled.attach(0, (), Wants::default());
        for who in 1..=100 {
            let ticket = polled.attach(who, (), Wants::default());
            // Each ends earlier than the one before.
            for end in [1_900, 1_800, 1_700] {
                let items = vec![TrackItem { expire_at: Some(end), ..TrackItem::new(end.to_string(), 0) }];
                polled.track(now, who, &Track { items, ..Track::new(ticket, 1) }).unwrap();
            }
            if who > 10 {
                polled.detach(now, who);
            }
            assert!(polled.expiries.len() <= 2 * polled.members.len(), "{}", polled.expiries.len());
        }
        // Of those that are still there nothing was forgotten.
        polled.tick(Now { instant: now.instant + Duration::from_secs(725), ..now });
        assert_eq!(polled.len(), 2, "all but the first keys");
        polled.tick(Now { instant: now.instant + Duration::from_secs(925), ..now });
        assert!(polled.is_empty() && polled.expiries.is_empty());
    }
}
