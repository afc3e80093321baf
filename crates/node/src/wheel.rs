//! The timing wheel: one alarm for each connection, no timer of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tourbillon_types::Instant;

use crate::conn::Conn;

/// The wheel's resolution. Deadlines are met up to one tick late, never early.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// One round of the wheel takes 51.2 s. An alarm further away is looked at once a round.
const SLOTS: u64 = 512;

/// Alarms of connections that went are not looked for before there are so many.
const FEW: usize = 256;

/// No alarm is set.
const NONE: u64 = u64::MAX;

/// When a connection wants to be woken. Part of the connection.
#[derive(Debug)]
pub(crate) struct Alarm {
    /// The tick at which the driver must run.
    wanted: AtomicU64,
    /// The tick whose slot holds the one live entry for this connection.
    armed: AtomicU64,
}

impl Alarm {
    pub(crate) const fn new() -> Self {
        Self { wanted: AtomicU64::new(NONE), armed: AtomicU64::new(NONE) }
    }
}

/// All alarms of a node.
#[derive(Debug)]
pub(crate) struct Wheel {
    slots: Box<[Mutex<Vec<Entry>>]>,
    /// The last tick that was worked on.
    now: AtomicU64,
    /// How many entries there are.
    entries: AtomicUsize,
    /// About how many of them are of connections that went; those whose slot was looked at since are still counted.
    gone: AtomicUsize,
}

#[derive(Debug)]
struct Entry {
    conn: Arc<Conn>,
    tick: u64,
}

impl Wheel {
    pub(crate) fn new() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Mutex::new(Vec::new())).collect(),
            now: AtomicU64::new(0),
            entries: AtomicUsize::new(0),
            gone: AtomicUsize::new(0),
        }
    }

    /// Sees to it that the connection's driver runs at `due`, up to a tick late. An earlier alarm that is set
    /// already stays; it costs a needless look, no wake-up.
    pub(crate) fn arm(&self, conn: &Arc<Conn>, due: Instant) {
        let tick = tick_of(due);
        conn.alarm.wanted.fetch_min(tick, Ordering::SeqCst);
        self.settle(conn);
    }

    /// Replaces the connection's alarm.
    pub(crate) fn set(&self, conn: &Arc<Conn>, due: Instant) {
        let tick = if due == Instant::MAX { NONE } else { tick_of(due) };
        if conn.alarm.wanted.swap(tick, Ordering::SeqCst) != tick {
            self.settle(conn);
        }
    }

    /// The connection's driver has ended. Its entry, which keeps the memory of the connection, goes within a round of the
    /// wheel, and earlier once as many are of no use as are of some.
    pub(crate) fn forget(&self, conn: &Conn) {
        conn.alarm.wanted.store(NONE, Ordering::SeqCst);
        if conn.alarm.armed.load(Ordering::SeqCst) != NONE {
            self.gone.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Makes sure that an entry stands at or before the wanted tick.
    fn settle(&self, conn: &Arc<Conn>) {
        loop {
            let wanted = conn.alarm.wanted.load(Ordering::SeqCst);
            let armed = conn.alarm.armed.load(Ordering::SeqCst);
            if armed <= wanted {
                return;
            }
            // A tick that is being worked on, or over, fires at the next one.
            let tick = wanted.max(self.now.load(Ordering::SeqCst) + 1);
            if tick >= armed {
                return;
            }
            let swap = conn.alarm.armed.compare_exchange(armed, tick, Ordering::SeqCst, Ordering::SeqCst);
            if swap.is_ok() {
                self.entries.fetch_add(1, Ordering::Relaxed);
                self.slot(tick).lock().push(Entry { conn: conn.clone(), tick });
                if self.now.load(Ordering::SeqCst) < tick {
                    return;
                }
                // Meanwhile that tick came, and its slot may have been looked at before.
                let missed =
                    conn.alarm.armed.compare_exchange(tick, NONE, Ordering::SeqCst, Ordering::SeqCst);
                if missed.is_err() {
                    return;
                }
            }
        }
    }

    fn slot(&self, tick: u64) -> &Mutex<Vec<Entry>> {
        let at = usize::try_from(tick % SLOTS).unwrap_or_default();
        &self.slots[at]
    }

    /// Works on every tick up to `now`: wakes the drivers whose time has come.
    pub(crate) fn advance(&self, now: Instant) {
        let target = tick_at(now);
        let mut tick = self.now.load(Ordering::SeqCst);
        // After a long pause each slot needs one look only.
        tick = tick.max(target.saturating_sub(SLOTS));
        while tick < target {
            tick += 1;
            self.now.store(tick, Ordering::SeqCst);
            self.fire(tick);
        }
        let gone = self.gone.load(Ordering::Relaxed);
        if gone >= FEW && gone >= self.entries.load(Ordering::Relaxed) / 2 {
            self.gone.store(0, Ordering::Relaxed);
            for slot in &self.slots {
                self.look_through(slot, |entry| self.is_awaited(entry));
            }
        }
    }

    fn fire(&self, tick: u64) {
        self.look_through(self.slot(tick), |entry| {
            if entry.tick > tick {
                return self.is_awaited(entry);
            }
            if entry.take() {
                if entry.conn.alarm.wanted.load(Ordering::SeqCst) <= tick {
                    entry.conn.wake_driver();
                } else {
                    self.settle(&entry.conn);
                }
            }
            false
        });
    }

    /// Leaves the entries in a slot that are to stay. The slot is not locked meanwhile, so that alarms can be set.
    fn look_through(&self, slot: &Mutex<Vec<Entry>>, stays: impl Fn(&Entry) -> bool) {
        let mut entries = std::mem::take(&mut *slot.lock());
        let before = entries.len();
        entries.retain(stays);
        self.entries.fetch_sub(before - entries.len(), Ordering::Relaxed);
        if entries.is_empty() {
            return;
        }
        entries.shrink_to(2 * entries.len());
        let mut slot = slot.lock();
        entries.append(&mut slot);
        *slot = entries;
    }

    /// Whether somebody waits for an entry whose time has not come.
    fn is_awaited(&self, entry: &Entry) -> bool {
        let alarm = &entry.conn.alarm;
        if alarm.armed.load(Ordering::SeqCst) != entry.tick {
            return false;
        }
        if alarm.wanted.load(Ordering::SeqCst) != NONE {
            return true;
        }
        // Whoever sets an alarm between those two finds the entry still armed, and relies on it.
        if entry.take() {
            self.settle(&entry.conn);
        }
        false
    }
}

impl Entry {
    /// Takes the entry for its connection's alarm. `false`: another one is.
    fn take(&self) -> bool {
        let armed = &self.conn.alarm.armed;
        armed.compare_exchange(self.tick, NONE, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

/// The first tick at or after an instant.
fn tick_of(instant: Instant) -> u64 {
    instant.as_millis().saturating_add(1).div_ceil(TICK_MILLIS)
}

/// The last tick at or before an instant.
fn tick_at(instant: Instant) -> u64 {
    instant.as_millis() / TICK_MILLIS
}

const TICK_MILLIS: u64 = 100;
