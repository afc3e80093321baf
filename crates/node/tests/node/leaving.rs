//! Whether a node can do its work, and how it leaves.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tourbillon_broker::{
    Broker, BrokerError, Capabilities, Engine, EventSink, Member, Presence, PresenceStats, Publish,
    Published, Stop,
};
use tourbillon_node::{AllowAll, NodeConfig, Part};
use tourbillon_types::{Channel, ClientId, ClientInfo, Disconnect, UserId};

use crate::harness::{start, start_on};

/// A broker, and a place for presence, that do as a test says: nothing else is asked of them.
#[derive(Clone, Debug, Default)]
struct Shaky(Arc<State>);

#[derive(Debug, Default)]
struct State {
    health: Mutex<Health>,
    end: Notify,
    ended: Notify,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Health {
    #[default]
    Well,
    Away,
    Silent,
}

impl Shaky {
    fn becomes(&self, health: Health) {
        *self.0.health.lock() = health;
    }

    async fn says(&self) -> Result<(), BrokerError> {
        let health = *self.0.health.lock();
        match health {
            Health::Well => Ok(()),
            Health::Away => Err(BrokerError::unavailable("it is away")),
            Health::Silent => std::future::pending().await,
        }
    }
}

impl Broker for Shaky {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn publish(&self, _: Publish) -> Result<Published, BrokerError> {
        Err(BrokerError::unsupported("publish"))
    }

    async fn subscribe(&self, _: &[Channel]) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn unsubscribe(&self, _: &[Channel]) -> Result<(), BrokerError> {
        Ok(())
    }

    fn attach(&self, _: EventSink) {}

    async fn ready(&self) -> Result<(), BrokerError> {
        self.says().await
    }

    async fn run(&self, stop: Stop) -> Result<(), BrokerError> {
        tokio::select! {
            () = stop => Ok(()),
            () = self.0.end.notified() => {
                self.0.ended.notify_one();
                Err(BrokerError::internal("it has had enough"))
            }
        }
    }
}

impl Presence for Shaky {
    async fn add_presence(&self, _: &Channel, _: ClientId, _: Arc<ClientInfo>) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn remove_presence(&self, _: &Channel, _: ClientId, _: &UserId) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn presence(&self, _: &Channel) -> Result<Vec<Member>, BrokerError> {
        Ok(Vec::new())
    }

    async fn presence_stats(&self, _: &Channel) -> Result<PresenceStats, BrokerError> {
        Ok(PresenceStats::default())
    }

    async fn ready(&self) -> Result<(), BrokerError> {
        self.says().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_is_ready_when_its_parts_are() {
    let (broker, presence) = (Shaky::default(), Shaky::default());
    let engine = Engine::new(broker.clone()).with_presence(presence.clone());
    let node = start_on(engine, AllowAll, NodeConfig::default());
    let unready = async || {
        let begun = Instant::now();
        let unready = node.node.unready().await;
        assert!(begun.elapsed() <= Duration::from_secs(2), "{:?}", begun.elapsed());
        unready.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert!(unready().await.is_empty());
    presence.becomes(Health::Away);
    assert_eq!(unready().await, ["presence: broker unavailable: it is away"]);
    broker.becomes(Health::Silent);
    assert_eq!(
        unready().await,
        ["broker: broker unavailable: no answer in time", "presence: broker unavailable: it is away"]
    );
    broker.becomes(Health::Well);
    presence.becomes(Health::Well);
    assert!(unready().await.is_empty());
    node.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_part_that_stopped_for_good_is_not_ready() {
    let broker = Shaky::default();
    let node = start_on(broker.clone(), AllowAll, NodeConfig::default());
    assert!(node.node.unready().await.is_empty());
    broker.0.end.notify_one();
    broker.0.ended.notified().await;
    let told = async {
        loop {
            if let [it] = node.node.unready().await.as_slice() {
                break it.part;
            }
            tokio::task::yield_now().await;
        }
    };
    assert_eq!(timeout(Duration::from_secs(9), told).await, Ok(Part::Broker));
    node.end().await;
}

#[tokio::test(start_paused = true)]
async fn connections_are_told_to_go_evenly_over_the_window_and_new_ones_at_once() {
    let node = start(AllowAll, NodeConfig::default());
    let mut clients = Vec::new();
    for _ in 0..40 {
        clients.push(node.client().await);
    }
    let begun = Instant::now();
    let leaving = tokio::spawn({
        let node = node.node.clone();
        async move { node.leave(Duration::from_secs(8)).await }
    });
    let ends = clients.into_iter().map(|mut client| async move {
        assert_eq!(client.closed().await, Disconnect::SHUTDOWN);
        begun.elapsed()
    });
    let mut ends = futures_util::future::join_all(ends).await;
    ends.sort_unstable();
    for (number, end) in (1..).zip(ends) {
        // Every 200 ms one.
        let due = Duration::from_millis(200) * number;
        assert!(end <= due && due - end <= Duration::from_millis(200), "the {number}. after {end:?}");
    }
    leaving.await.expect("no panic");
    assert!(node.node.is_leaving());
    let mut late = node.open(1 << 20, |_| {});
    assert_eq!(late.closed().await, Disconnect::SHUTDOWN);
    node.end().await;
}
