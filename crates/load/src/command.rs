//! `tourbillon bench`: load on any server of the protocol, from the command line; for programs that have such a command.

use std::fmt::Write as _;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use tourbillon_types::Encoding;

use crate::mode::{self, Arrive, FanOut, HttpPublish, HttpRequest, Idle, Rpc};
use crate::process::Process;
use crate::siege::{Besieged, Siege, siege};
use crate::{Carrier, Endpoint, Figures, Progress, Target};

/// Where the load goes and how it speaks.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// The server's WebSocket address; for `http-publish` that of its HTTP API, such as http://127.0.0.1:8000/api.
    #[arg(long, default_value = "ws://127.0.0.1:8000/connection/websocket")]
    url: String,
    /// Speak Protobuf instead of JSON.
    #[arg(long)]
    protobuf: bool,
    /// Offer permessage-deflate.
    #[arg(long)]
    compression: bool,
    /// A connection token; may be given several times, connections take turns.
    #[arg(long = "token")]
    tokens: Vec<String>,
    /// The HMAC secret of the server: tokens of a hundred users are made with it.
    #[arg(long, conflicts_with = "tokens")]
    token_secret: Option<String>,
    /// The server's process on this machine: its processor time and memory are told.
    #[arg(long)]
    pid: Option<u32>,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

/// What carries the messages of clients that listen.
#[derive(Args, Clone, Copy, Debug)]
pub struct Listening {
    /// Listen over this; other endpoints are looked for beside the WebSocket's. Streams answer no pings: the server's
    /// client.ping_interval has to be longer than the load.
    #[arg(long, value_enum, default_value = "websocket")]
    transport: Over,
}

/// A transport.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Over {
    Websocket,
    HttpStream,
    Sse,
}

impl Listening {
    fn set(self, target: &mut Target) -> Result<(), String> {
        let carrier = match self.transport {
            Over::Websocket => Carrier::WebSocket,
            Over::HttpStream => Carrier::HttpStream,
            Over::Sse if target.encoding == Encoding::Protobuf => {
                return Err("--transport sse: events are in JSON".to_owned());
            }
            Over::Sse => Carrier::Sse,
        };
        target.listen_over(carrier).map_err(|error| format!("--url {error}"))
    }
}

/// Connections that come.
#[derive(Args, Clone, Debug)]
pub struct Arriving {
    /// Where and how.
    #[command(flatten)]
    common: Common,
    /// What they are.
    #[command(flatten)]
    listening: Listening,
    /// How many.
    #[arg(short, long, default_value_t = 3_000)]
    connections: usize,
    /// Channels of each: the first is shared by ten, the others are its own.
    #[arg(long, default_value_t = 1)]
    channels: usize,
}

impl Arriving {
    const fn load(&self) -> Arrive {
        Arrive { connections: self.connections, channels: self.channels }
    }
}

/// What to load a server with.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Connections that do nothing but answer pings.
    Idle {
        /// Where and how.
        #[command(flatten)]
        common: Common,
        /// What they are.
        #[command(flatten)]
        listening: Listening,
        /// How many.
        #[arg(short, long, default_value_t = 5_000)]
        connections: usize,
        /// Each subscribes to a channel of its own.
        #[arg(long)]
        subscribe: bool,
        /// Seconds to hold them.
        #[arg(short, long, default_value_t = 10)]
        seconds: u64,
    },
    /// Connections that come: upgrade, connect, subscribe.
    Connect(Arriving),
    /// One publisher, many subscribers of one channel.
    Fanout {
        /// Where and how.
        #[command(flatten)]
        common: Common,
        /// What they are.
        #[command(flatten)]
        listening: Listening,
        /// Subscribers.
        #[arg(short, long, default_value_t = 1_000)]
        subscribers: usize,
        /// Publications a second; 0 is as fast as the server takes them.
        #[arg(short, long, default_value_t = 30)]
        rate: u64,
        /// Publications in all.
        #[arg(short = 'n', long, default_value_t = 150)]
        publications: u64,
        /// Bytes of a payload.
        #[arg(long, default_value_t = 128)]
        payload: usize,
    },
    /// One publisher, many channels with few subscribers.
    Channels {
        /// Where and how.
        #[command(flatten)]
        common: Common,
        /// What they are.
        #[command(flatten)]
        listening: Listening,
        /// Channels.
        #[arg(short, long, default_value_t = 1_000)]
        channels: usize,
        /// Subscribers of each.
        #[arg(short, long, default_value_t = 5)]
        subscribers: usize,
        /// Publications a second over all channels; 0 is as fast as the server takes them.
        #[arg(short, long, default_value_t = 4_000)]
        rate: u64,
        /// Publications in all.
        #[arg(short = 'n', long, default_value_t = 20_000)]
        publications: u64,
        /// Bytes of a payload.
        #[arg(long, default_value_t = 128)]
        payload: usize,
    },
    /// Calls that follow each other on every connection.
    Rpc {
        /// Where and how.
        #[command(flatten)]
        common: Common,
        /// Connections.
        #[arg(short, long, default_value_t = 100)]
        connections: usize,
        /// Bytes of a payload.
        #[arg(long, default_value_t = 64)]
        payload: usize,
        /// For how many seconds.
        #[arg(short, long, default_value_t = 5)]
        seconds: u64,
    },
    /// Connections come, vanish all at once and come again.
    Storm(Arriving),
    /// Clients are served while so many others a second want in: what the first feel of it.
    Siege {
        /// Where and how.
        #[command(flatten)]
        common: Common,
        /// Clients that are served.
        #[arg(short, long, default_value_t = 900)]
        subscribers: usize,
        /// Publications a second to them.
        #[arg(short, long, default_value_t = 50)]
        rate: u64,
        /// Connections offered a second.
        #[arg(long, default_value_t = 10_000)]
        offered: u64,
        /// Offer them to this address of HTTP streaming instead, each with a connect, and go once it is answered.
        #[arg(long)]
        http_stream: Option<String>,
        /// For how many seconds, without and with the others.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
    },
    /// Publications over the server's HTTP API.
    HttpPublish {
        /// Where and how.
        #[command(flatten)]
        common: Common,
        /// The key of the API.
        #[arg(long, default_value = "")]
        api_key: String,
        /// Connections, each with one request under way.
        #[arg(short, long, default_value_t = 64)]
        connections: usize,
        /// Bytes of a payload.
        #[arg(long, default_value_t = 120)]
        payload: usize,
        /// Publish into so many channels with each request, by `broadcast`.
        #[arg(long, conflicts_with = "batch")]
        broadcast: Option<usize>,
        /// Publish so often with each request, by `batch`.
        #[arg(long)]
        batch: Option<usize>,
        /// For how many seconds.
        #[arg(short, long, default_value_t = 5)]
        seconds: u64,
    },
}

/// Loads the server and gives the report.
///
/// # Errors
///
/// A text for people: an address that is none, a server that refuses or does not answer, a process that is not there.
pub fn bench(bench: &Bench) -> Result<String, String> {
    let common = bench.common();
    let process = common.pid.map(Process::new).transpose();
    let process = process.map_err(|error| format!("--pid {}: {error}", common.pid.unwrap_or_default()))?;
    let mut bar = Bar::new();
    if let Some(how) = bench.siege()? {
        let found = siege(&common.target()?, process, &how, &mut bar).map_err(|error| error.to_string());
        bar.0.finish_and_clear();
        let found = found?;
        if common.json {
            return serde_json::to_string_pretty(&found).map_err(|error| error.to_string());
        }
        return Ok(bench.report_siege(&found));
    }
    let figures = bench.run(process, &mut bar);
    bar.0.finish_and_clear();
    let figures = figures?;
    if common.json {
        return serde_json::to_string_pretty(&figures).map_err(|error| error.to_string());
    }
    Ok(bench.report(&figures))
}

impl Common {
    fn target(&self) -> Result<Target, String> {
        let mut target = Target::new(&self.url).map_err(|error| format!("--url {error}"))?;
        target.compression = self.compression;
        target.encoding = if self.protobuf { Encoding::Protobuf } else { Encoding::Json };
        target.tokens.clone_from(&self.tokens);
        if let Some(secret) = &self.token_secret {
            target.sign_with(secret).map_err(|error| format!("--token-secret: {error}"))?;
        }
        Ok(target)
    }
}

impl Bench {
    const fn common(&self) -> &Common {
        match self {
            Self::Idle { common, .. }
            | Self::Connect(Arriving { common, .. })
            | Self::Fanout { common, .. }
            | Self::Channels { common, .. }
            | Self::Rpc { common, .. }
            | Self::Siege { common, .. }
            | Self::Storm(Arriving { common, .. })
            | Self::HttpPublish { common, .. } => common,
        }
    }

    /// What listeners listen over, where there are some.
    const fn listening(&self) -> Option<Listening> {
        match *self {
            Self::Idle { listening, .. }
            | Self::Connect(Arriving { listening, .. })
            | Self::Fanout { listening, .. }
            | Self::Channels { listening, .. }
            | Self::Storm(Arriving { listening, .. }) => Some(listening),
            Self::Rpc { .. } | Self::Siege { .. } | Self::HttpPublish { .. } => None,
        }
    }

    fn run(&self, process: Option<Process>, bar: &mut Bar) -> Result<Figures, String> {
        let target = || {
            let mut target = self.common().target()?;
            self.listening().map_or(Ok(()), |listening| listening.set(&mut target))?;
            Ok::<_, String>(target)
        };
        match *self {
            Self::Idle { connections, subscribe, seconds, .. } => {
                let how = Idle {
                    first: connections / 4,
                    connections,
                    subscribe,
                    settle: Duration::from_secs(2),
                    hold: Duration::from_secs(seconds),
                };
                mode::idle(&target()?, process, &how, bar)
            }
            Self::Connect(ref arriving) => mode::connect(&target()?, process, &arriving.load(), bar),
            Self::Storm(ref arriving) => mode::storm(&target()?, process, &arriving.load(), bar),
            // It has a report of its own.
            Self::Siege { .. } => return Ok(Figures::default()),
            Self::Fanout { subscribers, rate, publications, payload, .. } => {
                let how = FanOut { subscribers, rate, publications, payload, ..FanOut::default() };
                mode::fan_out(&target()?, process, &how, bar)
            }
            Self::Channels { channels, subscribers, rate, publications, payload, .. } => {
                let how = FanOut { channels, subscribers, rate, publications, payload, prefix: "" };
                mode::fan_out(&target()?, process, &how, bar)
            }
            Self::Rpc { connections, payload, seconds, .. } => {
                let how = Rpc { connections, payload, time: Duration::from_secs(seconds) };
                mode::rpc(&target()?, process, &how, bar)
            }
            Self::HttpPublish { ref api_key, connections, payload, broadcast, batch, seconds, .. } => {
                let url = &self.common().url;
                let api = Endpoint::parse(url, "http").map_err(|error| format!("--url {error}"))?;
                let what = match (broadcast, batch) {
                    (Some(count), _) => HttpRequest::Broadcast(count),
                    (None, Some(count)) => HttpRequest::Batch(count),
                    (None, None) => HttpRequest::Publish,
                };
                let time = Duration::from_secs(seconds);
                let how = HttpPublish { connections, payload, what, time, key: api_key.clone() };
                mode::http_publish(&api, process, &how, bar)
            }
        }
        .map_err(|error| error.to_string())
    }

    fn siege(&self) -> Result<Option<Siege>, String> {
        let Self::Siege { subscribers, rate, offered, ref http_stream, seconds, .. } = *self else {
            return Ok(None);
        };
        let stream = http_stream.as_ref().map(|url| Endpoint::parse(url, "http")).transpose();
        let stream = stream.map_err(|error| format!("--http-stream {error}"))?;
        let time = Duration::from_secs(seconds);
        Ok(Some(Siege { subscribers, rate, offered, time, stream }))
    }

    #[expect(clippy::cast_precision_loss, reason = "figures are rounded anyway")]
    fn report_siege(&self, found: &Besieged) -> String {
        let offers = &found.offers;
        let mut out = format!(
            "undisturbed\n{}\n\nbesieged\n{}\n\n",
            self.report(&found.before),
            self.report(&found.during)
        );
        let _ = writeln!(
            out,
            "offered             {} connections ({:.0} a second)",
            offers.begun,
            offers.begun as f64 / offers.seconds
        );
        let _ = write!(
            out,
            "                    {} taken, {} refused, {} failed",
            offers.taken, offers.refused, offers.failed
        );
        out
    }

    /// What is counted in this mode, and its name.
    const fn counted(&self, figures: &Figures) -> (u64, &'static str, &'static str) {
        match self {
            Self::Fanout { .. } | Self::Channels { .. } => {
                (figures.deliveries, "deliveries", "from publishing to the last subscriber")
            }
            Self::Rpc { .. } => (figures.replies, "calls", "of a call"),
            Self::HttpPublish { .. } => (figures.replies, "requests", "of a request"),
            Self::Connect(_) | Self::Storm(_) => (figures.replies, "arrivals", "of an arrival"),
            Self::Idle { .. } | Self::Siege { .. } => (0, "", ""),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "figures are rounded anyway")]
    fn report(&self, figures: &Figures) -> String {
        let mut out = String::new();
        let (count, name, of) = self.counted(figures);
        let _ = writeln!(out, "connections         {}", figures.connections);
        let _ = writeln!(out, "measured            {:.2} s", figures.seconds);
        if count > 0 {
            let _ = writeln!(out, "{name:<19} {count} ({:.0} a second)", count as f64 / figures.seconds);
        }
        if figures.publications > 0 {
            let _ = writeln!(out, "publications        {}", figures.publications);
        }
        if figures.reply_errors > 0 {
            let _ = writeln!(
                out,
                "errors              {} of these were answered with an error",
                figures.reply_errors
            );
        }
        if let Some(latency) = figures.latency.filter(|latency| latency.count > 0) {
            let millis = |seconds: f64| seconds * 1e3;
            let _ = writeln!(
                out,
                "latency             50 % {:.2} ms, 90 % {:.2} ms, 99 % {:.2} ms, most {:.2} ms ({of})",
                millis(latency.p50),
                millis(latency.p90),
                millis(latency.p99),
                millis(latency.max)
            );
        }
        if let Some(bytes) = figures.bytes_per_connection {
            let _ = writeln!(out, "memory              {bytes:.0} bytes for each further connection");
        }
        if let Some(server) = &figures.server {
            let share = server.cpu_seconds / figures.seconds * 100.0;
            let each = figures
                .server_micros_per(count)
                .map_or_else(String::new, |micros| format!(", {micros:.2} µs each"));
            let _ = writeln!(out, "server processor    {share:.1} % of one{each}");
            let mb = |bytes: u64| bytes as f64 / 1e6;
            let _ = writeln!(
                out,
                "server memory       {:.1} MB resident, {:.1} MB at most",
                mb(server.resident),
                mb(server.resident_peak)
            );
        }
        let share = figures.client_share() * 100.0;
        let _ = writeln!(out, "this program        {share:.0} % of one processor");
        if share > 85.0 {
            let _ = writeln!(out, "note: this program was busy, so the server may be able to do more");
        }
        out.pop();
        out
    }
}

/// Progress on the terminal, if there is one.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{msg:12} [{bar:40}] {pos}/{len} {elapsed}") {
            bar.set_style(style.progress_chars("=> "));
        }
        Self(bar)
    }
}

impl Progress for Bar {
    fn step(&mut self, what: &str, done: u64, of: u64) {
        if self.0.message() != what {
            self.0.set_message(what.to_owned());
        }
        if self.0.length() != Some(of) {
            self.0.set_length(of);
        }
        self.0.set_position(done);
    }
}
