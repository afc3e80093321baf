//! Pauses between attempts (CONS-06).

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The shortest pause, but for chance.
const SHORTEST: Duration = Duration::from_millis(20);

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(5);

/// Doublings after which there is no longer pause.
const DOUBLINGS: u32 = 9;

/// How long to wait after so many failures in a row, at least one: from 10 ms to 5 s, twice as long each time. Up to half of
/// it is left out by chance, which is any number.
#[must_use]
pub fn pause(failures: u32, chance: u64) -> Duration {
    let whole = SHORTEST * (1 << failures.saturating_sub(1).min(DOUBLINGS));
    let whole = whole.min(LONGEST);
    let part = u32::try_from(chance % 501).unwrap_or_default();
    whole - whole * part / 1_000
}

/// A number that nobody knows.
pub(crate) fn chance() -> u64 {
    RandomState::new().hash_one(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cons_06_pauses_grow_from_ten_milliseconds_to_five_seconds_and_vary() {
        for (failures, whole) in
            [(0, 20), (1, 20), (2, 40), (5, 320), (8, 2_560), (9, 5_000), (u32::MAX, 5_000)]
        {
            assert_eq!(pause(failures, 0), Duration::from_millis(whole), "{failures}");
            assert_eq!(pause(failures, 500), Duration::from_millis(whole / 2), "{failures}");
            for seen in 0..100 {
                let pause = pause(failures, seen * 7_919);
                assert!((Duration::from_millis(whole / 2)..=Duration::from_millis(whole)).contains(&pause));
            }
        }
        assert_ne!(chance(), chance());
    }
}
