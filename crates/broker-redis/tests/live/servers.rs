//! Servers of one's own, on free ports of the loopback.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tourbillon_broker::conformance::Log;
use tourbillon_broker::{Broker, EventSink};
use tourbillon_broker_redis::{Connection, RedisConfig, RedisEngine, ShardConfig};

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A server. Ends with this.
#[derive(Debug)]
pub(crate) struct Redis {
    pub(crate) port: u16,
    args: Vec<String>,
    directory: PathBuf,
    child: Child,
}

impl Redis {
    pub(crate) fn start(args: &[&str]) -> Self {
        let port = free_port();
        let directory = directory(port);
        let args: Vec<String> =
            args.iter().map(|arg| arg.replace("{dir}", &directory.to_string_lossy())).collect();
        Self::spawned(port, directory, args)
    }

    /// Ends at once, as a machine that loses its power.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a child");
        self.child.wait().expect("ended");
    }

    /// Starts again at the same port, without what it knew.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(self.port, &self.directory, &self.args);
        self.wait_until_it_answers();
    }

    /// A sentinel that watches this server and is quick to give up on it.
    pub(crate) fn sentinel(master: &Self) -> Self {
        let port = free_port();
        let directory = directory(port);
        let path = directory.join("sentinel.conf");
        let lines = format!(
            "sentinel monitor mymaster 127.0.0.1 {} 1\nsentinel down-after-milliseconds mymaster 500\n",
            master.port
        );
        std::fs::write(&path, lines).expect("a file");
        let args = vec![path.to_string_lossy().into_owned(), "--sentinel".to_owned()];
        Self::spawned(port, directory, args)
    }

    /// A server that also listens, one port above, to who speaks TLS.
    pub(crate) fn encrypted(cert: &str, key: &str) -> Self {
        let port = free_port();
        let directory = directory(port);
        let file = |name: &str, text: &str| {
            let path = directory.join(name);
            std::fs::write(&path, text).expect("a file");
            path.to_string_lossy().into_owned()
        };
        let (cert, key) = (file("cert.pem", cert), file("key.pem", key));
        let tls_port = (port + 1).to_string();
        let args = ["--tls-port", &tls_port, "--tls-cert-file", &cert, "--tls-key-file", &key];
        let args = args.into_iter().chain(["--tls-auth-clients", "no"]).map(str::to_owned).collect();
        Self::spawned(port, directory, args)
    }

    fn spawned(port: u16, directory: PathBuf, args: Vec<String>) -> Self {
        let child = spawn(port, &directory, &args);
        let it = Self { port, args, directory, child };
        it.wait_until_it_answers();
        it
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Asks by redis-cli.
    pub(crate) fn cli(&self, args: &[&str]) -> String {
        cli(self.port, args)
    }

    fn wait_until_it_answers(&self) {
        // Any answer: it may want a password.
        until("a server answers", || !self.cli(&["PING"]).contains("Could not connect"));
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn spawn(port: u16, directory: &Path, args: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    if args.first().is_some_and(|arg| arg.ends_with(".conf")) {
        command.args(args);
    }
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]).arg("--dir").arg(directory);
    if !args.first().is_some_and(|arg| arg.ends_with(".conf")) {
        command.args(["--save", "", "--appendonly", "no"]).args(args);
    }
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("redis-server is installed")
}

pub(crate) fn cli(port: u16, args: &[&str]) -> String {
    let output =
        Command::new("redis-cli").args(["-h", "127.0.0.1", "-p", &port.to_string()]).args(args).output();
    let output = output.expect("redis-cli is installed");
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).trim().to_owned()
}

/// A port that was free a moment ago. Tests run at the same time, so each process has a part of its own.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        // Cluster nodes have a second port, 10,000 above.
        let port = 12_000 + (std::process::id().wrapping_mul(97).wrapping_add(step * 3)) % 20_000;
        let port = u16::try_from(port).expect("a port");
        let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if free(port) && free(port + 10_000) {
            return port;
        }
    }
}

fn directory(port: u16) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("tourbillon-redis-{}-{port}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    directory
}

/// Waits for something outside of this process.
pub(crate) fn until(what: &str, is: impl Fn() -> bool) {
    let (_silence, never) = std::sync::mpsc::channel::<()>();
    for _ in 0..PATIENCE.as_millis() / 10 {
        if is() {
            return;
        }
        let _ = never.recv_timeout(Duration::from_millis(10));
    }
    panic!("waited in vain until {what}");
}

/// Waits for something that comes from outside of this process.
pub(crate) async fn eventually(what: &str, is: impl Fn() -> bool) {
    for _ in 0..PATIENCE.as_millis() / 2 {
        if is() {
            return;
        }
        // tidy: allow-sleep another process has no event for us
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("waited in vain until {what}");
}

/// Three nodes that share the slots.
pub(crate) fn cluster() -> Vec<Redis> {
    let start = || Redis::start(&["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"]);
    let nodes = [start(), start(), start()];
    let slots = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
    for (node, (from, to)) in nodes.iter().zip(slots) {
        assert_eq!(node.cli(&["CLUSTER", "ADDSLOTSRANGE", from, to]), "OK");
    }
    for node in &nodes[1..] {
        assert_eq!(nodes[0].cli(&["CLUSTER", "MEET", "127.0.0.1", &node.port.to_string()]), "OK");
    }
    until("the cluster is complete", || {
        nodes.iter().all(|node| {
            let info = node.cli(&["CLUSTER", "INFO"]);
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
        })
    });
    nodes.into()
}

pub(crate) fn shard(address: &str) -> ShardConfig {
    ShardConfig::parse(address, &Connection::default()).expect("an address")
}

/// A prefix that nobody else has.
pub(crate) fn prefix() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// An engine that runs, and what it told.
pub(crate) struct Running {
    pub(crate) engine: Arc<RedisEngine>,
    pub(crate) log: Arc<Log>,
}

pub(crate) async fn run(config: RedisConfig) -> Running {
    let log = Arc::new(Log::default());
    let engine = run_with(config, EventSink::new(log.clone())).await;
    Running { engine, log }
}

pub(crate) async fn run_with(config: RedisConfig, events: EventSink) -> Arc<RedisEngine> {
    let engine = Arc::new(RedisEngine::connect(config).await.expect("connected"));
    Broker::attach(&*engine, events);
    let running = engine.clone();
    tokio::spawn(async move { Broker::run(&*running, Box::pin(std::future::pending())).await });
    engine
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(future)
}
