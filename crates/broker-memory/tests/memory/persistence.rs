//! Streams in a file: what is there after an orderly end, and after a crash.
//!
//! A crash is a copy of the file while the engine is running, which is what a killed process leaves.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redb::{Database, TableDefinition};
use tourbillon_broker::conformance::Harness;
use tourbillon_broker::{
    Broker, BrokerEvents, DynBroker, EventSink, History, HistoryQuery, Page, Publish, Published, Suppressed,
    conformance_suite,
};
use tourbillon_broker_memory::{Fsync, MemoryEngine, OpenError, Persistence};
use tourbillon_types::{Channel, ClientId, ClientInfo, ManualClock, Payload, Publication, UserId};

use crate::rig::{META_TTL, TTL, kept};

/// A file of its own for every caller, gone at the end.
struct File(PathBuf);

impl File {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("streams-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name))
    }

    /// What a crash leaves.
    fn crash(&self) -> Self {
        let copy = Self::new();
        std::fs::copy(&self.0, &copy.0).expect("a copy");
        copy
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

struct Stored {
    clock: Arc<ManualClock>,
    engine: MemoryEngine,
}

impl Stored {
    fn open(file: &File, fsync: Fsync) -> Self {
        Self::open_at(file, fsync, 1_000_000)
    }

    fn open_at(file: &File, fsync: Fsync, unix_millis: i64) -> Self {
        let clock = Arc::new(ManualClock::new(unix_millis));
        let persistence = Persistence { path: file.0.clone(), fsync };
        let engine = MemoryEngine::open(clock.clone(), &persistence).expect("an engine");
        Self { clock, engine }
    }

    async fn publish(&self, publish: Publish) -> Published {
        Broker::publish(&self.engine, publish).await.expect("published")
    }

    async fn read(&self, channel: &str) -> Page {
        let channel = Channel::from(channel);
        self.engine.history(&channel, &HistoryQuery::default(), META_TTL).await.expect("a page")
    }

    /// Runs until it is told to end, which is at once.
    async fn end(self) {
        Broker::run(&self.engine, Box::pin(std::future::ready(()))).await.expect("an orderly end");
    }
}

fn rich() -> Publish {
    let mut publish = kept("a");
    publish.data = Payload::from_json(vec![b'1'; 3000].into());
    publish.options.tags = Some(Arc::new([("key".to_owned(), "value".to_owned())].into()));
    publish.options.info = Some(Arc::new(ClientInfo {
        user: UserId::from("user"),
        client: Some(ClientId::from_random([7; 16])),
        connection: Payload::from("{}"),
        channel: Payload::empty(),
    }));
    publish
}

#[tokio::test]
async fn what_is_synced_always_survives_any_crash_in_its_epoch() {
    let file = File::new();
    let before = Stored::open(&file, Fsync::Always);
    before.publish(rich()).await;
    let mut versioned = kept("a");
    (versioned.options.version, versioned.options.version_epoch) = (7, "x".to_owned());
    before.publish(versioned.clone()).await;
    let top = before.publish(kept("a")).await.position;
    before.publish(kept("b")).await;
    let page = before.read("a").await;

    let crashed = file.crash();
    let after = Stored::open(&crashed, Fsync::Always);
    let restored = after.read("a").await;
    assert_eq!(restored, page);
    let first = restored.publications.first().expect("a publication");
    assert!(first.data.is_known_json() && first.time == 1_000_000);
    assert_eq!(after.publish(versioned).await.suppressed, Some(Suppressed::Version), "versions, too");
    let next = after.publish(kept("a")).await.position;
    assert_eq!((next.offset, next.epoch), (top.offset + 1, top.epoch));
    assert_eq!(after.read("b").await.publications.len(), 1);
}

#[tokio::test]
async fn nobody_gets_what_a_crash_could_undo() {
    /// Looks, at the moment of delivery, for what a crash would leave.
    struct Ear(Arc<File>, Mutex<Vec<File>>);

    impl BrokerEvents for Ear {
        fn publication(&self, _: &Channel, _: Arc<Publication>) {
            self.1.lock().push(self.0.crash());
        }

        fn join(&self, _: &Channel, _: Arc<ClientInfo>) {}
        fn leave(&self, _: &Channel, _: Arc<ClientInfo>) {}
        fn position_lost(&self, _: Option<&Channel>) {}
    }

    let file = Arc::new(File::new());
    let stored = Stored::open(&file, Fsync::Always);
    let ear = Arc::new(Ear(file, Mutex::default()));
    Broker::attach(&stored.engine, EventSink::new(ear.clone()));
    let mut positions = Vec::new();
    for _ in 0..3 {
        positions.push(stored.publish(kept("a")).await.position);
    }
    let crashed = std::mem::take(&mut *ear.1.lock());
    assert_eq!(crashed.len(), 3);
    for (file, position) in crashed.iter().zip(positions) {
        assert_eq!(Stored::open(file, Fsync::Always).read("a").await.position, position);
    }
}

#[tokio::test]
async fn after_a_crash_that_may_undo_something_epochs_are_new() {
    for fsync in [Fsync::Interval(Duration::from_secs(1)), Fsync::Never] {
        let file = File::new();
        let before = Stored::open(&file, fsync);
        let first = before.publish(kept("a")).await.position;
        before.end().await;

        let before = Stored::open(&file, fsync);
        assert_eq!(before.read("a").await.position, first, "an orderly end undoes nothing");
        let second = before.publish(kept("a")).await.position;
        assert_eq!((second.offset, &second.epoch), (2, &first.epoch));

        let crashed = file.crash();
        let after = Stored::open(&crashed, Fsync::Always);
        let page = after.read("a").await;
        assert_ne!(page.position.epoch, first.epoch, "the second one is gone, and its offset comes again");
        assert_eq!(page.position.offset, 1);
        assert!(page.publications.iter().all(|publication| publication.epoch == page.position.epoch));
        assert_eq!(page.publications.len(), 1);
        let next = after.publish(kept("a")).await.position;
        assert_eq!((next.offset, &next.epoch), (2, &page.position.epoch));
        let again = Stored::open(&crashed.crash(), Fsync::Always);
        assert_eq!(again.read("a").await.position, next, "new once");
    }
}

#[tokio::test(start_paused = true)]
async fn intervals_bound_what_a_crash_undoes() {
    let file = File::new();
    let stored = Stored::open(&file, Fsync::Interval(Duration::from_secs(3)));
    let count =
        async |file: &File| Stored::open(&file.crash(), Fsync::Always).read("a").await.publications.len();
    stored.publish(kept("a")).await;
    assert_eq!(count(&file).await, 0);
    let second = Duration::from_secs(1);
    // The engine's own time and that of the runtime go together.
    for (seconds, expected) in [(2, 0), (4, 1)] {
        let (engine, clock) = (stored.engine.clone(), stored.clock.clone());
        let ticks = async {
            for _ in 0..seconds {
                tokio::time::sleep(second).await;
                clock.advance(second);
            }
        };
        let mut ticks = Box::pin(ticks);
        let mut run = Box::pin(Broker::run(&engine, Box::pin(std::future::pending())));
        std::future::poll_fn(|cx| {
            let _ = run.as_mut().poll(cx);
            ticks.as_mut().poll(cx)
        })
        .await;
        assert_eq!(count(&file).await, expected);
    }
}

#[tokio::test]
async fn what_has_gone_stays_gone() {
    let file = File::new();
    let stored = Stored::open(&file, Fsync::Always);
    for _ in 0..25 {
        stored.publish(kept("a")).await;
    }
    stored.publish(kept("b")).await;
    let channel = Channel::from("b");
    stored.engine.remove_history(&channel).await.expect("removed");
    stored.engine.remove_history(&Channel::from("never")).await.expect("removed");
    let crashed = file.crash();
    assert_eq!(rows(&crashed), 10, "no more than the policy keeps");
    let after = Stored::open(&crashed, Fsync::Always);
    assert_eq!(after.read("a").await.publications.len(), 10);
    let page = after.read("b").await;
    assert_eq!((page.publications.len(), page.position.offset), (0, 1));
}

#[tokio::test]
async fn time_passes_while_a_program_is_down() {
    let file = File::new();
    let stored = Stored::open_at(&file, Fsync::Always, 1_000_000);
    let top = stored.publish(kept("a")).await.position;
    let almost = Stored::open_at(&file.crash(), Fsync::Always, 1_059_000);
    assert_eq!(almost.read("a").await.publications.len(), 1);
    almost.clock.advance(Duration::from_secs(1));
    assert_eq!(almost.read("a").await.publications.len(), 0, "the rest of its time and no more");
    let crashed = file.crash();
    let later = Stored::open_at(&crashed, Fsync::Always, 1_060_000);
    let page = later.read("a").await;
    assert_eq!((page.publications.len(), &page.position), (0, &top));
    drop(later);
    assert_eq!(rows(&crashed), 0);
}

#[tokio::test]
async fn the_file_forgets_with_the_engine() {
    let file = File::new();
    let stored = Stored::open(&file, Fsync::Interval(Duration::ZERO));
    stored.publish(kept("a")).await;
    stored.clock.advance(TTL);
    stored.engine.expire();
    let clock = stored.clock.clone();
    stored.end().await;
    assert_eq!(rows(&file), 0);
    let stored = Stored::open(&file, Fsync::Interval(Duration::ZERO));
    assert_eq!(stored.engine.stats().streams, 1);
    stored.clock.advance(META_TTL);
    stored.engine.expire();
    stored.end().await;
    assert_eq!(Stored::open(&file, Fsync::Always).engine.stats().streams, 0);
    drop(clock);
}

#[tokio::test]
async fn an_epoch_that_nothing_was_published_in_does_not_bring_the_one_before_it_back() {
    let file = File::new();
    let stored = Stored::open(&file, Fsync::Always);
    stored.publish(kept("a")).await;
    for _ in 0..2 {
        stored.clock.advance(META_TTL);
        stored.read("a").await;
    }
    stored.clock.advance(META_TTL);
    stored.engine.expire();
    stored.end().await;
    assert_eq!(Stored::open(&file, Fsync::Always).engine.stats().streams, 0);
}

/// Subscribers of a channel to which nothing was published yet hold a position in it, too.
#[tokio::test]
async fn an_epoch_that_was_told_is_stored_before_anything_is_published() {
    for fsync in [Fsync::Always, Fsync::Never] {
        let file = File::new();
        let stored = Stored::open(&file, fsync);
        let told = stored.read("a").await.position;
        stored.end().await;
        let stored = Stored::open(&file, fsync);
        assert_eq!(stored.publish(kept("a")).await.position.epoch, told.epoch);
        assert_eq!(stored.read("a").await.publications.len(), 1);
    }
    // With a crash: once a second has gone.
    let file = File::new();
    let stored = Stored::open(&file, Fsync::Always);
    let told = stored.read("a").await.position;
    stored.publish(kept("b")).await;
    let after = Stored::open(&file.crash(), Fsync::Always);
    assert_eq!(after.read("a").await.position, told);
}

#[tokio::test]
async fn a_new_epoch_replaces_what_is_stored_of_the_old_one() {
    let file = File::new();
    let stored = Stored::open(&file, Fsync::Always);
    for _ in 0..5 {
        stored.publish(kept("a")).await;
    }
    stored.clock.advance(META_TTL);
    let new = stored.publish(kept("a")).await.position;
    assert_eq!(new.offset, 1);
    // What is told of the old one now comes too late.
    stored.engine.expire();
    stored.publish(kept("b")).await;
    let page = Stored::open_at(&file.crash(), Fsync::Always, 1_000_000 + 3_600_000).read("a").await;
    assert_eq!((page.publications.len(), page.position), (1, new));
}

#[tokio::test]
async fn an_engine_that_ended_takes_nothing_it_could_not_keep() {
    let file = File::new();
    let stored = Stored::open(&file, Fsync::Interval(Duration::from_secs(1)));
    stored.publish(kept("a")).await;
    let engine = stored.engine.clone();
    stored.end().await;
    let refused = Broker::publish(&engine, kept("a")).await;
    assert!(refused.is_err_and(|error| error.is_transient()));
    let past = Publish::new(Channel::from("a"), Payload::from("{}"));
    assert!(Broker::publish(&engine, past).await.is_ok());
    let position = engine.position(&Channel::from("a"), META_TTL).await.expect("a position");
    assert_eq!(position.offset, 1);
}

#[tokio::test]
async fn publishers_of_many_channels_store_together() {
    let file = File::new();
    let stored = Stored::open(&file, Fsync::Always);
    let publishers = (0..50).map(|number| {
        let engine = stored.engine.clone();
        tokio::spawn(async move {
            for _ in 0..4 {
                Broker::publish(&engine, kept(&format!("channel-{number}"))).await.expect("published");
            }
        })
    });
    for publisher in publishers.collect::<Vec<_>>() {
        publisher.await.expect("no panic");
    }
    let after = Stored::open(&file.crash(), Fsync::Always);
    assert_eq!((after.engine.stats().streams, after.engine.stats().publications), (50, 200));
}

#[test]
fn a_file_that_cannot_be_used_is_told_of() {
    let clock = || Arc::new(ManualClock::new(0));
    let open = |path: &Path| {
        let persistence = Persistence { path: path.to_owned(), fsync: Fsync::Always };
        MemoryEngine::open(clock(), &persistence).map(drop)
    };
    let nowhere = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-such-directory").join("streams");
    assert!(matches!(open(&nowhere), Err(OpenError::File(_))));
    let garbage = File::new();
    std::fs::write(&garbage.0, vec![b'x'; 10_000]).expect("written");
    assert!(matches!(open(&garbage.0), Err(OpenError::File(_))));
    let file = File::new();
    let stored = Stored::open(&file, Fsync::Always);
    assert!(matches!(open(&file.0), Err(OpenError::File(_))), "it is in use");
    drop(stored);
    assert!(open(&file.0).is_ok());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&file.0).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "what is published is not for everybody on the machine");
    }

    const STATE: TableDefinition<'_, &str, u64> = TableDefinition::new("state");
    const STREAMS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("streams");
    let spoil = |file: &File, spoil: &dyn Fn(&redb::WriteTransaction)| {
        let database = Database::create(&file.0).expect("a database");
        let transaction = database.begin_write().expect("a transaction");
        spoil(&transaction);
        transaction.commit().expect("committed");
    };
    spoil(&file, &|transaction| {
        let mut streams = transaction.open_table(STREAMS).expect("a table");
        streams.insert("a", b"nonsense".as_slice()).expect("inserted");
    });
    assert!(matches!(open(&file.0), Err(OpenError::Damaged { channel }) if channel == "a"));
    spoil(&file, &|transaction| {
        let mut state = transaction.open_table(STATE).expect("a table");
        state.insert("format", 2).expect("inserted");
    });
    assert!(matches!(open(&file.0), Err(OpenError::Format { found: 2, expected: 1 })));
}

/// Whatever happens to a file, opening it tells, or gives what makes sense. It neither panics nor hangs.
#[tokio::test]
async fn a_damaged_file_is_told_of() {
    let file = File::new();
    let stored = Stored::open(&file, Fsync::Always);
    for channel in 0..20 {
        for _ in 0..3 {
            stored.publish(kept(&format!("channel-{channel}"))).await;
        }
    }
    stored.end().await;
    let whole = std::fs::read(&file.0).expect("read");
    let mut told = 0;
    let mut open = |bytes: &[u8]| {
        let damaged = File::new();
        std::fs::write(&damaged.0, bytes).expect("written");
        let persistence = Persistence { path: damaged.0.clone(), fsync: Fsync::Always };
        told += u32::from(MemoryEngine::open(Arc::new(ManualClock::new(0)), &persistence).is_err());
    };
    for part in 1..8 {
        open(&whole[..whole.len() * part / 8]);
    }
    for at in (0..512).step_by(8).chain((512..whole.len()).step_by(whole.len() / 40)) {
        let mut bytes = whole.clone();
        bytes[at..(at + 16).min(whole.len())].fill(0xa5);
        open(&bytes);
    }
    assert!(told > 20, "only {told} of about a hundred damaged files were noticed");
}

/// The number of publications in a file that nobody has open.
fn rows(file: &File) -> u64 {
    use redb::{ReadableDatabase, ReadableTableMetadata};
    const ENTRIES: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("publications");
    let copy = file.crash();
    let database = Database::create(&copy.0).expect("a database");
    let transaction = database.begin_read().expect("a transaction");
    transaction.open_table(ENTRIES).expect("a table").len().expect("a number")
}

/// The suite that every broker passes, with a file.
struct WithFile {
    stored: Stored,
    _file: File,
}

impl WithFile {
    fn new(fsync: Fsync) -> Self {
        let file = File::new();
        Self { stored: Stored::open(&file, fsync), _file: file }
    }
}

impl Harness for WithFile {
    async fn broker(&self, events: EventSink) -> Arc<dyn DynBroker> {
        Broker::attach(&self.stored.engine, events);
        Arc::new(self.stored.engine.clone())
    }

    async fn pass(&self, duration: Duration) -> bool {
        self.stored.clock.advance(duration);
        self.stored.engine.expire();
        true
    }
}

fn block_on(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(future);
}

mod always {
    use super::*;
    conformance_suite!(block_on, WithFile::new(Fsync::Always));
}

mod never {
    use super::*;
    conformance_suite!(block_on, WithFile::new(Fsync::Never));
}
