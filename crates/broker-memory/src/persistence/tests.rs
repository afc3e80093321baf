//! Disks that do as a test says.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use redb::backends::InMemoryBackend;
use redb::{Database, StorageBackend};
use tourbillon_broker::{Broker, BrokerError, HistoryPolicy, Publish, Published, Stop};
use tourbillon_types::{Channel, ManualClock, Payload};

use super::Fsync;
use super::desk::Desk;
use super::journal::Journal;
use crate::engine::Inner;
use crate::{MemoryEngine, MemoryStats};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mood {
    #[default]
    Fine,
    Failing,
    Panicking,
    Stuck,
}

/// A disk in memory.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<(InMemoryBackend, Mutex<Mood>, Condvar)>);

impl Disk {
    fn becomes(&self, mood: Mood) {
        *self.0.1.lock() = mood;
        self.0.2.notify_all();
    }

    fn does(&self) -> io::Result<()> {
        let mut mood = self.0.1.lock();
        while *mood == Mood::Stuck {
            self.0.2.wait(&mut mood);
        }
        assert!(*mood != Mood::Panicking, "as the test wants it");
        if *mood == Mood::Failing { Err(io::Error::other("no room left")) } else { Ok(()) }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.0.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.does()?;
        self.0.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.does()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.does()?;
        self.0.0.write(offset, data)
    }
}

const TTL: Duration = Duration::from_secs(60);

fn engine(disk: &Disk, fsync: Fsync) -> (MemoryEngine, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(0));
    let database = Database::builder().create_with_backend(disk.clone()).expect("a database");
    let mut inner = Inner::new(clock.clone());
    inner.go_on(Journal::over(database, fsync, 0).expect("an empty file"));
    (MemoryEngine(Arc::new(inner)), clock)
}

async fn publish(engine: &MemoryEngine, channel: &str, kept: bool) -> Result<Published, BrokerError> {
    let mut publish = Publish::new(Channel::from(channel), Payload::from("{}"));
    publish.options.history = kept.then_some(HistoryPolicy { size: 10, ttl: TTL, meta_ttl: TTL });
    Broker::publish(engine, publish).await
}

/// Resolves after so many periods of `run`.
fn after(periods: u64) -> Stop {
    // tidy: allow-sleep its test has the clock paused
    Box::pin(tokio::time::sleep(Duration::from_secs(periods) + Duration::from_millis(500)))
}

#[tokio::test(start_paused = true)]
async fn memory_is_freed_though_the_disk_failed_and_all_are_told() {
    let disk = Disk::default();
    let (engine, clock) = engine(&disk, Fsync::Interval(Duration::from_secs(1)));
    publish(&engine, "a", true).await.expect("published");
    assert!(engine.ready().await.is_ok());
    disk.becomes(Mood::Failing);
    clock.advance(Duration::from_secs(2));
    let running = tokio::spawn({
        let engine = engine.clone();
        async move { Broker::run(&engine, after(5)).await }
    });
    while engine.ready().await.is_ok() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    disk.becomes(Mood::Fine);
    // What is on the disk is not what is in memory: nothing is kept any more, and what is not to be kept goes on.
    assert!(publish(&engine, "a", true).await.is_err_and(|error| error.is_transient()));
    assert!(publish(&engine, "a", false).await.is_ok());
    clock.advance(TTL);
    let ended = running.await.expect("no panic");
    assert!(ended.is_err_and(|error| error.is_transient()), "what was published is not stored");
    assert_eq!(engine.stats(), MemoryStats::default());
}

#[tokio::test]
async fn what_collects_behind_a_write_that_fails_holds_up_nobody() {
    let disk = Disk::default();
    let (engine, _) = engine(&disk, Fsync::Never);
    let large = || {
        let mut publish = Publish::new(Channel::from("a"), Payload::from(vec![b'1'; 9 << 20]));
        publish.options.history = Some(HistoryPolicy { size: 10, ttl: TTL, meta_ttl: TTL });
        publish
    };
    let storing = |engine: &MemoryEngine| {
        let engine = engine.clone();
        tokio::task::spawn_blocking(move || engine.0.journal.as_ref().expect("a file").flush())
    };
    Broker::publish(&engine, large()).await.expect("published");
    disk.becomes(Mood::Stuck);
    let stored = storing(&engine);
    // More than has room, while the write is under way.
    let collected = async {
        while !engine.0.journal.as_ref().expect("a file").is_full() {
            Broker::publish(&engine, large()).await.expect("published");
        }
    };
    collected.await;
    disk.becomes(Mood::Failing);
    assert!(stored.await.expect("no panic").is_err());
    assert!(publish(&engine, "b", false).await.is_ok());
}

#[tokio::test]
async fn a_database_that_gives_up_is_a_failure_and_not_for_ever_at_work() {
    let disk = Disk::default();
    let (engine, _) = engine(&disk, Fsync::Always);
    publish(&engine, "a", true).await.expect("published");
    disk.becomes(Mood::Panicking);
    for _ in 0..2 {
        assert!(publish(&engine, "a", true).await.is_err_and(|error| error.is_transient()));
    }
    assert!(engine.ready().await.is_err());
    let closed = Broker::run(&engine, Box::pin(std::future::ready(()))).await;
    assert!(closed.is_err_and(|error| error.is_transient()));
}

/// A channel that is busy leaves the threads of the runtime to others.
#[test]
fn those_who_wait_for_their_turn_take_no_threads() {
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(3).enable_time().build();
    runtime.expect("a runtime").block_on(async {
        let disk = Disk::default();
        let (engine, _) = engine(&disk, Fsync::Always);
        publish(&engine, "a", true).await.expect("published");
        disk.becomes(Mood::Stuck);
        let busy: Vec<_> = (0..100)
            .map(|_| {
                let engine = engine.clone();
                tokio::spawn(async move { publish(&engine, "a", true).await })
            })
            .collect();
        for publisher in &busy {
            assert!(!publisher.is_finished());
            tokio::task::yield_now().await;
        }
        let other = tokio::task::spawn_blocking(|| "done");
        let other = tokio::time::timeout(Duration::from_secs(30), other).await;
        disk.becomes(Mood::Fine);
        assert_eq!(other.expect("a thread was free").expect("no panic"), "done");
        // Those whose publishers have given up are not made.
        for publisher in &busy[50..] {
            publisher.abort();
        }
        for publisher in busy {
            if let Ok(published) = publisher.await {
                published.expect("published");
            }
        }
        let top = publish(&engine, "a", true).await.expect("published").position.offset;
        assert!((52..102).contains(&top), "{top}");
    });
}

#[tokio::test]
async fn a_crowd_before_the_disk_has_an_end() {
    let desk = Desk::new();
    let first = desk.ticket(7).await.expect("a ticket");
    let mut waiting = Vec::new();
    let refused = loop {
        let mut ticket = Box::pin(desk.ticket(7));
        match at_once(ticket.as_mut()) {
            None => waiting.push(ticket),
            Some(ticket) => break ticket,
        }
    };
    assert!(refused.is_err_and(|error| error.is_transient()));
    assert_eq!(waiting.len(), 16 * 1024 - 1);
    // Who gives up makes room.
    waiting.pop();
    let other = desk.ticket(8).await.expect("a turn of its own");
    drop((first, other));
    let next = waiting.swap_remove(0).await;
    assert!(next.is_ok());
}

/// The future's value, if it has one without a wait.
fn at_once<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.poll(&mut context) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}
