//! The file of streams, and the queue before it.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use redb::{Database, Durability, ReadableTable, Table, TableDefinition};
use tourbillon_broker::BrokerError;
use tourbillon_types::{Channel, Epoch, Instant, Publication};

use super::codec::{FORMAT, decode_meta, decode_publication, encode_meta, encode_publication, weight};
use super::desk::Desk;
use super::{Fsync, Meta, OpenError, Persistence};

const METAS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("streams");
const ENTRIES: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("publications");
const STATE: TableDefinition<'_, &str, u64> = TableDefinition::new("state");

/// How much may wait to be written, in bytes of memory.
const ROOM: usize = 16 * 1024 * 1024;

/// Something to be stored. Records of a channel are taken in the order in which they came about: appends under the
/// lock of the channel's order, which no other append comes between, and what time ended under the lock of its shard,
/// at a moment when nothing is appended.
#[derive(Debug)]
pub(crate) enum Record {
    Append {
        channel: Channel,
        meta: Meta,
        /// The oldest publication that is kept from now on.
        oldest: u64,
        publication: Box<Publication>,
    },
    /// A stream has begun, and nothing was published to it yet. What is stored under its name is of an older one.
    Begin { channel: Channel, meta: Meta },
    /// Publications before an offset are gone.
    Trim { channel: Channel, before: u64 },
    /// The stream is gone.
    Forget { channel: Channel },
}

/// What was stored of a channel.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) channel: Channel,
    pub(crate) meta: Meta,
    pub(super) publications: Vec<Publication>,
}

/// Writes records in batches: whoever waits for the disk first takes all that has collected along.
#[derive(Debug)]
pub(crate) struct Journal {
    /// `None` while this is dropped.
    database: Option<Database>,
    fsync: Fsync,
    desk: Desk,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug)]
struct Queue {
    waiting: Vec<Record>,
    bytes: usize,
    /// The number of the batch that is collecting, from 1, and of the last one that is written.
    collecting: u64,
    written: u64,
    writing: bool,
    /// When a flush was due last.
    flushed: Instant,
    open: Open,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Yes,
    /// All is stored; nothing more is taken.
    Closed,
    /// A write failed: what is on the disk is not what is in memory any more.
    Failed,
}

impl Journal {
    /// Opens the file and reads all that is in it. Blocks.
    pub(crate) fn open(
        persistence: &Persistence,
        unix_millis: i64,
    ) -> Result<(Self, Vec<Restored>), OpenError> {
        make_private(&persistence.path)?;
        Self::over(Database::create(&persistence.path)?, persistence.fsync, unix_millis)
    }

    /// The same with a database that is open.
    pub(super) fn over(
        database: Database,
        fsync: Fsync,
        unix_millis: i64,
    ) -> Result<(Self, Vec<Restored>), OpenError> {
        let transaction = database.begin_write()?;
        let mut restored = Vec::new();
        {
            let mut state = transaction.open_table(STATE)?;
            let found = state.get("format")?.map_or(FORMAT, |found| found.value());
            if found != FORMAT {
                return Err(OpenError::Format { found, expected: FORMAT });
            }
            let unclean = state.get("unclean")?.is_some_and(|unclean| unclean.value() != 0);
            state.insert("format", FORMAT)?;
            state.insert("unclean", u64::from(fsync != Fsync::Always))?;
            let mut metas = transaction.open_table(METAS)?;
            let mut entries = transaction.open_table(ENTRIES)?;
            for (channel, mut meta) in read_metas(&metas)? {
                if unclean {
                    meta.epoch = Epoch::random();
                    metas.insert(channel.as_str(), encode_meta(&meta).as_slice())?;
                }
                if meta.remaining(unix_millis).is_zero() {
                    entries.retain_in(range(&channel, 0, u64::MAX), |_, _| false)?;
                }
                let publications = read_publications(&entries, &channel)?;
                restored.push(Restored { channel, meta, publications });
            }
        }
        transaction.commit()?;
        let queue = Queue {
            waiting: Vec::new(),
            bytes: 0,
            collecting: 1,
            written: 0,
            writing: false,
            flushed: Instant::ZERO,
            open: Open::Yes,
        };
        let (desk, queue, changed) = (Desk::new(), Mutex::new(queue), Condvar::new());
        Ok((Self { database: Some(database), fsync, desk, queue, changed }, restored))
    }

    /// Where those wait who are to go to the disk.
    pub(crate) const fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Whether everything is on the disk before anybody is told.
    pub(crate) fn waits(&self) -> bool {
        self.fsync == Fsync::Always
    }

    /// How often [`flush`](Self::flush) is to be called.
    pub(crate) const fn interval(&self) -> Option<Duration> {
        match self.fsync {
            Fsync::Interval(interval) => Some(interval),
            Fsync::Always | Fsync::Never => None,
        }
    }

    /// Whether it is time to [`flush`](Self::flush). What nothing depends on is stored whenever this is asked with
    /// [`Fsync::Always`].
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        let mut queue = self.queue.lock();
        let due = match self.fsync {
            Fsync::Always => true,
            Fsync::Interval(interval) => queue.flushed + interval <= now,
            Fsync::Never => queue.bytes >= ROOM,
        };
        if due {
            queue.flushed = now;
        }
        due
    }

    /// Whether so much waits that it has to be written first.
    pub(crate) fn is_full(&self) -> bool {
        self.queue.lock().bytes >= ROOM
    }

    /// Takes a record to be stored later, or with [`Fsync::Always`] stores it now, which blocks.
    pub(crate) fn store(&self, record: Record) -> Result<(), BrokerError> {
        let mut queue = self.queue.lock();
        queue.check()?;
        queue.push(record);
        if !self.waits() {
            return Ok(());
        }
        let batch = queue.collecting;
        self.write(queue, batch)
    }

    /// Takes a record of which nothing depends, to be stored with others later.
    pub(crate) fn note(&self, record: Record) {
        let mut queue = self.queue.lock();
        if queue.open == Open::Yes {
            queue.push(record);
        }
    }

    /// Writes all that waits. Blocks.
    pub(crate) fn flush(&self) -> Result<(), BrokerError> {
        let queue = self.queue.lock();
        if queue.waiting.is_empty() {
            let batch = queue.collecting.saturating_sub(1);
            return self.write(queue, batch);
        }
        let batch = queue.collecting;
        self.write(queue, batch)
    }

    /// Writes all that waits and says in the file that this is all. From then on nothing more is taken. Blocks.
    pub(crate) fn close(&self) -> Result<(), BrokerError> {
        let mut queue = self.queue.lock();
        queue.check()?;
        while queue.writing {
            self.changed.wait(&mut queue);
        }
        let waiting = queue.take();
        let committed = self.guarded(&waiting, true);
        queue.open = if committed.is_ok() { Open::Closed } else { Open::Failed };
        self.changed.notify_all();
        committed
    }

    /// Waits until a batch is written, and writes it if nobody else does.
    fn write(&self, mut queue: MutexGuard<'_, Queue>, batch: u64) -> Result<(), BrokerError> {
        loop {
            if queue.written >= batch {
                return Ok(());
            }
            queue.check()?;
            if queue.writing {
                self.changed.wait(&mut queue);
                continue;
            }
            let number = queue.collecting;
            let records = queue.take();
            queue.writing = true;
            let committed = MutexGuard::unlocked(&mut queue, || self.guarded(&records, false));
            queue.writing = false;
            match &committed {
                Ok(()) => queue.written = number,
                Err(_) => queue.fail(),
            }
            self.changed.notify_all();
            committed?;
        }
    }

    /// Whether what is to be kept is.
    pub(crate) fn check(&self) -> Result<(), BrokerError> {
        self.queue.lock().check()
    }

    /// The database gives up where its own structures make no sense: others would wait for ever for what it was doing.
    fn guarded(&self, records: &[Record], last: bool) -> Result<(), BrokerError> {
        let committed = catch_unwind(AssertUnwindSafe(|| self.commit(records, last)));
        let committed = committed.map_err(|_| BrokerError::unavailable("the file of streams is damaged"))?;
        committed.map_err(|error| {
            BrokerError::unavailable("writing to the file of streams failed").caused_by(error)
        })
    }

    fn commit(&self, records: &[Record], last: bool) -> Result<(), redb::Error> {
        let Some(database) = &self.database else { return Ok(()) };
        let mut transaction = database.begin_write()?;
        let durable = last || self.fsync != Fsync::Never;
        transaction.set_durability(if durable { Durability::Immediate } else { Durability::None })?;
        {
            let mut metas = transaction.open_table(METAS)?;
            let mut entries = transaction.open_table(ENTRIES)?;
            for record in records {
                apply(record, &mut metas, &mut entries)?;
            }
            if last {
                transaction.open_table(STATE)?.insert("unclean", 0)?;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

impl Drop for Journal {
    /// A database that gave up gives up once more when it is closed.
    fn drop(&mut self) {
        let database = self.database.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(database)));
    }
}

/// Makes the file, if it is not there, for nobody else to read: it holds what is published.
fn make_private(path: &Path) -> Result<(), OpenError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop).map_err(|error| OpenError::File(Box::new(redb::Error::Io(error))))
}

impl Queue {
    fn check(&self) -> Result<(), BrokerError> {
        match self.open {
            Open::Yes => Ok(()),
            Open::Closed => Err(BrokerError::unavailable("the file of streams is closed")),
            Open::Failed => Err(BrokerError::unavailable("writing to the file of streams failed before")),
        }
    }

    fn push(&mut self, record: Record) {
        self.bytes += match &record {
            Record::Append { channel, publication, .. } => weight(channel, publication),
            Record::Begin { channel, .. } | Record::Trim { channel, .. } | Record::Forget { channel } => {
                channel.len() + 128
            }
        };
        self.waiting.push(record);
    }

    /// Nothing more is taken, and what waits is never written.
    fn fail(&mut self) {
        self.open = Open::Failed;
        (self.bytes, self.waiting) = (0, Vec::new());
    }

    fn take(&mut self) -> Vec<Record> {
        self.bytes = 0;
        self.collecting += 1;
        std::mem::take(&mut self.waiting)
    }
}

fn apply(
    record: &Record,
    metas: &mut Table<'_, &str, &[u8]>,
    entries: &mut Table<'_, (&str, u64), &[u8]>,
) -> Result<(), redb::Error> {
    match record {
        Record::Append { channel, meta, oldest, publication } => {
            let offset = publication.offset;
            metas.insert(channel.as_str(), encode_meta(meta).as_slice())?;
            entries.retain_in(range(channel, 0, oldest.saturating_sub(1)), |_, _| false)?;
            if offset == 1 {
                // A new epoch: what is stored with higher offsets is of the one before.
                entries.retain_in(range(channel, 1, u64::MAX), |_, _| false)?;
            }
            entries.insert((channel.as_str(), offset), encode_publication(publication).as_slice())?;
        }
        Record::Begin { channel, meta } => {
            metas.insert(channel.as_str(), encode_meta(meta).as_slice())?;
            entries.retain_in(range(channel, 0, u64::MAX), |_, _| false)?;
        }
        Record::Trim { channel, before } => {
            entries.retain_in(range(channel, 0, before.saturating_sub(1)), |_, _| false)?;
        }
        Record::Forget { channel } => {
            metas.remove(channel.as_str())?;
            entries.retain_in(range(channel, 0, u64::MAX), |_, _| false)?;
        }
    }
    Ok(())
}

/// A channel's publications from one offset to another, both included.
fn range(channel: &Channel, first: u64, last: u64) -> std::ops::RangeInclusive<(&str, u64)> {
    (channel.as_str(), first)..=(channel.as_str(), last)
}

fn read_metas(metas: &Table<'_, &str, &[u8]>) -> Result<BTreeMap<Channel, Meta>, OpenError> {
    let mut read = BTreeMap::new();
    for row in metas.iter()? {
        let (channel, meta) = row?;
        let channel = Channel::from(channel.value());
        let meta = decode_meta(meta.value()).ok_or_else(|| damaged(&channel))?;
        read.insert(channel, meta);
    }
    Ok(read)
}

fn read_publications(
    entries: &Table<'_, (&str, u64), &[u8]>,
    channel: &Channel,
) -> Result<Vec<Publication>, OpenError> {
    let mut publications = Vec::new();
    for row in entries.range(range(channel, 0, u64::MAX))? {
        let (key, bytes) = row?;
        let publication = decode_publication(key.value().1, bytes.value());
        publications.push(publication.ok_or_else(|| damaged(channel))?);
    }
    Ok(publications)
}

fn damaged(channel: &Channel) -> OpenError {
    OpenError::Damaged { channel: channel.to_string() }
}
