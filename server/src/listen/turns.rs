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
        let before = self.asked.fetch_add(1, Ordering::AcqRel);
        if before == 0 {
            self.first.notify_one();
        }
        if before >= AT_ONCE
            && let Ok(turn) = self.turns.acquire().await
        {
            turn.forget();
        }
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
                let asked = self.asked.load(Ordering::Acquire);
                let left = asked.saturating_sub(AT_ONCE);
                // Whoever asks meanwhile is counted: they are in the next round, with those who are left.
                let over = asked.min(AT_ONCE);
                let now = self.asked.fetch_sub(over, Ordering::AcqRel);
                self.turns.add_permits(left.min(AT_ONCE));
                if now == over {
                    break;
                }
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
