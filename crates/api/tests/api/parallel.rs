//! How much of one request is worked on at once (LIM-12).

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tourbillon_broker::{Broker, BrokerError, Capabilities, EventSink, Publish, Published, Stop};
use tourbillon_types::Channel;

use crate::harness::start_on;

/// Carries nothing, and takes its time for it: until the test lets it.
#[derive(Clone, Debug, Default)]
struct Slow(Arc<State>);

#[derive(Debug, Default)]
struct State {
    open: watch::Sender<bool>,
    /// How many are published now, and the most there were at once.
    under_way: watch::Sender<(usize, usize)>,
}

impl Broker for Slow {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn publish(&self, _: Publish) -> Result<Published, BrokerError> {
        self.0.under_way.send_modify(|(now, most)| {
            *now += 1;
            *most = (*most).max(*now);
        });
        let mut open = self.0.open.subscribe();
        open.wait_for(|open| *open).await.map_err(|_| BrokerError::internal("the test ended"))?;
        self.0.under_way.send_modify(|(now, _)| *now -= 1);
        Ok(Published::default())
    }

    async fn subscribe(&self, _: &[Channel]) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn unsubscribe(&self, _: &[Channel]) -> Result<(), BrokerError> {
        Ok(())
    }

    fn attach(&self, _: EventSink) {}

    async fn run(&self, stop: Stop) -> Result<(), BrokerError> {
        stop.await;
        Ok(())
    }
}

#[tokio::test]
async fn a_thousand_parts_of_a_request_are_worked_on_at_once() {
    let slow = Slow::default();
    let test = start_on(slow.clone());
    let names = || (0..3_000).map(|number| format!("a{number}"));
    let commands = || names().map(|name| json!({"publish": {"channel": name, "data": 1}}));
    for (method, params, at_once) in [
        ("broadcast", json!({"channels": names().collect::<Vec<_>>(), "data": 1}), 1024),
        ("batch", json!({"commands": commands().collect::<Vec<_>>(), "parallel": true}), 1024),
        ("batch", json!({"commands": commands().collect::<Vec<_>>()}), 1),
    ] {
        slow.0.open.send_replace(false);
        slow.0.under_way.send_replace((0, 0));
        let let_go = async {
            let mut under_way = slow.0.under_way.subscribe();
            let as_many = under_way.wait_for(|(now, _)| *now == at_once);
            let as_many = tokio::time::timeout(Duration::from_secs(60), as_many).await;
            as_many.expect("there are so many").expect("the broker lives");
            slow.0.open.send_replace(true);
        };
        let (answer, ()) = tokio::join!(test.call(method, params), let_go);
        let answers = answer["replies"].as_array().or_else(|| answer["result"]["responses"].as_array());
        assert_eq!(answers.map(Vec::len), Some(3_000), "{method}");
        let failed = |one: &&Value| one.get("error").is_some();
        assert_eq!(answers.into_iter().flatten().find(failed), None, "{method}");
        assert_eq!(*slow.0.under_way.borrow(), (0, at_once), "{method}");
    }
    test.end().await;
}
