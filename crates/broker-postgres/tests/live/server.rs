//! A PostgreSQL of a test's own, on a free port of the loopback.

use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tourbillon_broker_postgres::{Postgres, PostgresConfig, PostgresRecords};

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The password of everybody.
pub(crate) const PASSWORD: &str = "hidden-word";

/// A server. Ends with this.
pub(crate) struct Server {
    pub(crate) port: u16,
    directory: PathBuf,
    child: Child,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(None)
    }

    /// A server with a certificate and its key, in PEM.
    pub(crate) fn start_with(tls: Option<(&str, &str)>) -> Self {
        let port = free_port();
        let directory =
            std::env::temp_dir().join(format!("tourbillon-postgres-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let write = |name: &str, text: &str| {
            let path = directory.join(name);
            std::fs::write(&path, text).expect("a file");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("ours alone");
            give(&path);
        };
        give(&directory);
        write("password", PASSWORD);
        let settings = "fsync = off\nunix_socket_directories = ''\nlisten_addresses = '127.0.0.1'\n";
        let mut settings = format!("{settings}port = {port}\n");
        if let Some((cert, key)) = tls {
            write("server.crt", cert);
            write("server.key", key);
            let file = |name: &str| directory.join(name).display().to_string();
            let (cert, key) = (file("server.crt"), file("server.key"));
            settings += &format!("ssl = on\nssl_cert_file = '{cert}'\nssl_key_file = '{key}'\n");
        }
        let password = format!("--pwfile={}", directory.join("password").display());
        let mut initdb = program("initdb");
        initdb.args([
            "--no-sync",
            "--username=postgres",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            &password,
        ]);
        done(initdb.arg(directory.join("data")).output());
        std::fs::write(directory.join("data/postgresql.auto.conf"), settings).expect("a file");
        let child = spawn(&directory);
        let it = Self { port, directory, child };
        it.wait();
        it
    }

    /// Ends at once, as after a crash.
    pub(crate) fn kill(&mut self) {
        self.signal("-QUIT");
        self.child.wait().expect("ended");
    }

    /// Starts again, with what it knew.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(&self.directory);
        self.wait();
    }

    /// Has all its processes stand still, or go on.
    pub(crate) fn signal_all(&self, signal: &str) {
        self.signal(signal);
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        for pid in std::fs::read_to_string(children).expect("its processes").split_whitespace() {
            let _ = Command::new("kill").args([signal, pid]).status();
        }
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill").success());
    }

    /// Has a query answered by psql.
    pub(crate) fn psql(&self, query: &str) -> String {
        done(self.ask(query))
    }

    fn ask(&self, query: &str) -> std::io::Result<Output> {
        program("psql").args(["-qAtX", "-v", "ON_ERROR_STOP=1", "-c", query, &self.dsn("postgres")]).output()
    }

    fn wait(&self) {
        until("PostgreSQL answers", || self.ask("SELECT 1").is_ok_and(|output| output.status.success()));
    }

    pub(crate) fn dsn(&self, user: &str) -> String {
        format!("postgresql://{user}:{PASSWORD}@127.0.0.1:{}/postgres", self.port)
    }

    pub(crate) async fn connect(&self) -> Postgres {
        Postgres::connect(config(&self.dsn("postgres"))).await.expect("connected")
    }

    pub(crate) async fn records(&self, limit: usize) -> PostgresRecords {
        self.connect().await.records("user_block", limit)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-QUIT", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

pub(crate) fn config(dsn: &str) -> PostgresConfig {
    PostgresConfig::parse(dsn).expect("a place")
}

fn spawn(directory: &Path) -> Child {
    let mut postgres = program("postgres");
    postgres.arg("-D").arg(directory.join("data")).stdout(Stdio::null()).stderr(Stdio::null());
    postgres.spawn().expect("postgres runs")
}

/// A program of the newest PostgreSQL there is. Debian keeps them out of the path.
fn program(name: &str) -> Command {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest =
        versions.map(|version| version.path().join("bin").join(name)).filter(|path| path.exists()).max();
    let mut command = Command::new(newest.unwrap_or_else(|| PathBuf::from(name)));
    // The server does not run as root.
    if let Some((user, group)) = other_user() {
        command.uid(user).gid(group);
    }
    command.current_dir("/").env_remove("PGPASSWORD");
    command
}

/// Who runs the server where we are root.
fn other_user() -> Option<(u32, u32)> {
    let id = |args: &[&str]| -> Option<u32> {
        let output = Command::new("id").args(args).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    let of = |user| Some((id(&["-u", user])?, id(&["-g", user])?));
    (id(&["-u"]) == Some(0)).then(|| of("postgres").or_else(|| of("nobody")).expect("another user"))
}

fn give(path: &Path) {
    if let Some((user, group)) = other_user() {
        chown(path, Some(user), Some(group)).expect("given away");
    }
}

fn done(output: std::io::Result<Output>) -> String {
    let output = output.expect("PostgreSQL is installed (Debian's package postgresql)");
    let [out, err] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).trim().to_owned());
    assert!(output.status.success(), "{out}{err}");
    out
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("its address").port()
}

/// Waits for something outside of this process.
pub(crate) fn until(what: &str, is: impl Fn() -> bool) {
    let (_silence, never) = std::sync::mpsc::channel::<()>();
    for _ in 0..PATIENCE.as_millis() / 20 {
        if is() {
            return;
        }
        let _ = never.recv_timeout(Duration::from_millis(20));
    }
    panic!("waited in vain until {what}");
}

/// Runs a test to its end, or fails it if it hangs.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(PATIENCE, future).await }).expect("the test hangs")
}
