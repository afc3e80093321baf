//! The servers of a run: ours and the floor, started here; a peer that runs already.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::json;
use tourbillon_load::process::Process;
use tourbillon_load::{Endpoint, Target};

/// The processor of servers; the load runs on [`CLIENT_CPU`].
const SERVER_CPU: &str = "0";
/// The processor of the load.
pub(crate) const CLIENT_CPU: usize = 1;
/// The key of our server's API during a run.
const KEY: &str = "bench-key";

/// Who takes part in a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Ours,
    Floor,
    Corked,
    Peer,
}

impl Who {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Floor => "floor",
            Self::Corked => "floor, corked",
            Self::Peer => "peer",
        }
    }
}

/// A server that runs. Dropping it ends it, if it was started here.
#[derive(Debug)]
pub(crate) struct Contestant {
    pub(crate) who: Who,
    pub(crate) target: Target,
    pub(crate) api: Option<Endpoint>,
    pub(crate) key: String,
    pub(crate) process: Process,
    child: Option<Child>,
}

impl Drop for Contestant {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Where the programs are, and what they need to know.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) server: PathBuf,
    pub(crate) floor: PathBuf,
    pub(crate) out: PathBuf,
    pub(crate) pin: bool,
    pub(crate) secret: String,
    pub(crate) peer: Option<Peer>,
}

/// A server that was given.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) url: String,
    pub(crate) pid: u32,
    pub(crate) api: Option<String>,
    pub(crate) key: String,
}

impl Field {
    pub(crate) fn start(&self, who: Who) -> Result<Contestant, String> {
        match who {
            Who::Ours => self.ours(),
            Who::Floor => self.floor(false),
            Who::Corked => self.floor(true),
            Who::Peer => self.peer(),
        }
        .map_err(|error| format!("{}: {error}", who.name()))
    }

    fn command(&self, program: &Path) -> Command {
        if self.pin {
            let mut command = Command::new("taskset");
            command.args(["-c", SERVER_CPU]).arg(program);
            command
        } else {
            Command::new(program)
        }
    }

    fn ours(&self) -> Result<Contestant, String> {
        let port = free_port().map_err(|error| error.to_string())?;
        let config = json!({
            "http_server": {"address": "127.0.0.1", "port": port.to_string()},
            "client": {"token": {"hmac_secret_key": self.secret}},
            "channel": {
                "without_namespace": {"allow_subscribe_for_client": true, "allow_publish_for_client": true},
                "namespaces": [
                    {
                        "name": "kept", "allow_subscribe_for_client": true, "allow_publish_for_client": true,
                        "history_size": 100, "history_ttl": "300s", "force_positioning": true, "force_recovery": true,
                    },
                    {
                        "name": "match", "allow_subscribe_for_client": true, "history_size": 10, "history_ttl": "60s",
                        "force_positioning": true, "force_recovery": true, "allowed_delta_types": ["fossil"],
                    },
                    {"name": "tagged", "allow_subscribe_for_client": true, "allow_tags_filter": true},
                    {"name": "seen", "allow_subscribe_for_client": true, "presence": true},
                ],
            },
            "http_api": {"key": KEY},
            "websocket": {"compression": true},
        });
        let file = self.out.join("server.json");
        std::fs::write(&file, config.to_string()).map_err(|error| format!("{}: {error}", file.display()))?;
        let mut command = self.command(&self.server);
        command.arg("--config").arg(&file).stdout(Stdio::null()).stderr(Stdio::piped());
        if self.pin {
            command.env("TOKIO_WORKER_THREADS", "1");
        }
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", self.server.display()))?;
        let log = child.stderr.take().map(BufReader::new);
        wait_for(log, "serving")?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        self.contestant(Who::Ours, address, child)
    }

    fn floor(&self, corked: bool) -> Result<Contestant, String> {
        let mut command = self.command(&self.floor);
        if corked {
            command.arg("--cork");
        }
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", self.floor.display()))?;
        let line = wait_for(child.stdout.take().map(BufReader::new), "listening on ")?;
        let address = line
            .rsplit(' ')
            .next()
            .and_then(|address| address.trim().parse().ok())
            .ok_or_else(|| format!("no address in `{line}`"))?;
        self.contestant(if corked { Who::Corked } else { Who::Floor }, address, child)
    }

    fn contestant(&self, who: Who, address: SocketAddr, child: Child) -> Result<Contestant, String> {
        Ok(Contestant {
            who,
            target: self.target(&format!("ws://{address}"))?,
            api: Some(
                Endpoint::parse(&format!("http://{address}/api"), "http")
                    .map_err(|error| error.to_string())?,
            ),
            key: KEY.to_owned(),
            process: Process::new(child.id()).map_err(|error| error.to_string())?,
            child: Some(child),
        })
    }

    fn target(&self, url: &str) -> Result<Target, String> {
        let mut target = Target::new(url).map_err(|error| error.to_string())?;
        target.sign_with(&self.secret).map_err(|error| error.to_string())?;
        Ok(target)
    }

    fn peer(&self) -> Result<Contestant, String> {
        let peer = self.peer.as_ref().ok_or("no peer was given")?;
        let target = self.target(&peer.url)?;
        let api = peer.api.as_deref().map(|url| Endpoint::parse(url, "http")).transpose();
        Ok(Contestant {
            who: Who::Peer,
            target,
            api: api.map_err(|error| error.to_string())?,
            key: peer.key.clone(),
            process: Process::new(peer.pid).map_err(|error| format!("process {}: {error}", peer.pid))?,
            child: None,
        })
    }
}

/// Reads lines until one holds `part`; the rest is read and thrown away, so that the server never waits for a reader.
fn wait_for(
    lines: Option<BufReader<impl std::io::Read + Send + 'static>>,
    part: &str,
) -> Result<String, String> {
    let mut lines = lines.ok_or("no output")?;
    let mut seen = String::new();
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).map_err(|error| error.to_string())? == 0 {
            return Err(format!("ended before it served:\n{seen}"));
        }
        if line.contains(part) {
            std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
            return Ok(line);
        }
        seen.push_str(&line);
    }
}

fn free_port() -> std::io::Result<u16> {
    TcpListener::bind(("127.0.0.1", 0))?.local_addr().map(|address| address.port())
}
