//! The timing wheel: one alarm for each connection, no timer of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tourbillon_types::Instant;

use crate::conn::Conn;

/// The wheel's resolution. Deadlines are met up to one tick late, never early.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// One round of the wheel takes 51.2 s. An alarm further away is looked at once a round.
const SLOTS: u64 = 512;

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
}

#[derive(Debug)]
struct Entry {
    conn: Arc<Conn>,
    tick: u64,
}

impl Wheel {
    pub(crate) fn new() -> Self {
        Self { slots: (0..SLOTS).map(|_| Mutex::new(Vec::new())).collect(), now: AtomicU64::new(0) }
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
                self.slot(tick).lock().push(Entry { conn: conn.clone(), tick });
                return;
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
    }

    fn fire(&self, tick: u64) {
        let entries = std::mem::take(&mut *self.slot(tick).lock());
        let mut kept = Vec::new();
        for entry in entries {
            if entry.tick > tick {
                kept.push(entry);
                continue;
            }
            let alarm = &entry.conn.alarm;
            let live =
                alarm.armed.compare_exchange(entry.tick, NONE, Ordering::SeqCst, Ordering::SeqCst).is_ok();
            if !live {
                continue;
            }
            if alarm.wanted.load(Ordering::SeqCst) <= tick {
                entry.conn.wake_driver();
            } else {
                self.settle(&entry.conn);
            }
        }
        if !kept.is_empty() {
            self.slot(tick).lock().append(&mut kept);
        }
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
