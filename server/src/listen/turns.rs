//! Whoever comes takes turns, so that a crowd at the door does not hold up those who are served.
//!
//! The runtime works on what is ready in the order in which it became so. A thousand connections whose first requests
//! arrive together would be a thousand tasks in front of a message for those who are there already. Here a few of
//! them go on, and the others wait until everything else that was ready had its turn.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, Semaphore};
use tokio::task::yield_now;

/// How many go on in one round.
const AT_ONCE: usize = 16;

/// The turns of a listener.
#[derive(Debug)]
pub(super) struct Turns {
    /// How many have asked in this round, those who wait included.
    asked: AtomicUsize,
    first: Notify,
    turns: Semaphore,
}

impl Turns {
    pub(super) const fn new() -> Self {
        Self { asked: AtomicUsize::new(0), first: Notify::const_new(), turns: Semaphore::const_new(0) }
    }

    /// Waits for a turn, which needs [`pace`](Self::pace) to run until the turns are [closed](Self::close). First come,
    /// first served.
    pub(super) async fn turn(&self) {
        if self.ask()
            && let Ok(turn) = self.turns.acquire().await
        {
            turn.forget();
        }
    }

    /// Whether whoever asks has to wait. So many do as have asked beyond the first few of this round: the end of a round
    /// goes by that.
    fn ask(&self) -> bool {
        let before = self.asked.fetch_add(1, Ordering::AcqRel);
        if before == 0 {
            self.first.notify_one();
        }
        before >= AT_ONCE
    }

    /// Ends a round. How many go on in the next one; none where nobody is left.
    ///
    /// At once, so that whoever asks does so before it or after: between a look at the number and a change of it they
    /// would wait without being counted.
    fn end_round(&self) -> usize {
        let few = |asked: usize| asked.saturating_sub(AT_ONCE);
        let asked = self.asked.fetch_update(Ordering::AcqRel, Ordering::Acquire, |asked| Some(few(asked)));
        let (Ok(asked) | Err(asked)) = asked;
        few(asked).min(AT_ONCE)
    }

    /// There are no more rounds: whoever waits goes on, and nobody waits from now on.
    pub(super) fn close(&self) {
        self.turns.close();
    }

    /// Lets round follow round for as long as somebody asks, for ever. A round is over when all else that was ready
    /// has been worked on.
    pub(super) async fn pace(&self) -> Infallible {
        loop {
            self.first.notified().await;
            loop {
                yield_now().await;
                let next = self.end_round();
                if next == 0 {
                    break;
                }
                self.turns.add_permits(next);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[tokio::test]
    async fn of_a_crowd_a_few_go_on_before_others_are_served() {
        const CROWD: u32 = 500;
        let turns = Arc::new(Turns::new());
        let pacing = Arc::clone(&turns);
        let pacer = tokio::spawn(async move { pacing.pace().await });
        let through = Arc::new(AtomicU32::new(0));
        for _ in 0..CROWD {
            let (turns, through) = (Arc::clone(&turns), Arc::clone(&through));
            tokio::spawn(async move {
                turns.turn().await;
                through.fetch_add(1, Ordering::Relaxed);
            });
        }
        // Somebody who is there is served between any two rounds, and the crowd comes in.
        let (mut before, mut served) = (0, 0);
        while before < CROWD {
            yield_now().await;
            let now = through.load(Ordering::Relaxed);
            assert!(now - before <= 2 * AT_ONCE as u32, "{} at once", now - before);
            before = now;
            served += 1;
        }
        assert!(served >= CROWD / (2 * AT_ONCE as u32), "{served}");
        // Nobody is owed a turn, and nobody waits for the next crowd.
        yield_now().await;
        yield_now().await;
        assert_eq!(turns.asked.load(Ordering::Relaxed), 0);
        assert_eq!(turns.turns.available_permits(), 0);
        turns.turn().await;
        pacer.abort();
    }

    /// On threads of their own, rounds end while others ask, about as many as there are turns; afterwards all who wait
    /// have got one.
    #[test]
    fn who_asks_while_a_round_ends_is_not_forgotten() {
        const ASKERS: usize = 3;
        const EACH: usize = 200_000;
        let (turns, asking) = (Turns::new(), AtomicUsize::new(ASKERS));
        let ask = || {
            while turns.asked.load(Ordering::Relaxed) > AT_ONCE + AT_ONCE / 2 {
                std::thread::yield_now();
            }
            turns.ask()
        };
        let (waited, given) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..ASKERS {
                scope.spawn(|| {
                    let wait = (0..EACH).filter(|_| ask()).count();
                    waited.fetch_add(wait, Ordering::Relaxed);
                    asking.fetch_sub(1, Ordering::Release);
                });
            }
            scope.spawn(|| {
                while asking.load(Ordering::Acquire) > 0 {
                    given.fetch_add(turns.end_round(), Ordering::Relaxed);
                }
            });
        });
        loop {
            match turns.end_round() {
                0 => break,
                next => given.fetch_add(next, Ordering::Relaxed),
            };
        }
        assert_eq!((given.into_inner(), turns.asked.into_inner()), (waited.into_inner(), 0));
    }

    #[tokio::test]
    async fn nobody_waits_for_rounds_that_do_not_come() {
        let turns = Arc::new(Turns::new());
        let waiting: Vec<_> = (0..3 * AT_ONCE)
            .map(|_| {
                let turns = Arc::clone(&turns);
                tokio::spawn(async move { turns.turn().await })
            })
            .collect();
        yield_now().await;
        let through = || waiting.iter().filter(|waits| waits.is_finished()).count();
        assert_eq!(through(), AT_ONCE, "there is no pace");
        turns.close();
        yield_now().await;
        assert_eq!(through(), 3 * AT_ONCE);
        turns.turn().await;
    }
}
