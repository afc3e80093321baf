//! What lately became of revocations, so that of two changes the later counts, whichever is heard of first.

use std::collections::{BTreeSet, HashMap};

use foldhash::fast::RandomState;
use tourbillon_types::SystemClock;

use crate::revocations::{Revocation, RevocationKind, Stamp};

/// For how many seconds a change is remembered: for so long a node may be cut off from the others.
const MEMORY: i64 = 24 * 3_600;

/// The most changes that are remembered: up to 30 MB.
const MOST: usize = 1 << 16;

/// What was changed, by the [key](Revocation::key) of what it was done to.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    changes: HashMap<Revocation, Made, RandomState>,
    order: BTreeSet<(Stamp, Revocation)>,
    last: Stamp,
}

/// When a revocation was last kept and when it was last forgotten; zero where that is not remembered.
#[derive(Clone, Copy, Debug, Default)]
struct Made {
    kept: Stamp,
    forgotten: Stamp,
}

impl Made {
    fn last(self) -> Stamp {
        self.kept.max(self.forgotten)
    }
}

impl Recent {
    /// The stamp of a change that is made now: later than all that are known.
    pub(crate) fn stamp(&mut self) -> Stamp {
        self.last = self.last.next().max(Stamp::from_millis(SystemClock::unix_millis()));
        self.last
    }

    /// Whether a revocation that was kept then counts: it was not forgotten since.
    pub(crate) fn counts_as_kept(&self, key: &Revocation, at: Stamp) -> bool {
        self.changes.get(key).is_none_or(|made| made.forgotten < at || made.forgotten == Stamp::default())
    }

    /// Whether a revocation that was forgotten then is: it was not kept since.
    pub(crate) fn counts_as_forgotten(&self, key: &Revocation, at: Stamp) -> bool {
        self.kept(key) <= at
    }

    /// Remembers that a revocation was kept.
    pub(crate) fn note_kept(&mut self, key: Revocation, at: Stamp) {
        self.note(key, at, |made| made.kept = made.kept.max(at));
    }

    /// Remembers that a revocation was forgotten.
    pub(crate) fn note_forgotten(&mut self, key: Revocation, at: Stamp) {
        self.note(key, at, |made| made.forgotten = made.forgotten.max(at));
    }

    fn note(&mut self, key: Revocation, at: Stamp, note: impl FnOnce(&mut Made)) {
        self.last = self.last.max(at);
        // Whoever told it does not remember when it was.
        if at == Stamp::default() {
            return;
        }
        let made = self.changes.entry(key.clone()).or_default();
        let before = made.last();
        note(made);
        let last = made.last();
        if before != last {
            self.order.remove(&(before, key.clone()));
            self.order.insert((last, key));
        }
        if self.changes.len() > MOST
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.changes.remove(&oldest);
        }
    }

    /// When a revocation was kept; before all others if that is not remembered.
    pub(crate) fn kept(&self, key: &Revocation) -> Stamp {
        self.changes.get(key).map_or_else(Stamp::default, |made| made.kept)
    }

    /// The revocations of a kind that were forgotten, and when.
    pub(crate) fn forgotten(&self, kind: RevocationKind) -> impl Iterator<Item = (&Revocation, Stamp)> + '_ {
        let of_kind = self.changes.iter().filter(move |(key, _)| key.kind() == kind);
        of_kind.map(|(key, made)| (key, made.forgotten)).filter(|(_, at)| *at > Stamp::default())
    }

    /// Whether something need not be remembered any more.
    pub(crate) fn is_over(&self, unix_seconds: i64) -> bool {
        self.order.first().is_some_and(|(at, _)| *at < oldest(unix_seconds))
    }

    /// Drops what need not be remembered any more.
    pub(crate) fn expire(&mut self, unix_seconds: i64) {
        while self.is_over(unix_seconds)
            && let Some((_, key)) = self.order.pop_first()
        {
            self.changes.remove(&key);
        }
    }
}

fn oldest(unix_seconds: i64) -> Stamp {
    Stamp::from_millis(unix_seconds.saturating_sub(MEMORY).saturating_mul(1_000))
}

#[cfg(test)]
mod tests {
    use tourbillon_types::UserId;

    use super::*;

    fn user(number: usize) -> Revocation {
        Revocation::User(UserId::from(number.to_string()))
    }

    #[test]
    fn changes_are_remembered_for_a_day_and_not_without_end() {
        let mut recent = Recent::default();
        let at = |seconds: i64| Stamp::from_millis(seconds * 1_000);
        for number in 0..MOST + 2 {
            recent.note_kept(user(number), at(i64::try_from(number).expect("small") + 1));
        }
        assert_eq!(recent.changes.len(), MOST);
        assert_eq!((recent.kept(&user(1)), recent.kept(&user(2))), (Stamp::default(), at(3)));
        recent.note_forgotten(user(3), at(20));
        recent.expire(MEMORY + 9);
        assert_eq!((recent.kept(&user(7)), recent.kept(&user(8))), (Stamp::default(), at(9)));
        assert_eq!(recent.kept(&user(3)), at(4), "it was forgotten later");
        recent.expire(i64::MAX);
        assert_eq!((recent.changes.len(), recent.order.len()), (0, 0));
    }

    #[test]
    fn a_stamp_is_later_than_all_that_were_seen() {
        let mut recent = Recent::default();
        let first = recent.stamp();
        assert!(recent.stamp() > first);
        let ahead = Stamp::from_millis(i64::MAX / 2);
        recent.note_kept(user(1), ahead);
        assert!(recent.stamp() > ahead, "the clock of whoever made it is ahead");
    }
}
