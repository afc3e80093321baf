//! A nats-server of a test's own, programs that speak to it by hand, and what brokers tell.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tourbillon_broker::conformance::Log;
use tourbillon_broker::{Broker, BrokerEvents, EventSink};
use tourbillon_broker_nats::{NatsBroker, NatsConfig, NatsServer};
use tourbillon_types::{Channel, ClientInfo, Publication};

/// Runs a test to its end, or fails it if it hangs.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let limited = async { tokio::time::timeout(Duration::from_secs(60), future).await };
    runtime.block_on(limited).expect("the test hangs")
}

/// A process that ends with the value.
pub(crate) struct NatsProcess {
    pub(crate) port: u16,
    arguments: Vec<String>,
    child: Child,
}

impl NatsProcess {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_at(free_port(), arguments.iter().map(|text| (*text).to_owned()).collect())
    }

    pub(crate) fn start_at(port: u16, arguments: Vec<String>) -> Self {
        let child = Command::new("nats-server")
            .args(["-a", "127.0.0.1", "-p", &port.to_string()])
            .args(&arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server (Debian's package of this name)");
        Self { port, arguments, child }
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
    }

    /// Has it stand still, or go on.
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill").success());
    }

    /// Another one in its place.
    pub(crate) fn restart(&mut self) {
        *self = Self::start_at(self.port, std::mem::take(&mut self.arguments));
    }

    pub(crate) fn config(&self) -> NatsConfig {
        let mut config = NatsConfig::at(&format!("nats://127.0.0.1:{}", self.port)).expect("an address");
        config.prefix = prefix();
        config
    }
}

impl Drop for NatsProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// One that nothing else has.
pub(crate) fn prefix() -> String {
    static LAST: AtomicUsize = AtomicUsize::new(0);
    format!("test{}", LAST.fetch_add(1, Ordering::Relaxed))
}

/// Hands on what a broker tells, and says that something came.
pub(crate) struct Heard {
    pub(crate) log: EventSink,
    pub(crate) came: Arc<Notify>,
    pub(crate) lost: AtomicUsize,
}

impl BrokerEvents for Heard {
    fn publication(&self, channel: &Channel, publication: Arc<Publication>) {
        self.log.publication(channel, publication);
        self.came.notify_waiters();
    }

    fn delta_publication(
        &self,
        channel: &Channel,
        publication: Arc<Publication>,
        previous: Option<Arc<Publication>>,
    ) {
        self.log.delta_publication(channel, publication, previous);
        self.came.notify_waiters();
    }

    fn join(&self, channel: &Channel, info: Arc<ClientInfo>) {
        self.log.join(channel, info);
        self.came.notify_waiters();
    }

    fn leave(&self, channel: &Channel, info: Arc<ClientInfo>) {
        self.log.leave(channel, info);
        self.came.notify_waiters();
    }

    fn position_lost(&self, channel: Option<&Channel>) {
        assert_eq!(channel, None);
        self.lost.fetch_add(1, Ordering::Relaxed);
        self.came.notify_waiters();
    }
}

/// Waits until so much has come.
pub(crate) async fn until(came: &Notify, enough: impl Fn() -> bool) {
    loop {
        let mut next = std::pin::pin!(came.notified());
        next.as_mut().enable();
        if enough() {
            return;
        }
        next.await;
    }
}

/// A broker that runs, and what it tells.
pub(crate) struct Running {
    pub(crate) broker: Arc<NatsBroker>,
    pub(crate) log: Arc<Log>,
    pub(crate) heard: Arc<Heard>,
}

impl Running {
    /// One that need not be connected yet.
    pub(crate) fn new(config: NatsConfig) -> Self {
        let (broker, log) = (Arc::new(NatsBroker::new(config)), Arc::new(Log::default()));
        let (log_sink, came) = (EventSink::new(log.clone()), Arc::default());
        let heard = Arc::new(Heard { log: log_sink, came, lost: AtomicUsize::new(0) });
        broker.attach(EventSink::new(heard.clone()));
        let running = broker.clone();
        tokio::spawn(async move { running.run(Box::pin(std::future::pending())).await });
        Self { broker, log, heard }
    }

    /// One that is connected and gets these channels.
    pub(crate) async fn with(config: NatsConfig, channels: &[&str]) -> Self {
        let running = Self::new(config);
        running.broker.connected().await;
        let channels: Vec<_> = channels.iter().copied().map(Channel::from).collect();
        running.broker.subscribe(&channels).await.expect("subscribed");
        running
    }

    pub(crate) async fn settled(&self, count: usize) {
        until(&self.heard.came, || self.log.len() >= count).await;
    }
}

/// A program that speaks NATS by hand.
pub(crate) struct Foreigner(BufReader<TcpStream>);

impl Foreigner {
    /// Of a server that may still be starting.
    pub(crate) async fn at(config: &NatsConfig) -> Self {
        let address = NatsServer::to_string(&config.servers[0]);
        let stream = loop {
            match TcpStream::connect(&address).await {
                Ok(stream) => break stream,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        let mut foreigner = Self(BufReader::new(stream));
        assert!(foreigner.line().await.starts_with("INFO "));
        foreigner.say("CONNECT {\"echo\":false}\r\n").await;
        foreigner
    }

    pub(crate) async fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).await.expect("a line");
        line
    }

    /// Says something, and returns once it was understood.
    pub(crate) async fn say(&mut self, what: impl AsRef<[u8]>) {
        self.0.write_all(&[what.as_ref(), b"PING\r\n"].concat()).await.expect("sent");
        loop {
            match self.line().await.trim_end() {
                "PONG" => return,
                "+OK" => {}
                other => panic!("{other}"),
            }
        }
    }

    pub(crate) async fn publish(&mut self, subject: &str, payload: &[u8]) {
        let head = format!("PUB {subject} {}\r\n", payload.len());
        self.say([head.as_bytes(), payload, b"\r\n"].concat()).await;
    }

    /// The next message: its subject and its payload.
    pub(crate) async fn message(&mut self) -> (String, Vec<u8>) {
        let line = loop {
            let line = self.line().await;
            if line.starts_with("MSG ") {
                break line;
            }
        };
        let words: Vec<_> = line.split_whitespace().collect();
        let length: usize = words[words.len() - 1].parse().expect("a length");
        let mut payload = vec![0; length + 2];
        self.0.read_exact(&mut payload).await.expect("a payload");
        payload.truncate(length);
        (words[1].to_owned(), payload)
    }
}
