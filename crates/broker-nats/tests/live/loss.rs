//! Servers that go and come (NATS-01), and messages that come too fast.

use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tourbillon_broker::{Attempt, Broker, BrokerError, BrokerEvents, EventSink, Publish};
use tourbillon_broker_nats::{NatsBroker, NatsServer, RawMode};
use tourbillon_types::{Channel, ClientInfo, Payload, Publication};

use crate::server::{Foreigner, NatsProcess, Running, block_on, free_port, prefix, until};

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
        assert!(fails(running.broker.ready().await));
        running.broker.unsubscribe(&[Channel::from("never")]).await.expect("harmless");
        assert_eq!(running.heard.lost.load(Ordering::Relaxed), 0, "there is no other connection yet");

        server.restart();
        running.broker.connected().await;
        running.broker.ready().await.expect("ready again");
        assert_eq!(running.heard.lost.load(Ordering::Relaxed), 1);
        publish(&running, "after").expect("published");
        running.settled(2).await;
        assert_eq!(
            running.log.data("a"),
            ["before", "after"],
            "what was taken for the old connection is gone with it"
        );
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
        let broker = NatsBroker::new(config);
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

#[test]
fn a_server_that_takes_nothing_is_given_up_in_time() {
    block_on(async {
        let server = NatsProcess::start(&[]);
        let mut config = server.config();
        config.write_timeout = Duration::from_millis(200);
        let running = Running::with(config, &["a"]).await;
        server.signal("-STOP");
        // More than sockets hold and this node keeps.
        let large = || Publish::new(Channel::from("b"), Payload::from(vec![b'x'; 64 * 1024]));
        let mut taken = 0;
        let error = loop {
            match running.broker.publish(large()).await {
                Ok(_) => taken += 1,
                Err(error) => break error,
            }
        };
        assert!(error.is_transient() && taken < 500, "{error}, after {taken}");
        server.signal("-CONT");
        until(&running.heard.came, || running.heard.lost.load(Ordering::Relaxed) == 1).await;
        running.broker.connected().await;
        publish(&running, "after").expect("published");
        running.settled(1).await;
        assert_eq!(running.log.data("a"), ["after"]);
    });
}

/// Takes nothing until the gate opens.
struct Slow {
    gate: Mutex<Option<mpsc::Receiver<()>>>,
    lost: Notify,
}

impl BrokerEvents for Slow {
    fn publication(&self, _: &Channel, _: Arc<Publication>) {
        let gate = self.gate.lock().take();
        // What is waited for is that the other end is dropped.
        let _ = gate.map(|gate| tokio::task::block_in_place(|| gate.recv()));
    }

    fn delta_publication(&self, _: &Channel, _: Arc<Publication>, _: Option<Arc<Publication>>) {}

    fn join(&self, _: &Channel, _: Arc<ClientInfo>) {}

    fn leave(&self, _: &Channel, _: Arc<ClientInfo>) {}

    fn position_lost(&self, _: Option<&Channel>) {
        self.lost.notify_one();
    }
}

/// Waits until the server has written all that it had for anybody.
async fn nothing_waits_at(monitor: u16) {
    loop {
        let mut stream = TcpStream::connect(("127.0.0.1", monitor)).await.expect("the monitor");
        stream.write_all(b"GET /connz HTTP/1.0\r\n\r\n").await.expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("an answer");
        let all = text.matches("\"pending_bytes\":").count();
        if all > 0 && all == text.matches("\"pending_bytes\": 0,").count() {
            return;
        }
    }
}

#[test]
fn messages_that_are_dropped_because_too_many_wait_are_told_as_lost() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_all().build();
    let test = async {
        let monitor = free_port();
        let server = NatsProcess::start(&["-m", &monitor.to_string()]);
        let mut config = server.config();
        config.raw = Some(RawMode::default());
        let (open, gate) = mpsc::channel();
        let slow = Arc::new(Slow { gate: Mutex::new(Some(gate)), lost: Notify::new() });
        let broker = Arc::new(NatsBroker::new(config.clone()));
        broker.attach(EventSink::new(slow.clone()));
        let running = broker.clone();
        tokio::spawn(async move { running.run(Box::pin(std::future::pending())).await });
        broker.connected().await;
        broker.subscribe(&[Channel::from("a")]).await.expect("subscribed");
        // More than sockets hold and 65,536 messages.
        let message = format!("PUB a 100\r\n{}\r\n", "x".repeat(100));
        let mut foreigner = Foreigner::at(&config).await;
        for _ in 0..200 {
            foreigner.say(message.repeat(1000)).await;
        }
        nothing_waits_at(monitor).await;
        drop::<mpsc::Sender<()>>(open);
        slow.lost.notified().await;
    };
    let limited = async { tokio::time::timeout(Duration::from_secs(60), test).await };
    runtime.expect("a runtime").block_on(limited).expect("nothing is told");
}
