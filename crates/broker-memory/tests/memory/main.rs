//! The embedded engine, through its seams and in virtual time.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod costs;
#[cfg(test)]
mod lifetimes;
#[cfg(test)]
mod maps;
#[cfg(all(test, feature = "persistence"))]
mod persistence;
#[cfg(test)]
mod threads;

#[cfg(test)]
mod rig {
    //! What the tests share.

    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use tourbillon_broker::{Engine, HistoryPolicy, HistoryQuery, Page, Publish, Published};
    use tourbillon_broker_memory::MemoryEngine;
    use tourbillon_types::{Channel, ManualClock, Payload};

    pub(crate) const TTL: Duration = Duration::from_secs(60);
    pub(crate) const META_TTL: Duration = Duration::from_secs(3600);

    pub(crate) const fn policy(size: usize) -> HistoryPolicy {
        HistoryPolicy { size, ttl: TTL, meta_ttl: META_TTL }
    }

    /// An engine whose time stands still.
    pub(crate) struct Rig {
        pub(crate) clock: Arc<ManualClock>,
        pub(crate) memory: Arc<MemoryEngine>,
        pub(crate) engine: Engine,
    }

    impl Rig {
        pub(crate) fn new() -> Self {
            let clock = Arc::new(ManualClock::new(1_000));
            let memory = Arc::new(MemoryEngine::with_clock(clock.clone()));
            let engine = Engine::from_shared(memory.clone());
            Self { clock, memory, engine }
        }

        pub(crate) fn publish(&self, publish: Publish) -> Published {
            at_once(self.engine.broker().publish(publish)).expect("published")
        }

        pub(crate) fn keep(&self, channel: &str) -> Published {
            self.publish(kept(channel))
        }

        pub(crate) fn read(&self, channel: &str, query: &HistoryQuery) -> Page {
            let history = self.engine.history().expect("history");
            at_once(history.history(&Channel::from(channel), query, META_TTL)).expect("a page")
        }
    }

    /// A publication to be kept.
    pub(crate) fn kept(channel: &str) -> Publish {
        let mut publish = Publish::new(Channel::from(channel), Payload::from("{}"));
        publish.options.history = Some(policy(10));
        publish
    }

    /// The engine never waits for anything, so its futures are ready when they are asked.
    pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("the engine waits"),
        }
    }
}
