//! Which channels a broker is asked for that delivers only what it is asked for (HID-25).

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tourbillon_broker::{Broker, BrokerError, Capabilities, EventSink, Publish, Published, Stop};
use tourbillon_node::NodeConfig;
use tourbillon_types::Channel;

use crate::harness::{Client, start_on};
use crate::scripted::ByName;

/// Notes what it is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked(Arc<Mutex<Vec<String>>>);

impl Asked {
    fn note(&self, what: &str, channels: &[Channel]) {
        let names = channels.iter().map(|channel| format!("{what} {channel}"));
        self.0.lock().extend(names);
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
}

impl Broker for Asked {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.needs_interest = true;
        capabilities
    }

    async fn publish(&self, _: Publish) -> Result<Published, BrokerError> {
        Err(BrokerError::unsupported("publish"))
    }

    fn check(&self, channel: &Channel) -> Result<(), BrokerError> {
        if channel.contains('*') { Err(BrokerError::invalid("a star")) } else { Ok(()) }
    }

    async fn subscribe(&self, channels: &[Channel]) -> Result<(), BrokerError> {
        self.note("subscribe", channels);
        Ok(())
    }

    async fn unsubscribe(&self, channels: &[Channel]) -> Result<(), BrokerError> {
        self.note("unsubscribe", channels);
        Ok(())
    }

    fn attach(&self, _: EventSink) {}

    async fn run(&self, stop: Stop) -> Result<(), BrokerError> {
        stop.await;
        Ok(())
    }
}

async fn leave(client: &mut Client, channel: &str) {
    let reply = client.call(&format!(r#""unsubscribe":{{"channel":"{channel}"}}"#)).await;
    assert!(reply["unsubscribe"].is_object(), "{reply}");
}

async fn pass(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await; // tidy: allow-sleep the clock of the caller is paused
}

#[tokio::test(start_paused = true)]
async fn a_channel_is_kept_for_a_second_after_its_last_subscriber() {
    let asked = Asked::default();
    let test = start_on(asked.clone(), ByName, NodeConfig::default());
    let (mut ann, mut bob) = (test.client().await, test.client().await);
    ann.subscribe("a").await;
    bob.subscribe("a").await;
    assert_eq!(asked.take(), ["subscribe a"], "once for both");
    leave(&mut ann, "a").await;
    pass(5_000).await;
    assert!(asked.take().is_empty(), "somebody has it still");
    leave(&mut bob, "a").await;
    pass(900).await;
    assert!(asked.take().is_empty());
    ann.subscribe("a").await;
    pass(5_000).await;
    assert!(asked.take().is_empty(), "it came back in time");
    drop(ann);
    pass(900).await;
    assert!(asked.take().is_empty());
    pass(200).await;
    assert_eq!(asked.take(), ["unsubscribe a"]);
    bob.subscribe("a").await;
    assert_eq!(asked.take(), ["subscribe a"]);
    test.end().await;
}

/// CH-07: 107, which clients do not take for passing, and no call that others' channels would be part of.
#[tokio::test(start_paused = true)]
async fn a_name_that_is_no_channel_of_the_broker_is_refused_before_it_is_asked() {
    let asked = Asked::default();
    let test = start_on(asked.clone(), ByName, NodeConfig::default());
    let mut ann = test.client().await;
    let reply = ann.call(r#""subscribe":{"channel":"a*"}"#).await;
    assert_eq!(reply["error"]["code"], 107, "{reply}");
    assert!(asked.take().is_empty());
    ann.subscribe("a").await;
    assert_eq!(asked.take(), ["subscribe a"]);
    drop(ann);
    pass(2_000).await;
    assert_eq!(asked.take(), ["unsubscribe a"], "nothing is left of the other");
    test.end().await;
}
