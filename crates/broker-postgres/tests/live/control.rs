//! Messages between nodes (CTL-01).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tourbillon_broker::conformance::{ControlHarness, Inbox};
use tourbillon_broker::{
    BrokerError, Control, ControlSink, Receiver, SharedControl, Stop, control_conformance_suite,
};
use tourbillon_broker_postgres::{ControlConfig, PostgresControl};
use tourbillon_types::NodeId;

use crate::server::{Server, block_on, config};
use crate::streams::eventually;

/// A server, and nodes on it.
struct Live {
    server: Server,
    config: ControlConfig,
}

impl Live {
    fn polled() -> Self {
        let mut config = ControlConfig::default();
        config.poll_interval = Duration::from_millis(5);
        Self { server: Server::start(), config }
    }

    fn notified() -> Self {
        let mut live = Self::polled();
        // Whatever arrives in time has been told of.
        live.config.poll_interval = Duration::from_secs(3600);
        live.config.notify = Some(config(&live.server.dsn("postgres")));
        live.config.num_shards = 4;
        live
    }

    async fn connect(&self) -> PostgresControl {
        let place = config(&self.server.dsn("postgres"));
        PostgresControl::connect(place, self.config.clone()).await.expect("connected")
    }
}

/// A node's place, which is left when this is dropped.
#[derive(Debug)]
struct Place {
    control: Arc<PostgresControl>,
    running: tokio::task::JoinHandle<()>,
}

impl Control for Place {
    fn attach(&self, _: NodeId, _: ControlSink) {}

    async fn send(&self, to: Receiver, message: Bytes) -> Result<(), BrokerError> {
        self.control.send(to, message).await
    }

    async fn ready(&self) -> Result<(), BrokerError> {
        Control::ready(&*self.control).await
    }

    async fn run(&self, _: Stop) -> Result<(), BrokerError> {
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl ControlHarness for Live {
    async fn join(&self, node: NodeId, sink: ControlSink) -> SharedControl {
        let control = Arc::new(self.connect().await);
        Control::attach(&*control, node, sink);
        let running = control.clone();
        let running = tokio::spawn(async move {
            let _ = Control::run(&*running, Box::pin(std::future::pending())).await;
        });
        Arc::new(Place { control, running })
    }

    async fn settled(&self, inbox: &Inbox, count: usize) {
        eventually("the messages arrive", || inbox.messages().len() >= count).await;
    }
}

mod polled {
    use super::*;
    control_conformance_suite!(block_on, Live::polled());
}

mod notified {
    use super::*;
    control_conformance_suite!(block_on, Live::notified());
}

#[test]
fn ctl_01_messages_outlive_an_outage_and_not_their_days() {
    block_on(async {
        let mut live = Live::polled();
        live.config.partition_cleanup_interval = Duration::from_millis(20);
        let [one, two] = [1, 2].map(|number| NodeId::from_random([number; 16]));
        let inbox = Arc::new(Inbox::default());
        let sender = live.join(one, ControlSink::new(Arc::new(Inbox::default()))).await;
        let receiver = live.join(two, ControlSink::new(inbox.clone())).await;
        sender.send(Receiver::Others, Bytes::from("1")).await.expect("sent");
        receiver.ready().await.expect("ready");
        live.server.kill();
        let failed = sender.send(Receiver::Node(two), Bytes::from("2")).await.expect_err("it is away");
        assert!(failed.is_transient(), "{failed:?}");
        assert!(receiver.ready().await.is_err_and(|error| error.is_transient()));
        live.server.restart();
        sender.send(Receiver::Node(two), Bytes::from("3")).await.expect("sent");
        live.settled(&inbox, 2).await;
        assert_eq!(inbox.messages(), ["1", "3"]);
        while receiver.ready().await.is_err() {}
        live.server.psql(
            "CREATE TABLE cf_controller_messages_2020_01_01 PARTITION OF cf_controller_messages \
             FOR VALUES FROM ('2020-01-01 00:00:00+00') TO ('2020-01-02 00:00:00+00')",
        );
        let gone = "SELECT to_regclass('cf_controller_messages_2020_01_01') IS NULL";
        eventually("the day is dropped", || live.server.psql(gone) == "t").await;
    });
}
