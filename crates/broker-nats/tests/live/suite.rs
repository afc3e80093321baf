//! What every broker and everything that carries messages between nodes is held to.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tourbillon_broker::conformance::{ControlHarness, Harness, Inbox, Log};
use tourbillon_broker::{
    Broker, BrokerError, Control, ControlEvents, ControlSink, DynBroker, EventSink, Receiver, SharedControl,
    Stop,
};
use tourbillon_broker_nats::{NatsBroker, NatsConfig, NatsControl};
use tourbillon_types::NodeId;

use crate::server::{Heard, NatsProcess, block_on, prefix, until};

/// A server, and what has come from it.
struct OneServer {
    server: NatsProcess,
    config: NatsConfig,
    came: Arc<Notify>,
}

impl OneServer {
    fn start() -> Self {
        let server = NatsProcess::start(&[]);
        Self { config: server.config(), server, came: Arc::default() }
    }
}

impl Harness for OneServer {
    async fn broker(&self, events: EventSink) -> Arc<dyn DynBroker> {
        let mut config = self.server.config();
        config.prefix = prefix();
        let broker = Arc::new(NatsBroker::new(config));
        let heard = Heard { log: events, came: self.came.clone(), lost: AtomicUsize::new(0) };
        Broker::attach(&*broker, EventSink::new(Arc::new(heard)));
        let running = broker.clone();
        tokio::spawn(async move { Broker::run(&*running, Box::pin(std::future::pending())).await });
        broker.connected().await;
        broker
    }

    async fn settled(&self, log: &Log, events: usize) {
        until(&self.came, || log.len() >= events).await;
    }
}

mod streams {
    use super::*;

    tourbillon_broker::conformance_suite!(block_on, OneServer::start());
}

/// A node's place, which it leaves when this is dropped.
#[derive(Debug)]
struct Place {
    control: Arc<NatsControl>,
    running: AbortHandle,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Control for Place {
    fn attach(&self, node: NodeId, sink: ControlSink) {
        Control::attach(&*self.control, node, sink);
    }

    async fn send(&self, to: Receiver, message: Bytes) -> Result<(), BrokerError> {
        Control::send(&*self.control, to, message).await
    }

    async fn run(&self, stop: Stop) -> Result<(), BrokerError> {
        Control::run(&*self.control, stop).await
    }
}

struct Ear {
    sink: ControlSink,
    came: Arc<Notify>,
}

impl ControlEvents for Ear {
    fn message(&self, message: Bytes) {
        self.sink.message(message);
        self.came.notify_waiters();
    }
}

impl ControlHarness for OneServer {
    async fn join(&self, node: NodeId, sink: ControlSink) -> SharedControl {
        let control = Arc::new(NatsControl::new(self.config.clone()));
        Control::attach(&*control, node, ControlSink::new(Arc::new(Ear { sink, came: self.came.clone() })));
        let task = control.clone();
        let running =
            tokio::spawn(async move { Control::run(&*task, Box::pin(std::future::pending())).await });
        control.connected().await;
        Arc::new(Place { control, running: running.abort_handle() })
    }

    async fn settled(&self, inbox: &Inbox, count: usize) {
        until(&self.came, || inbox.messages().len() >= count).await;
    }
}

mod control {
    use super::*;

    tourbillon_broker::control_conformance_suite!(block_on, OneServer::start());
}
