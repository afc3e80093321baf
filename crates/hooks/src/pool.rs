//! Futures on the heap whose memory is used again.
//!
//! A call to the application takes a future for the call and one for the application's own part, and most calls are
//! over at their first poll. Their memory is kept for the next call of the same kind on the same thread.

use std::cell::RefCell;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread::LocalKey;

use tokio_util::sync::ReusableBoxFuture;

/// The most memory blocks that a thread keeps of a kind.
const KEPT: usize = 8;

/// The memory of ended calls of one kind.
pub type Pool<T> = RefCell<Vec<ReusableBoxFuture<'static, T>>>;

/// A call under way. Its memory is used again.
pub struct HookCall<T: 'static> {
    future: Option<ReusableBoxFuture<'static, T>>,
    pool: &'static LocalKey<Pool<T>>,
}

/// `future`, in the memory of an ended call if its size is the same.
pub fn take<T>(
    pool: &'static LocalKey<Pool<T>>,
    future: impl Future<Output = T> + Send + 'static,
) -> ReusableBoxFuture<'static, T> {
    let used = pool.try_with(|pool| pool.borrow_mut().pop()).ok().flatten();
    let Some(mut memory) = used else { return ReusableBoxFuture::new(future) };
    memory.set(future);
    memory
}

/// Keeps the memory of a future that has ended.
pub fn give<T>(pool: &'static LocalKey<Pool<T>>, ended: ReusableBoxFuture<'static, T>) {
    // While the thread ends, the memory is simply freed.
    let _ = pool.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        if pool.len() < KEPT {
            pool.push(ended);
        }
    });
}

impl<T> HookCall<T> {
    pub(crate) fn new(
        pool: &'static LocalKey<Pool<T>>,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Self {
        Self { future: Some(take(pool, future)), pool }
    }
}

impl<T> Future for HookCall<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // One that has ended has nothing more to say.
        let Some(future) = &mut self.future else { return Poll::Pending };
        let Poll::Ready(output) = future.poll(cx) else { return Poll::Pending };
        if let Some(ended) = self.future.take() {
            give(self.pool, ended);
        }
        Poll::Ready(output)
    }
}

impl<T> fmt::Debug for HookCall<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookCall")
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::Arc;
    use std::task::Waker;

    use super::*;

    thread_local! {
        static NUMBERS: Pool<u32> = const { RefCell::new(Vec::new()) };
    }

    fn kept() -> usize {
        NUMBERS.with_borrow(Vec::len)
    }

    fn poll<T>(call: &mut HookCall<T>) -> Poll<T> {
        Pin::new(call).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn the_memory_of_an_ended_call_is_used_again() {
        let mut first = HookCall::new(&NUMBERS, ready(1));
        assert_eq!((poll(&mut first), kept()), (Poll::Ready(1), 1));
        assert_eq!(poll(&mut first), Poll::Pending, "an answer comes once");
        let mut second = HookCall::new(&NUMBERS, ready(2));
        assert_eq!(kept(), 0);
        assert_eq!(poll(&mut second), Poll::Ready(2));
        // Another size: new memory.
        let large = [7_u32; 100];
        let mut third = HookCall::new(&NUMBERS, async move { large.iter().sum() });
        assert_eq!((poll(&mut third), kept()), (Poll::Ready(700), 1));
    }

    #[test]
    fn a_call_that_is_given_up_lets_go_of_what_it_holds() {
        let held = Arc::new(());
        let owner = held.clone();
        let mut call = HookCall::new(&NUMBERS, async move {
            pending::<()>().await;
            drop(owner);
            1
        });
        assert_eq!(poll(&mut call), Poll::Pending);
        drop(call);
        assert_eq!((Arc::strong_count(&held), kept()), (1, 0));
    }

    #[test]
    fn a_storm_leaves_little() {
        let mut calls: Vec<_> = (0..100).map(|number| HookCall::new(&NUMBERS, ready(number))).collect();
        assert!(calls.iter_mut().all(|call| poll(call).is_ready()));
        assert_eq!(kept(), KEPT);
    }
}
