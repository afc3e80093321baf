//! The suite that every broker passes.

use std::sync::Arc;
use std::time::Duration;

use tourbillon_broker::conformance::Harness;
use tourbillon_broker::{Broker, DynBroker, EventSink, conformance_suite};
use tourbillon_broker_memory::MemoryEngine;
use tourbillon_types::ManualClock;

use crate::rig::at_once;

/// With `swept` memory is freed after every step of time, without it never: nobody can tell.
struct Memory {
    clock: Arc<ManualClock>,
    engine: Arc<MemoryEngine>,
    swept: bool,
}

impl Memory {
    fn new(swept: bool) -> Self {
        let clock = Arc::new(ManualClock::new(0));
        let engine = Arc::new(MemoryEngine::with_clock(clock.clone()));
        Self { clock, engine, swept }
    }
}

impl Harness for Memory {
    async fn broker(&self, events: EventSink) -> Arc<dyn DynBroker> {
        Broker::attach(&*self.engine, events);
        self.engine.clone()
    }

    async fn pass(&self, duration: Duration) -> bool {
        self.clock.advance(duration);
        if self.swept {
            self.engine.expire();
        }
        true
    }
}

mod swept {
    use super::*;
    conformance_suite!(at_once, Memory::new(true));
}

mod unswept {
    use super::*;
    conformance_suite!(at_once, Memory::new(false));
}
