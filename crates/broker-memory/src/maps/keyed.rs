//! What one keyed channel holds.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use tourbillon_broker::{MapPublish, MapRemove, MapSuppressed};
use tourbillon_recovery::StreamLog;
use tourbillon_types::{
    Epoch, HistoryPolicy, HistoryQuery, Instant, KeyMode, MapPolicy, Now, Page, Publication, StreamPosition,
    Tags,
};

/// How many keys are ended at a time.
pub(crate) const BATCH: usize = 128;

/// One channel's state and stream.
///
/// Keys end exactly when they are due: from then on nobody is shown them. That they have ended is told a little later,
/// by whoever uses the key next or by [`end_due`](Self::end_due), because only a caller that holds the channel's order
/// may tell anything.
#[derive(Debug)]
pub(crate) struct Keyed {
    log: StreamLog,
    state: BTreeMap<Arc<str>, Entry>,
    /// When to look whether keys have ended: once for each that does, at its end or before it.
    ends: BTreeSet<(Instant, Arc<str>)>,
    /// What the last call said.
    policy: MapPolicy,
    /// When the channel is looked at next, if that is noted.
    pub(crate) noted: Option<Instant>,
}

/// A key's value.
#[derive(Debug)]
struct Entry {
    publication: Arc<Publication>,
    /// When the key ends.
    end: Instant,
    /// Where it is among the channel's `ends`; `MAX` where it is not.
    noted: Instant,
    /// Most keys have none.
    version: Option<Box<Version>>,
}

#[derive(Debug)]
struct Version {
    number: u64,
    epoch: String,
}

/// What was changed, and what is to be told of it.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// The end of the key before it was set, if nobody was told yet.
    pub(crate) ended: Option<Arc<Publication>>,
    /// What came of it.
    pub(crate) outcome: Option<Changed>,
    /// Why nothing did, if so.
    pub(crate) suppressed: Option<MapSuppressed>,
    /// Where the channel stands now.
    pub(crate) position: StreamPosition,
}

/// A change as subscribers get it.
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) publication: Arc<Publication>,
    /// The key's value before, if that is wanted.
    pub(crate) previous: Option<Arc<Publication>>,
}

impl Keyed {
    pub(crate) fn new(epoch: Epoch, now: Instant, policy: MapPolicy) -> Self {
        Self {
            log: StreamLog::new(epoch, now, meta_ttl(&policy)),
            state: BTreeMap::new(),
            ends: BTreeSet::new(),
            policy,
            noted: None,
        }
    }

    pub(crate) fn policy(&self) -> &MapPolicy {
        &self.policy
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.log.position().epoch
    }

    /// Whether the channel's time has come.
    pub(crate) fn is_expired(&self, now: Instant) -> bool {
        self.log.is_expired(now)
    }

    /// Whether there are keys, those included whose time has come.
    pub(crate) fn has_keys(&self) -> bool {
        !self.state.is_empty()
    }

    /// How many keys there are.
    pub(crate) fn count(&self, now: Instant) -> usize {
        let looked_at = self.ends.iter().take_while(|(at, _)| *at <= now);
        let ended = looked_at.filter(|(_, key)| self.state.get(key).is_some_and(|entry| entry.end <= now));
        self.state.len().saturating_sub(ended.count())
    }

    /// When there is something to do next.
    pub(crate) fn due(&self) -> Instant {
        let keys = self.ends.first().map_or(Instant::MAX, |(at, _)| *at);
        let stream = self.log.entries_due().unwrap_or(Instant::MAX);
        keys.min(stream).min(self.log.due())
    }

    /// Notes that the channel is used, and how.
    pub(crate) fn touch(&mut self, now: Instant, policy: &MapPolicy) -> StreamPosition {
        self.policy = *policy;
        let mut position = self.log.read(now, &HistoryQuery::position(), meta_ttl(policy)).position;
        if policy.stream.is_none() {
            position.offset = 0;
        }
        position
    }

    /// Sets a key.
    pub(crate) fn set(&mut self, now: Now, publish: &MapPublish) -> Change {
        let MapPublish { key, data, policy, options, .. } = publish;
        self.touch(now.instant, policy);
        let ended = self.end_if_due(now, key);
        let suppressed = match self.state.get(key) {
            Some(before) if before.is_stale(options.version, &options.version_epoch) => {
                Some(MapSuppressed::Version)
            }
            Some(_) if options.mode == KeyMode::IfNew => Some(MapSuppressed::KeyExists),
            None if options.mode == KeyMode::IfExists => Some(MapSuppressed::KeyNotFound),
            before => self.mismatch(before, options.expected.as_ref()),
        };
        if suppressed == Some(MapSuppressed::KeyExists)
            && options.refresh_ttl
            && let Some(before) = self.state.get_mut(key)
        {
            before.end = end(now.instant, policy);
            note(&mut self.ends, key, before);
        }
        if suppressed.is_some() {
            return self.unchanged(ended, suppressed);
        }
        let publication = Publication {
            data: data.detached(),
            info: options.info.clone(),
            tags: options.tags.clone(),
            time: now.unix_millis,
            key: Some(key.clone()),
            ..Publication::default()
        };
        let publication = self.append(now.instant, publication);
        let mut entry = Entry {
            publication: publication.clone(),
            end: end(now.instant, policy),
            noted: Instant::MAX,
            version: None,
        };
        let before = self.state.remove(key);
        let mut previous = None;
        if let Some(before) = before {
            (entry.noted, entry.version) = (before.noted, before.version);
            previous = options.delta.then_some(before.publication);
        }
        if options.version != 0 {
            let epoch = options.version_epoch.clone();
            entry.version = Some(Box::new(Version { number: options.version, epoch }));
        }
        note(&mut self.ends, key, &mut entry);
        self.state.insert(key.clone(), entry);
        self.changed(ended, Changed { publication, previous })
    }

    /// Removes a key.
    pub(crate) fn remove(&mut self, now: Now, remove: &MapRemove) -> Change {
        let MapRemove { key, policy, tags, expected, .. } = remove;
        self.touch(now.instant, policy);
        let ended = self.end_if_due(now, key);
        let suppressed = match self.state.get(key) {
            None => Some(MapSuppressed::KeyNotFound),
            entry => self.mismatch(entry, expected.as_ref()),
        };
        if suppressed.is_some() {
            return self.unchanged(ended, suppressed);
        }
        match self.take(now, key, tags.clone()) {
            Some(publication) => self.changed(ended, Changed { publication, previous: None }),
            None => self.unchanged(ended, Some(MapSuppressed::KeyNotFound)),
        }
    }

    /// Ends keys whose time has come, as far as one batch gets. `true`: there may be more.
    pub(crate) fn end_due(&mut self, now: Now) -> (Vec<Arc<Publication>>, bool) {
        self.log.expire(now.instant);
        let mut ended = Vec::new();
        for _ in 0..BATCH {
            if self.ends.first().is_none_or(|(at, _)| *at > now.instant) {
                return (ended, false);
            }
            let Some((_, key)) = self.ends.pop_first() else { break };
            match self.state.get_mut(&key) {
                Some(entry) if entry.end > now.instant => {
                    entry.noted = Instant::MAX;
                    note(&mut self.ends, &key, entry);
                }
                _ => ended.extend(self.take(now, &key, None)),
            }
        }
        (ended, true)
    }

    /// Ends the key if its time has come.
    fn end_if_due(&mut self, now: Now, key: &Arc<str>) -> Option<Arc<Publication>> {
        let entry = self.state.get(key)?;
        if entry.end <= now.instant { self.take(now, key, None) } else { None }
    }

    /// Takes a key out of the state, and makes the removal that tells so.
    fn take(&mut self, now: Now, key: &Arc<str>, tags: Option<Arc<Tags>>) -> Option<Arc<Publication>> {
        let entry = self.state.remove(key)?;
        if entry.noted != Instant::MAX {
            self.ends.remove(&(entry.noted, key.clone()));
        }
        let publication = Publication {
            tags: tags.or_else(|| entry.publication.tags.clone()),
            time: now.unix_millis,
            key: Some(key.clone()),
            removed: true,
            ..Publication::default()
        };
        Some(self.append(now.instant, publication))
    }

    fn append(&mut self, now: Instant, publication: Publication) -> Arc<Publication> {
        let Some(stream) = self.policy.stream else { return Arc::new(publication) };
        let policy = HistoryPolicy { size: stream.size, ttl: stream.ttl, meta_ttl: meta_ttl(&self.policy) };
        self.log.append(now, &policy, publication)
    }

    fn position(&self) -> StreamPosition {
        let mut position = self.log.position();
        if self.policy.stream.is_none() {
            position.offset = 0;
        }
        position
    }

    /// Whether a key was last set elsewhere than it is expected to have been.
    fn mismatch(&self, entry: Option<&Entry>, expected: Option<&StreamPosition>) -> Option<MapSuppressed> {
        let expected = expected?;
        let is_there = entry.is_some_and(|entry| entry.publication.offset == expected.offset);
        let is_now = expected.epoch == self.log.position().epoch;
        (!is_there || !is_now).then_some(MapSuppressed::PositionMismatch)
    }

    fn changed(&self, ended: Option<Arc<Publication>>, changed: Changed) -> Change {
        Change { ended, outcome: Some(changed), suppressed: None, position: self.position() }
    }

    fn unchanged(&self, ended: Option<Arc<Publication>>, suppressed: Option<MapSuppressed>) -> Change {
        Change { ended, outcome: None, suppressed, position: self.position() }
    }

    /// The value of a key.
    pub(crate) fn get(&self, now: Instant, key: &str) -> Option<Arc<Publication>> {
        let entry = self.state.get(key).filter(|entry| entry.end > now);
        entry.map(|entry| entry.publication.clone())
    }

    /// Up to so many entries that come after a key; whether there are more.
    pub(crate) fn after(&self, now: Instant, key: &str, limit: usize) -> (Vec<Arc<Publication>>, bool) {
        let from = if key.is_empty() { Bound::Unbounded } else { Bound::Excluded(key) };
        let entries = self.state.range::<str, _>((from, Bound::Unbounded));
        let mut live = entries.map(|(_, entry)| entry).filter(|entry| entry.end > now);
        let page: Vec<_> = live.by_ref().take(limit).map(|entry| entry.publication.clone()).collect();
        let more = page.len() == limit && live.next().is_some();
        (page, more)
    }

    /// A part of the stream.
    pub(crate) fn stream(&mut self, now: Instant, query: &HistoryQuery, policy: &MapPolicy) -> Page {
        let position = self.touch(now, policy);
        if policy.stream.is_none() {
            return Page { publications: Vec::new(), position };
        }
        self.log.read(now, query, meta_ttl(policy))
    }

    /// What it holds: keys and changes, those included whose time has come.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.state.len(), self.log.len())
    }
}

impl Entry {
    /// Whether a version is not above the key's. A version without an epoch is compared with any.
    fn is_stale(&self, version: u64, epoch: &str) -> bool {
        let comparable = |newest: &&Version| epoch.is_empty() || newest.epoch == epoch;
        let newest = self.version.as_deref().filter(comparable);
        version != 0 && newest.is_some_and(|newest| version <= newest.number)
    }
}

/// How long a channel is kept after its last use.
fn meta_ttl(policy: &MapPolicy) -> Duration {
    policy.meta_ttl.unwrap_or(Duration::MAX)
}

/// When a key ends that is set now.
fn end(now: Instant, policy: &MapPolicy) -> Instant {
    policy.key_ttl.map_or(Instant::MAX, |ttl| now + ttl)
}

/// Notes when a key ends. An end that moves on is looked at when the one noted first has come, so that a key that is
/// set all the time costs nothing here.
fn note(ends: &mut BTreeSet<(Instant, Arc<str>)>, key: &Arc<str>, entry: &mut Entry) {
    if entry.end < entry.noted {
        if entry.noted != Instant::MAX {
            ends.remove(&(entry.noted, key.clone()));
        }
        entry.noted = entry.end;
        ends.insert((entry.noted, key.clone()));
    }
}
