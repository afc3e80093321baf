//! The log of one channel.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tourbillon_types::{Epoch, HistoryPolicy, HistoryQuery, Instant, Page, Publication, StreamPosition};

use crate::entry::Entry;

/// The first publications of a log are given room for this many.
const FIRST_CAPACITY: usize = 4;

/// What a channel's stream keeps: the newest publications, and where the stream stands (MEM-01, MEM-02).
///
/// Publications go away when there are more than the policy's `size`, and all of them when nothing was published
/// for `ttl`. The position outlives them for `meta_ttl` after the last use; a log of which that has passed is
/// [expired](Self::is_expired) and must be replaced by a new one with a new epoch.
///
/// A publication takes 56 bytes besides its data, and its place in the list; one that has a publisher, tags or something
/// as rare takes more. Appending and trimming are O(1) and allocate the entry only. Reading makes the publications anew
/// around the bytes that are kept, and costs what it gives. Lifetimes are judged by
/// the instants that are passed in, never later than they are due, so a caller that drops expired logs late wastes
/// memory and nothing else. Where instants go back, lifetimes are off by as much, and nothing else is.
#[derive(Debug)]
pub struct StreamLog {
    epoch: Epoch,
    top: u64,
    /// Consecutive offsets; the last one is `top`.
    entries: VecDeque<Entry>,
    entries_due: Instant,
    due: Instant,
    /// Most channels have no versions.
    version: Option<Box<Version>>,
}

#[derive(Debug)]
struct Version {
    number: u64,
    epoch: Box<str>,
}

impl StreamLog {
    /// An empty log of a new epoch, whose position is kept for `meta_ttl` unless it is used.
    #[must_use]
    pub fn new(epoch: Epoch, now: Instant, meta_ttl: Duration) -> Self {
        Self {
            epoch,
            top: 0,
            entries: VecDeque::new(),
            entries_due: Instant::ZERO,
            due: now + meta_ttl,
            version: None,
        }
    }

    /// A log as it was before, such as one that was stored. Its publications end with the position's offset; what is
    /// before a hole among them is left out.
    #[must_use]
    pub fn restore(
        position: StreamPosition,
        publications: Vec<Arc<Publication>>,
        entries_due: Instant,
        due: Instant,
    ) -> Self {
        let StreamPosition { offset: top, epoch } = position;
        let expected = |from_top: usize| top.checked_sub(from_top as u64);
        let newest_first = publications.iter().rev().enumerate();
        let kept = newest_first
            .take_while(|(from_top, publication)| Some(publication.offset) == expected(*from_top))
            .count();
        let kept = publications.iter().skip(publications.len() - kept);
        let entries = kept.map(|publication| Entry::new(publication)).collect();
        Self { epoch, top, entries, entries_due, due, version: None }
    }

    /// The offset of the oldest publication that will be kept besides the next one.
    #[must_use]
    pub fn oldest_with_next(&self, now: Instant, policy: &HistoryPolicy) -> u64 {
        let room = policy.size.saturating_sub(1);
        let entries = if self.entries_due <= now { 0 } else { self.entries.len().min(room) };
        self.top.saturating_add(1).saturating_sub(entries as u64)
    }

    /// The newest version and its epoch; 0 if there was none.
    #[must_use]
    pub fn version(&self) -> (u64, &str) {
        self.version.as_deref().map_or((0, ""), |newest| (newest.number, &newest.epoch))
    }

    /// Where the stream stands.
    #[must_use]
    pub fn position(&self) -> StreamPosition {
        StreamPosition { offset: self.top, epoch: self.epoch.clone() }
    }

    /// Appends a publication, which gets its offset and epoch, and trims the log to the policy.
    pub fn append(
        &mut self,
        now: Instant,
        policy: &HistoryPolicy,
        mut publication: Publication,
    ) -> Arc<Publication> {
        self.expire(now);
        self.top += 1;
        publication.offset = self.top;
        publication.epoch = self.epoch.clone();
        let publication = Arc::new(publication);
        while !self.entries.is_empty() && self.entries.len() >= policy.size {
            self.entries.pop_front();
        }
        if policy.keeps() {
            self.reserve(policy.size);
            self.entries.push_back(Entry::new(&publication));
        }
        self.entries_due = now + policy.ttl;
        self.due = now + policy.meta_ttl.max(policy.ttl);
        publication
    }

    /// Makes room for one more: by doubling as usual, but never for more than the policy keeps.
    fn reserve(&mut self, size: usize) {
        let (length, capacity) = (self.entries.len(), self.entries.capacity());
        if length == capacity {
            let wanted = capacity.saturating_mul(2).max(FIRST_CAPACITY).min(size.max(1));
            self.entries.reserve_exact(wanted.saturating_sub(length).max(1));
        } else if capacity > FIRST_CAPACITY && capacity / 4 > size {
            self.entries.shrink_to(size);
        }
    }

    /// The newest publication, if it is kept still.
    #[must_use]
    pub fn latest(&self, now: Instant) -> Option<Arc<Publication>> {
        let latest = self.entries.back().filter(|_| self.entries_due > now)?;
        Some(latest.publication(self.top, &self.epoch))
    }

    /// Answers a query. Being read is a use: the position is kept for `meta_ttl` from now (HID-92), and at least as
    /// long as it would have been for the publications in the log.
    ///
    /// A place of another epoch gets no publications, as offsets of different epochs say nothing about each other.
    /// Where publications between the place and the oldest one kept are gone, the page begins with the oldest; its
    /// offset tells. Going back from beyond the top begins at the top.
    pub fn read(&mut self, now: Instant, query: &HistoryQuery, meta_ttl: Duration) -> Page {
        self.expire(now);
        self.due = (now + meta_ttl).max(if self.entries.is_empty() { now } else { self.entries_due });
        let position = self.position();
        if query.check_epoch(&position).is_err() {
            return Page { publications: Vec::new(), position };
        }
        let limit = query.limit.unwrap_or(usize::MAX);
        let since = query.since.as_ref().map(|since| since.offset);
        let first = position.offset.saturating_add(1).saturating_sub(self.entries.len() as u64);
        let numbered = |from: usize| first.saturating_add(from as u64)..;
        let made = |(offset, entry): (u64, &Entry)| entry.publication(offset, &self.epoch);
        let publications = if query.reverse {
            let end = since.map_or(self.entries.len(), |since| self.index_of(since));
            let begin = end.saturating_sub(limit);
            let mut made: Vec<_> = numbered(begin).zip(self.entries.range(begin..end)).map(made).collect();
            made.reverse();
            made
        } else {
            let start = since.map_or(0, |since| self.index_of(since.saturating_add(1)));
            numbered(start).zip(self.entries.range(start..).take(limit)).map(made).collect()
        };
        Page { publications, position }
    }

    /// How many entries come before an offset.
    fn index_of(&self, offset: u64) -> usize {
        let length = self.entries.len();
        let from_top =
            usize::try_from(self.top.saturating_add(1).saturating_sub(offset)).unwrap_or(usize::MAX);
        length.saturating_sub(from_top)
    }

    /// Whether a version is not above the newest one (PUBS-02): its publication is to be suppressed. Versions of
    /// another epoch are not compared; a version without an epoch is compared with any. Version 0 is none.
    #[must_use]
    pub fn is_stale(&self, version: u64, epoch: &str) -> bool {
        let comparable = |newest: &Version| epoch.is_empty() || *newest.epoch == *epoch;
        version != 0
            && self.version.as_deref().is_some_and(|newest| comparable(newest) && version <= newest.number)
    }

    /// Notes the version of a publication that is appended. Version 0 is none and leaves the newest one as it is.
    pub fn set_version(&mut self, version: u64, epoch: &str) {
        if version == 0 {
            return;
        }
        match self.version.as_deref_mut() {
            Some(newest) if *newest.epoch == *epoch => newest.number = version,
            _ => self.version = Some(Box::new(Version { number: version, epoch: Box::from(epoch) })),
        }
    }

    /// Forgets the publications and keeps the position, so that subscribers stay where they are (HID-74).
    pub fn clear(&mut self) {
        self.entries = VecDeque::new();
        // Without publications there is nothing to be late for.
        self.entries_due = Instant::ZERO;
    }

    /// Forgets the publications if their time has come.
    pub fn expire(&mut self, now: Instant) {
        if !self.entries.is_empty() && self.entries_due <= now {
            self.clear();
        }
    }

    /// Whether the position's time has come, too: such a log must not be used any more.
    #[must_use]
    pub fn is_expired(&self, now: Instant) -> bool {
        self.due <= now
    }

    /// When [`expire`](Self::expire) has something to do next; `None` when there are no publications.
    #[must_use]
    pub fn entries_due(&self) -> Option<Instant> {
        (!self.entries.is_empty()).then_some(self.entries_due)
    }

    /// When the log will have [expired](Self::is_expired), unless it is used before.
    #[must_use]
    pub const fn due(&self) -> Instant {
        self.due
    }

    /// The number of publications, those included whose time has come and that nobody has expired yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no publications.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
