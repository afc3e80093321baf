//! The calls of one connection that wait for their answers.

use std::future::poll_fn;
use std::task::{Context, Poll};

use futures_util::future::join_all;
use smallvec::SmallVec;

use crate::calls::{Completed, Running};
use crate::hooks::pool;

/// The calls of one connection that are under way. Those that outlive it come first, and it knows how many they are.
#[derive(Default)]
pub(crate) struct Calls(SmallVec<[Running; 1]>);

impl Calls {
    pub(crate) fn push(&mut self, call: Running) {
        self.0.push(call);
    }

    /// A call that goes on when the connection ends.
    pub(crate) fn push_farewell(&mut self, call: Running) {
        self.0.insert(0, call);
    }

    /// The next call that came to its end, if one has.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Option<Completed> {
        for at in 0..self.0.len() {
            if let Some(call) = self.0.get_mut(at)
                && let Poll::Ready(completed) = call.poll(cx)
            {
                pool::give(completed.kind, self.0.remove(at));
                return Some(completed);
            }
        }
        None
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Gives up all calls but the first ones, which tell of ends.
    pub(crate) fn give_up(&mut self, farewells: u32) -> Farewells {
        let mut calls = std::mem::take(&mut self.0);
        calls.truncate(farewells as usize);
        Farewells(calls)
    }
}

/// What the application is being told of the ends of subscriptions of a connection that ends.
#[derive(Default)]
pub(crate) struct Farewells(SmallVec<[Running; 1]>);

impl Farewells {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Until it has taken all, or its time for that is over.
    pub(crate) async fn taken(self) {
        join_all(self.0.into_iter().map(|mut call| async move { drop(poll_fn(|cx| call.poll(cx)).await) }))
            .await;
    }
}
