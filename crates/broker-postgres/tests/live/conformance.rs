//! The suite that every broker passes.

use std::sync::Arc;
use std::time::Duration;

use tourbillon_broker::conformance::{Harness, Log};
use tourbillon_broker::{DynBroker, EventSink, conformance_suite};
use tourbillon_broker_postgres::StreamConfig;

use crate::server::{Server, block_on};
use crate::streams::{eventually, run};

/// A server, and brokers on it.
struct Live(Server);

/// Makes everything that ends in time end so much sooner.
const PASS: &str = "UPDATE cf_binary_stream_meta SET expires_at = expires_at - by, updated_at = updated_at - by; \
     UPDATE cf_binary_stream_idempotency SET expires_at = expires_at - by";

impl Harness for Live {
    async fn broker(&self, events: EventSink) -> Arc<dyn DynBroker> {
        let mut streams = StreamConfig::default();
        // What the suite publishes is not JSON.
        streams.binary_data = true;
        streams.poll_interval = Duration::from_millis(5);
        run(&self.0, streams, events).await
    }

    async fn pass(&self, duration: Duration) -> bool {
        let by = format!("interval '{} milliseconds'", duration.as_millis());
        self.0.psql(&PASS.replace("by", &by));
        true
    }

    async fn settled(&self, log: &Log, events: usize) {
        eventually("the events arrive", || log.len() >= events).await;
    }
}

conformance_suite!(block_on, Live(Server::start()));
