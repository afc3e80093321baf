//! The streams of one shard's channels.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use tourbillon_recovery::{HistoryPolicy, HistoryQuery, Page, StreamLog};
use tourbillon_types::{Channel, Epoch, Instant, Publication, StreamPosition};

use crate::deadlines::Deadlines;

/// How many things are looked at before a lock is given up in between.
const BATCH: usize = 256;

/// Streams by channel, and when they go.
///
/// A log judges its own lifetimes by the time that it is used at; what goes here goes for the sake of memory only.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    streams: HashMap<Channel, Stream, RandomState>,
    /// When publications go. Each stream is in here at most once.
    entries: Deadlines<Channel>,
    /// When positions go. Each stream is in here once.
    positions: Deadlines<Channel>,
}

#[derive(Debug)]
struct Stream {
    log: StreamLog,
    /// Whether it is among `entries`.
    noted: bool,
}

/// What is appended.
pub(crate) struct Append<'a> {
    pub(crate) policy: &'a HistoryPolicy,
    pub(crate) version: u64,
    pub(crate) version_epoch: &'a str,
    /// Whether the publication before it is wanted.
    pub(crate) delta: bool,
    pub(crate) publication: Publication,
}

/// How it will be appended.
#[cfg(feature = "persistence")]
pub(crate) struct Prepared {
    pub(crate) position: StreamPosition,
    pub(crate) oldest: u64,
    pub(crate) version: u64,
    pub(crate) version_epoch: String,
}

/// What became of it.
pub(crate) enum Appended {
    Kept {
        publication: Arc<Publication>,
        /// The one before it in the stream, if that is wanted and kept still.
        previous: Option<Arc<Publication>>,
    },
    /// The version is not newer; the stream stands here.
    Stale(StreamPosition),
}

/// What time has ended.
#[cfg_attr(not(feature = "persistence"), expect(dead_code, reason = "only a file wants to know what it was"))]
pub(crate) enum Gone<'a> {
    /// A stream's publications, up to this offset.
    Entries(&'a Channel, u64),
    /// A stream.
    Stream(&'a Channel),
}

/// What streams there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) streams: usize,
    pub(crate) publications: usize,
}

impl Streams {
    pub(crate) fn append(&mut self, now: Instant, channel: &Channel, append: Append<'_>) -> Appended {
        let Append { policy, version, version_epoch, delta, publication } = append;
        let stream = Self::stream(&mut self.streams, &mut self.positions, now, channel, policy.meta_ttl);
        if stream.log.is_stale(version, version_epoch) {
            return Appended::Stale(stream.log.position());
        }
        let previous = if delta { stream.log.latest(now) } else { None };
        let publication = stream.log.append(now, policy, publication);
        stream.log.set_version(version, version_epoch);
        if !stream.noted {
            stream.noted = true;
            self.entries.push(now + policy.ttl, channel.clone());
        }
        Appended::Kept { publication, previous }
    }

    /// Answers a query. A channel without a stream gets one, so that its epoch stays what was told (HID-92).
    pub(crate) fn read(
        &mut self,
        now: Instant,
        channel: &Channel,
        query: &HistoryQuery,
        meta_ttl: Duration,
    ) -> Page {
        let stream = Self::stream(&mut self.streams, &mut self.positions, now, channel, meta_ttl);
        stream.log.read(now, query, meta_ttl)
    }

    /// Whether the channel has a stream whose time has not come.
    #[cfg(feature = "persistence")]
    pub(crate) fn has(&self, now: Instant, channel: &Channel) -> bool {
        self.streams.get(channel).is_some_and(|stream| !stream.log.is_expired(now))
    }

    pub(crate) fn clear(&mut self, channel: &Channel) {
        if let Some(stream) = self.streams.get_mut(channel) {
            stream.log.clear();
        }
    }

    /// Where a publication would be appended, and what the stream would keep of those before it; the stream's
    /// position if the version is not newer. The stream stays at least as long as the policy says.
    #[cfg(feature = "persistence")]
    pub(crate) fn prepare(
        &mut self,
        now: Instant,
        channel: &Channel,
        append: &Append<'_>,
    ) -> Result<Prepared, StreamPosition> {
        let policy = append.policy;
        let stream = Self::stream(&mut self.streams, &mut self.positions, now, channel, policy.meta_ttl);
        let lifetime = policy.meta_ttl.max(policy.ttl);
        let position = stream.log.read(now, &HistoryQuery::position(), lifetime).position;
        if stream.log.is_stale(append.version, append.version_epoch) {
            return Err(position);
        }
        let (version, version_epoch) = stream.log.version();
        let version_epoch = version_epoch.to_owned();
        Ok(Prepared { oldest: stream.log.oldest_with_next(now, policy), position, version, version_epoch })
    }

    /// Puts a stream in that was stored.
    #[cfg(feature = "persistence")]
    pub(crate) fn insert(&mut self, channel: &Channel, log: StreamLog) {
        self.positions.push(log.due(), channel.clone());
        let due = log.entries_due();
        if let Some(due) = due {
            self.entries.push(due, channel.clone());
        }
        self.streams.insert(channel.clone(), Stream { log, noted: due.is_some() });
    }

    /// The last offset of the channel's stream, if it has one.
    #[cfg(feature = "persistence")]
    pub(crate) fn top(&self, channel: &Channel) -> Option<u64> {
        self.streams.get(channel).map(|stream| stream.log.position().offset)
    }

    /// The channel's stream; a new one if there is none or its time has come.
    fn stream<'a>(
        streams: &'a mut HashMap<Channel, Stream, RandomState>,
        positions: &mut Deadlines<Channel>,
        now: Instant,
        channel: &Channel,
        meta_ttl: Duration,
    ) -> &'a mut Stream {
        let stream = streams.entry(channel.clone()).or_insert_with(|| {
            let log = StreamLog::new(Epoch::random(), now, meta_ttl);
            positions.push(log.due(), channel.clone());
            Stream { log, noted: false }
        });
        if stream.log.is_expired(now) {
            stream.log = StreamLog::new(Epoch::random(), now, meta_ttl);
        }
        stream
    }

    /// Frees what has gone by now, as far as one batch gets, and tells of it. `true`: there may be more.
    pub(crate) fn expire(&mut self, now: Instant, gone: &mut dyn FnMut(Gone<'_>)) -> bool {
        for _ in 0..BATCH {
            let Some(channel) = self.entries.pop_due(now) else { break };
            let Some(stream) = self.streams.get_mut(&channel) else { continue };
            stream.log.expire(now);
            stream.noted = match stream.log.entries_due() {
                Some(due) => {
                    self.entries.push(due, channel);
                    true
                }
                None => {
                    gone(Gone::Entries(&channel, stream.log.position().offset));
                    false
                }
            };
        }
        let mut looked_at = 0;
        while looked_at < BATCH
            && let Some(channel) = self.positions.pop_due(now)
        {
            looked_at += 1;
            match self.streams.get(&channel) {
                Some(stream) if !stream.log.is_expired(now) => {
                    self.positions.push(stream.log.due(), channel);
                }
                _ => {
                    gone(Gone::Stream(&channel));
                    self.streams.remove(&channel);
                }
            }
        }
        if self.streams.capacity() > 64 && self.streams.len() < self.streams.capacity() / 8 {
            self.streams.shrink_to(self.streams.len() * 2);
        }
        looked_at == BATCH || self.entries.is_due(now)
    }

    pub(crate) fn count(&self) -> Count {
        let publications = self.streams.values().map(|stream| stream.log.len()).sum();
        Count { streams: self.streams.len(), publications }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_stream_is_noted_once() {
        let mut streams = Streams::default();
        let channel = Channel::from("a");
        let policy =
            HistoryPolicy { size: 10, ttl: Duration::from_secs(60), meta_ttl: Duration::from_secs(90) };
        let mut now = Instant::ZERO;
        for _ in 0..100 {
            let append = Append {
                policy: &policy,
                version: 0,
                version_epoch: "",
                delta: false,
                publication: Publication::default(),
            };
            streams.append(now, &channel, append);
            assert!(!streams.expire(now, &mut |_| ()));
            assert_eq!((streams.entries.len(), streams.positions.len()), (1, 1));
            now += Duration::from_secs(40);
        }
        assert_eq!(streams.count(), Count { streams: 1, publications: 10 });
    }
}
