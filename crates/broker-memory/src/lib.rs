//! The embedded engine: publish and subscribe inside one process, without anything else to run.
//!
//! What it holds is gone when the process ends. Publications are delivered inside [`Broker::publish`], so the
//! order of answers is the order of delivery.

mod idempotency;

use std::sync::{Arc, OnceLock};

use idempotency::Idempotency;
use parking_lot::Mutex;
use tourbillon_broker::{
    Attempt, Broker, BrokerError, Capabilities, EventSink, Publish, Published, Stop, Suppressed,
};
use tourbillon_types::{Channel, Clock, Publication, SystemClock};

/// The embedded engine.
#[derive(Debug)]
pub struct MemoryEngine {
    clock: Arc<dyn Clock>,
    events: OnceLock<EventSink>,
    idempotency: Mutex<Idempotency>,
}

impl MemoryEngine {
    /// An engine that measures lifetimes by this clock.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { clock, events: OnceLock::new(), idempotency: Mutex::new(Idempotency::default()) }
    }

    /// Notes an idempotency key; gives the first publication's outcome if it was used before.
    fn repeated(&self, publish: &Publish) -> Option<Published> {
        let key = &publish.options.idempotency_key;
        if key.is_empty() {
            return None;
        }
        let now = self.clock.now().instant;
        let first = self.idempotency.lock().check(now, &publish.channel, key)?;
        Some(Published { position: first, suppressed: Some(Suppressed::Idempotency) })
    }

    fn deliver(&self, publish: Publish) -> Result<Published, BrokerError> {
        if publish.options.history.is_some() {
            return Err(BrokerError::unsupported("the memory engine keeps no history yet"));
        }
        if publish.options.version != 0 {
            return Err(BrokerError::unsupported("versions need history"));
        }
        if let Some(published) = self.repeated(&publish) {
            return Ok(published);
        }
        if let Some(events) = self.events.get() {
            let publication = Publication {
                data: publish.data,
                info: publish.options.info,
                tags: publish.options.tags,
                ..Publication::default()
            };
            events.publication(&publish.channel, Arc::new(publication));
        }
        Ok(Published::default())
    }
}

impl Default for MemoryEngine {
    fn default() -> Self {
        Self::with_clock(Arc::new(SystemClock::new()))
    }
}

impl Broker for MemoryEngine {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.idempotency = true;
        capabilities
    }

    async fn publish(&self, publish: Publish) -> Result<Published, BrokerError> {
        self.deliver(publish)
    }

    fn publish_now(&self, publish: Publish) -> Attempt {
        Attempt::Done(self.deliver(publish))
    }

    async fn subscribe(&self, _: &[Channel]) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn unsubscribe(&self, _: &[Channel]) -> Result<(), BrokerError> {
        Ok(())
    }

    fn attach(&self, events: EventSink) {
        // A second node on the same engine would be a mistake of the program; the first one keeps its events.
        let _ = self.events.set(events);
    }

    async fn run(&self, stop: Stop) -> Result<(), BrokerError> {
        stop.await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tourbillon_broker::conformance::Harness;
    use tourbillon_broker::{DynBroker, conformance_suite};

    use super::*;

    struct Memory;

    impl Harness for Memory {
        async fn broker(&self, events: EventSink) -> Arc<dyn DynBroker> {
            let engine = MemoryEngine::default();
            Broker::attach(&engine, events);
            Arc::new(engine)
        }
    }

    fn block_on(future: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(future);
    }

    conformance_suite!(block_on, Memory);
}
