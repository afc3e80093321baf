//! The engine with a file.

use std::sync::Arc;
use std::time::Duration;

use tourbillon_broker::{BrokerError, HistoryQuery, Page, Publish, PublishOptions, Published};
use tourbillon_recovery::StreamLog;
use tourbillon_types::{Channel, Now, Publication, StreamPosition};

use super::journal::{Journal, Record, Restored};
use super::{Meta, OpenError, Persistence};
use crate::PERIOD;
use crate::engine::{Inner, is_ordered};
use crate::streams::{Append, Appended, Gone, Prepared};

impl Inner {
    /// Reads what is stored, and stores from now on.
    pub(crate) fn restore(&mut self, persistence: &Persistence) -> Result<(), OpenError> {
        self.go_on(Journal::open(persistence, self.clock.now().unix_millis)?);
        Ok(())
    }

    /// Goes on where a file ends.
    pub(super) fn go_on(&mut self, (journal, restored): (Journal, Vec<Restored>)) {
        let now = self.clock.now();
        for stream in restored {
            let channel = stream.channel.clone();
            self.shard(channel.as_str()).streams.lock().insert(&channel, stream.into_log(now));
        }
        self.journal = Some(journal);
    }

    /// Whether publishing this may wait for the disk.
    pub(crate) fn waits_for_disk(&self, options: &PublishOptions) -> bool {
        // What only waits for its turn in a channel may wait for somebody who waits for the disk.
        self.journal
            .as_ref()
            .is_some_and(|journal| journal.waits() && is_ordered(options) || journal.is_full())
    }

    /// How often something is to be done with the file; `None` without one.
    pub(crate) fn storing_period(&self) -> Option<Duration> {
        self.journal.as_ref().map(|journal| journal.interval().unwrap_or(PERIOD))
    }

    /// Publishes when there is room for what has to be stored.
    pub(crate) fn publish_after_flush(&self, publish: Publish) -> Result<Published, BrokerError> {
        if let Some(journal) = self.journal.as_ref().filter(|journal| journal.is_full()) {
            journal.flush()?;
        }
        self.publish(publish)
    }

    /// Stores a publication and appends it. In between nobody sees it: what can be read is as safe as was promised.
    pub(crate) fn append_stored(
        &self,
        journal: &Journal,
        now: Now,
        channel: &Channel,
        append: Append<'_>,
    ) -> Result<Appended, BrokerError> {
        let streams = &self.shard(channel.as_str()).streams;
        let prepared = streams.lock().prepare(now.instant, channel, &append);
        let Prepared { position, oldest, version, version_epoch } = match prepared {
            Ok(prepared) => prepared,
            Err(position) => return Ok(Appended::Stale(position)),
        };
        let newer = append.version != 0;
        let meta = Meta {
            epoch: position.epoch.clone(),
            top: position.offset + 1,
            published: now.unix_millis,
            ttl: append.policy.ttl,
            meta_ttl: append.policy.meta_ttl,
            version: if newer { append.version } else { version },
            version_epoch: if newer { append.version_epoch.to_owned() } else { version_epoch },
        };
        // It may wait for long, and must not pin the buffer that it arrived in.
        let data = append.publication.data.detached();
        let publication = Box::new(Publication { offset: meta.top, data, ..append.publication.clone() });
        let expected = StreamPosition { offset: meta.top, epoch: meta.epoch.clone() };
        journal.store(Record::Append { channel: channel.clone(), meta, oldest, publication })?;
        let appended = streams.lock().append(now.instant, channel, append);
        match &appended {
            Appended::Kept { publication, .. }
                if publication.offset != expected.offset || publication.epoch != expected.epoch =>
            {
                Err(BrokerError::internal("a stream ended while it was stored"))
            }
            _ => Ok(appended),
        }
    }

    /// Answers a query. Where that begins a stream, it is stored soon: what subscribers are told of it stays true.
    pub(crate) fn read_stored(
        &self,
        journal: &Journal,
        channel: &Channel,
        query: &HistoryQuery,
        meta_ttl: Duration,
    ) -> Page {
        let now = self.clock.now();
        let mut streams = self.shard(channel.as_str()).streams.lock();
        let begins = !streams.has(now.instant, channel);
        let page = streams.read(now.instant, channel, query, meta_ttl);
        if begins {
            let meta = Meta {
                epoch: page.position.epoch.clone(),
                top: 0,
                published: now.unix_millis,
                ttl: Duration::ZERO,
                meta_ttl,
                version: 0,
                version_epoch: String::new(),
            };
            // Under the lock, as whatever ends: none of them comes out of turn.
            journal.note(Record::Begin { channel: channel.clone(), meta });
        }
        page
    }

    /// Forgets a channel's publications, here and in the file.
    pub(crate) fn clear_stored(&self, channel: &Channel) -> Result<(), BrokerError> {
        let _order = self.order(channel).lock();
        let mut streams = self.shard(channel.as_str()).streams.lock();
        streams.clear(channel);
        let top = streams.top(channel);
        drop(streams);
        match (&self.journal, top) {
            (Some(journal), Some(top)) => journal.store(Gone::Entries(channel, top).into()),
            _ => Ok(()),
        }
    }

    /// Frees what has gone and stores what is to be stored by now.
    pub(crate) fn store_due(&self) -> Result<(), BrokerError> {
        self.expire();
        let Some(journal) = &self.journal else { return Ok(()) };
        if journal.is_due(self.clock.now().instant) { journal.flush() } else { Ok(()) }
    }

    /// Whether what is to be kept is.
    pub(crate) fn check_stored(&self) -> Result<(), BrokerError> {
        self.journal.as_ref().map_or(Ok(()), Journal::check)
    }

    /// Stores everything and takes no more.
    pub(crate) fn close(&self) -> Result<(), BrokerError> {
        self.journal.as_ref().map_or(Ok(()), Journal::close)
    }
}

impl Restored {
    /// The stream as it goes on.
    fn into_log(self, now: Now) -> StreamLog {
        let Self { meta, publications, .. } = self;
        let position = StreamPosition { offset: meta.top, epoch: meta.epoch.clone() };
        let publications = publications
            .into_iter()
            .map(|publication| Arc::new(Publication { epoch: meta.epoch.clone(), ..publication }));
        let lifetime = meta.meta_ttl.max(meta.ttl);
        let entries_due = now.instant + meta.remaining(now.unix_millis);
        let mut log =
            StreamLog::restore(position, publications.collect(), entries_due, now.instant + lifetime);
        log.set_version(meta.version, &meta.version_epoch);
        log
    }
}

impl From<Gone<'_>> for Record {
    fn from(gone: Gone<'_>) -> Self {
        match gone {
            Gone::Entries(channel, top) => {
                Self::Trim { channel: channel.clone(), before: top.saturating_add(1) }
            }
            Gone::Stream(channel) => Self::Forget { channel: channel.clone() },
        }
    }
}
