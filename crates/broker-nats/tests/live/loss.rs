//! Servers that go and come (NATS-01).

use std::sync::atomic::Ordering;

use tourbillon_broker::{Attempt, Broker, BrokerError, Publish};
use tourbillon_broker_nats::NatsServer;
use tourbillon_types::{Channel, Payload};

use crate::server::{Foreigner, NatsProcess, Running, block_on, free_port, prefix};

fn publish(running: &Running, data: &'static str) -> Result<(), BrokerError> {
    match running.broker.publish_now(Publish::new(Channel::from("a"), Payload::from(data))) {
        Attempt::Done(published) => published.map(drop),
        Attempt::Later(_) => panic!("there is room"),
    }
}

/// Publishes until it cannot be done any more.
async fn until_lost(running: &Running) {
    while publish(running, "into the void").is_ok() {
        tokio::task::yield_now().await;
    }
}

#[test]
fn without_a_connection_nothing_is_taken_and_nothing_is_kept_for_later() {
    block_on(async {
        let mut server = NatsProcess::start(&[]);
        let running = Running::with(server.config(), &["a"]).await;
        publish(&running, "before").expect("published");
        running.settled(1).await;
        server.kill();
        until_lost(&running).await;
        let fails = |result: Result<(), BrokerError>| result.is_err_and(|error| error.is_transient());
        assert!(fails(publish(&running, "meanwhile")));
        let what = Publish::new(Channel::from("a"), Payload::from("meanwhile"));
        assert!(fails(running.broker.publish(what).await.map(drop)));
        assert!(fails(running.broker.subscribe(&[Channel::from("b")]).await));
        running.broker.unsubscribe(&[Channel::from("never")]).await.expect("harmless");
        assert_eq!(running.heard.lost.load(Ordering::Relaxed), 0, "there is no other connection yet");

        server.restart();
        running.broker.connected().await;
        assert_eq!(running.heard.lost.load(Ordering::Relaxed), 1);
        publish(&running, "after").expect("published");
        running.settled(2).await;
        let data: Vec<_> = running.log.data("a").into_iter().filter(|data| data != "into the void").collect();
        assert_eq!(data, ["before", "after"]);
        running.broker.subscribe(&[Channel::from("b")]).await.expect("it is back");

        // What was unsubscribed is not subscribed again.
        running.broker.unsubscribe(&[Channel::from("a")]).await.expect("unsubscribed");
        server.kill();
        until_lost(&running).await;
        server.restart();
        running.broker.connected().await;
        let before = running.log.len();
        publish(&running, "to nobody").expect("published");
        let marker = Publish::new(Channel::from("b"), Payload::from("marker"));
        running.broker.publish(marker).await.expect("published");
        running.settled(before + 1).await;
        assert_eq!((running.log.data("b"), running.log.len()), (vec!["marker".to_owned()], before + 1));
    });
}

#[test]
fn a_server_that_is_not_there_yet_is_waited_for() {
    block_on(async {
        let port = free_port();
        let mut config =
            tourbillon_broker_nats::NatsConfig::at(&format!("127.0.0.1:{port}")).expect("an address");
        config.prefix = prefix();
        let running = Running::new(config);
        assert!(publish(&running, "too early").is_err_and(|error| error.is_transient()));
        let _server = NatsProcess::start_at(port, Vec::new());
        running.broker.connected().await;
        running.broker.subscribe(&[Channel::from("a")]).await.expect("subscribed");
        publish(&running, "1").expect("published");
        running.settled(1).await;
        assert_eq!(running.log.data("a"), ["1"]);
    });
}

#[test]
fn another_server_takes_over() {
    block_on(async {
        let (mut one, other) = (NatsProcess::start(&[]), NatsProcess::start(&[]));
        let mut config = one.config();
        // Both are up, so that the first one is taken.
        for server in [&one, &other] {
            Foreigner::at(&server.config()).await;
        }
        config
            .servers
            .extend(NatsServer::list(&format!("nats://127.0.0.1:{}", other.port)).expect("an address"));
        let running = Running::with(config.clone(), &["a"]).await;
        one.kill();
        until_lost(&running).await;
        running.broker.connected().await;
        let far = Running::with(
            {
                let mut far = config;
                far.servers.remove(0);
                far
            },
            &[],
        )
        .await;
        publish(&far, "from the other").expect("published");
        running.settled(1).await;
        assert!(running.log.data("a").ends_with(&["from the other".to_owned()]));
    });
}

#[test]
fn what_was_said_before_the_end_is_still_said() {
    block_on(async {
        let server = NatsProcess::start(&[]);
        let config = server.config();
        let listening = Running::with(config.clone(), &["a"]).await;
        let broker = tourbillon_broker_nats::NatsBroker::new(config);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let work = broker.run(Box::pin(async move {
            let _ = stopped.await;
        }));
        let ends = async {
            broker.connected().await;
            for _ in 0..1000 {
                let last = Publish::new(Channel::from("a"), Payload::from("last words"));
                assert!(matches!(broker.publish_now(last), Attempt::Done(Ok(_))));
            }
            stop.send(()).expect("it runs");
        };
        let (ended, ()) = tokio::join!(work, ends);
        ended.expect("an orderly end");
        listening.settled(1000).await;
        let late = broker.publish_now(Publish::new(Channel::from("a"), Payload::from("late")));
        assert!(matches!(late, Attempt::Done(Err(error)) if error.is_transient()));
    });
}
