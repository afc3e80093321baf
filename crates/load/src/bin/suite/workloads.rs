//! The workloads: what each sets up, and which cost it takes.

use std::time::Duration;

use tourbillon_load::football::{Filter, Form, PACKET, Watch, filter, watch};
use tourbillon_load::mode::{
    Arrive, FanOut, HttpPublish, HttpRequest, Idle, Rpc, connect, fan_out, http_publish, idle, rpc, storm,
};
use tourbillon_load::streams::{Api, Question, Read, Recover, read, recover};
use tourbillon_load::{Endpoint, Figures, LoadError, Progress, Target};
use tourbillon_types::Encoding;

use crate::contestants::{Contestant, Who};

/// What is loaded.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Idle(Idle),
    IdleCpu(Idle),
    FanOut(FanOut, Wire),
    Rpc(Rpc),
    Http(usize, HttpRequest, Duration),
    Connect(Arrive),
    Storm(Arrive),
    Recover(Recover),
    Read(Read),
    Watch(Watch, Wire),
    /// The same, of which bytes are counted.
    WatchBytes(Watch, Wire),
    Filter(Filter),
}

/// How messages are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Json,
    Protobuf,
    Deflate,
}

/// One row of the table.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    /// The identifier of the performance goals, W1 to W12, with a letter.
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    /// Of what the cost is.
    pub(crate) unit: &'static str,
    pub(crate) kind: Kind,
    /// Which floor it is compared with.
    pub(crate) floor: Option<Who>,
    /// Measured once, in fresh processes.
    pub(crate) once: bool,
}

/// What one run of a workload cost.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) cost: f64,
    pub(crate) figures: Figures,
    /// Why the run does not count, if so.
    pub(crate) void: Option<&'static str>,
}

impl Workload {
    pub(crate) fn run(&self, on: &Contestant, progress: &mut dyn Progress) -> Result<Sample, String> {
        let process = Some(on.process);
        let figures = match &self.kind {
            Kind::Idle(how) | Kind::IdleCpu(how) => idle(&on.target, process, how, progress),
            Kind::FanOut(how, wire) => fan_out(&on.speaking(*wire), process, how, progress),
            Kind::Rpc(how) => rpc(&on.target, process, how, progress),
            Kind::Http(connections, what, time) => {
                let api: &Endpoint = on.api.as_ref().ok_or("no API address was given")?;
                let how = HttpPublish {
                    connections: *connections,
                    payload: 120,
                    what: *what,
                    time: *time,
                    key: on.key.clone(),
                };
                http_publish(api, process, &how, progress)
            }
            Kind::Connect(how) => connect(&on.target, process, how, progress),
            Kind::Storm(how) => storm(&on.target, process, how, progress),
            Kind::Recover(how) => recover(&on.target, &on.api()?, process, how, progress),
            Kind::Read(how) => read(&on.target, &on.api()?, process, how, progress),
            Kind::Watch(how, wire) | Kind::WatchBytes(how, wire) => {
                watch(&on.speaking(*wire), &on.api()?, process, how, progress)
            }
            Kind::Filter(how) => filter(&on.target, &on.api()?, process, how, progress),
        }
        .map_err(|error: LoadError| format!("{} on {}: {error}", self.id, on.who.name()))?;
        let cost = self.cost(&figures).ok_or_else(|| format!("{}: nothing was measured", self.id))?;
        let void =
            (self.is_saturating() && figures.client_share() > 0.85).then_some("the client was saturated");
        Ok(Sample { cost, figures, void })
    }

    fn cost(&self, figures: &Figures) -> Option<f64> {
        match &self.kind {
            Kind::Idle(_) => figures.bytes_per_connection,
            Kind::IdleCpu(_) => figures
                .server_micros_per(figures.connections as u64)
                .map(|micros| micros / figures.seconds.max(f64::MIN_POSITIVE)),
            Kind::FanOut(..) | Kind::Watch(..) => figures.server_micros_per(figures.deliveries),
            Kind::WatchBytes(how, _) => {
                let each = figures.bytes as f64 / how.subscribers.max(1) as f64;
                Some(each + (figures.publications * PACKET) as f64)
            }
            Kind::Filter(how) => figures
                .server_micros_per(figures.publications * how.subscribers as u64)
                .map(|micros| micros * 1e3),
            Kind::Rpc(_)
            | Kind::Http(..)
            | Kind::Connect(_)
            | Kind::Storm(_)
            | Kind::Recover(_)
            | Kind::Read(_) => figures.server_micros_per(figures.replies),
        }
    }

    const fn is_saturating(&self) -> bool {
        matches!(&self.kind, Kind::FanOut(FanOut { rate: 0, .. }, _))
    }
}

impl Contestant {
    fn api(&self) -> Result<Api, String> {
        let endpoint = self.api.clone().ok_or("no API address was given")?;
        Ok(Api { endpoint, key: self.key.clone() })
    }

    fn speaking(&self, wire: Wire) -> Target {
        let mut target = self.target.clone();
        // The floor speaks JSON only and does not compress: its cost is that of the bytes.
        if matches!(self.who, Who::Ours | Who::Peer) {
            target.compression = wire == Wire::Deflate;
            target.encoding = if wire == Wire::Protobuf { Encoding::Protobuf } else { Encoding::Json };
        }
        target
    }
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// All workloads; `quick` ones are smaller and fewer, and end within two minutes.
pub(crate) fn all(quick: bool) -> Vec<Workload> {
    let mut all = if quick { quick_ones() } else { Vec::new() };
    if !quick {
        all.extend(memory());
        all.extend(fan_outs());
        all.extend(commands());
        all.extend(streams());
        all.extend(deltas_and_filters());
    }
    all
}

fn row(
    id: &'static str,
    title: &'static str,
    unit: &'static str,
    kind: Kind,
    floor: Option<Who>,
) -> Workload {
    let once = matches!(kind, Kind::Idle(_) | Kind::IdleCpu(_));
    Workload { id, title, unit, kind, floor, once }
}

/// Begins the names of channels with history, positions and recovery.
const KEPT: &str = "kept:";
/// Begins the names of channels with deltas.
const MATCH: &str = "match:";
/// Begins the names of channels with filters on tags.
const TAGGED: &str = "tagged:";
/// Begins the names of channels with presence.
const SEEN: &str = "seen:";

const BYTES: &str = "bytes/connection";
const DELIVERY: &str = "µs CPU/delivery";

fn quick_ones() -> Vec<Workload> {
    let small =
        Idle { first: 1_000, connections: 5_000, subscribe: false, settle: seconds(1), hold: seconds(1) };
    let paced = FanOut { rate: 30, publications: 60, ..FanOut::default() };
    let saturated = FanOut { subscribers: 100, rate: 0, publications: 10_000, ..FanOut::default() };
    let calls = Rpc { time: seconds(1), ..Rpc::default() };
    let arrive = Arrive { connections: 2_000, channels: 1 };
    vec![
        row("W1", "idle memory", BYTES, Kind::Idle(small), None),
        row("W3", "fan-out paced, 1×1,000", DELIVERY, Kind::FanOut(paced, Wire::Json), Some(Who::Floor)),
        row(
            "W4",
            "fan-out saturated, 1×100",
            DELIVERY,
            Kind::FanOut(saturated, Wire::Json),
            Some(Who::Corked),
        ),
        row("W7", "RPC, 100 connections", "µs CPU/RPC", Kind::Rpc(calls), Some(Who::Floor)),
        row("W8", "connect and subscribe", "µs CPU/connection", Kind::Connect(arrive), Some(Who::Floor)),
    ]
}

fn memory() -> Vec<Workload> {
    let idle =
        Idle { first: 5_000, connections: 19_000, subscribe: false, settle: seconds(4), hold: seconds(1) };
    let subscribed = Idle { subscribe: true, ..idle };
    let held = Idle { hold: seconds(60), first: 19_000, ..idle };
    vec![
        row("W1a", "idle memory, no subscription", BYTES, Kind::Idle(idle), None),
        row("W1b", "idle memory, one own channel", BYTES, Kind::Idle(subscribed), None),
        row("W2", "idle CPU, 19,000 connections", "µs CPU/connection/s", Kind::IdleCpu(held), None),
    ]
}

fn fan_outs() -> Vec<Workload> {
    let thousand = FanOut { rate: 30, publications: 120, ..FanOut::default() };
    let ten = FanOut { subscribers: 10_000, rate: 2, publications: 10, ..FanOut::default() };
    let saturated = FanOut { subscribers: 100, rate: 0, publications: 20_000, ..FanOut::default() };
    let many =
        FanOut { channels: 1_000, subscribers: 5, rate: 4_000, publications: 16_000, ..FanOut::default() };
    let floor = Some(Who::Floor);
    vec![
        row("W3a", "fan-out paced, 1×1,000, JSON", DELIVERY, Kind::FanOut(thousand, Wire::Json), floor),
        row(
            "W3b",
            "fan-out paced, 1×1,000, Protobuf",
            DELIVERY,
            Kind::FanOut(thousand, Wire::Protobuf),
            floor,
        ),
        row("W3c", "fan-out paced, 1×10,000, JSON", DELIVERY, Kind::FanOut(ten, Wire::Json), floor),
        row(
            "W3d",
            "fan-out paced, 1×1,000, JSON, positions",
            DELIVERY,
            Kind::FanOut(FanOut { prefix: KEPT, ..thousand }, Wire::Json),
            floor,
        ),
        row(
            "W4",
            "fan-out saturated, 1×100",
            DELIVERY,
            Kind::FanOut(saturated, Wire::Json),
            Some(Who::Corked),
        ),
        row("W5", "many channels, 1,000×5", DELIVERY, Kind::FanOut(many, Wire::Json), floor),
        row(
            "W11a",
            "permessage-deflate, 1×1,000, 512 B",
            DELIVERY,
            Kind::FanOut(FanOut { payload: 512, ..thousand }, Wire::Deflate),
            floor,
        ),
        row(
            "W11b",
            "permessage-deflate, 1×1,000, 4 KB",
            DELIVERY,
            Kind::FanOut(FanOut { payload: 4096, ..thousand }, Wire::Deflate),
            floor,
        ),
    ]
}

fn commands() -> Vec<Workload> {
    let floor = Some(Who::Floor);
    let time = seconds(3);
    let one = Rpc { connections: 1, time, ..Rpc::default() };
    let hundred = Rpc { time, ..Rpc::default() };
    let arrive = Arrive::default();
    let request = "µs CPU/request";
    vec![
        row("W6a", "HTTP publish, 1 connection", request, Kind::Http(1, HttpRequest::Publish, time), floor),
        row(
            "W6b",
            "HTTP publish, 64 connections",
            request,
            Kind::Http(64, HttpRequest::Publish, time),
            floor,
        ),
        row("W6c", "HTTP batch of 100", request, Kind::Http(1, HttpRequest::Batch(100), time), None),
        row("W6d", "HTTP broadcast to 100", request, Kind::Http(1, HttpRequest::Broadcast(100), time), None),
        row("W7a", "RPC, 1 connection", "µs CPU/RPC", Kind::Rpc(one), floor),
        row("W7b", "RPC, 100 connections", "µs CPU/RPC", Kind::Rpc(hundred), floor),
        row("W8a", "connect and subscribe", "µs CPU/connection", Kind::Connect(arrive), floor),
        row("W8b", "reconnect storm", "µs CPU/connection", Kind::Storm(arrive), floor),
    ]
}

fn streams() -> Vec<Workload> {
    let recover = Recover { connections: 3_000, missed: 10, payload: 128, prefix: KEPT };
    let read = |question| {
        let read = Read {
            question,
            members: 1_000,
            publications: 100,
            payload: 256,
            time: seconds(3),
            prefix: if matches!(question, Question::Presence | Question::PresenceStats) {
                SEEN
            } else {
                KEPT
            },
        };
        Kind::Read(read)
    };
    let call = "µs CPU/call";
    vec![
        row("W8c", "reconnect, 10 missed", "µs CPU/connection", Kind::Recover(recover), None),
        row("W9a", "API presence of 1,000", call, read(Question::Presence), None),
        row("W9b", "API presence_stats of 1,000", call, read(Question::PresenceStats), None),
        row("W9c", "API history, 100 × 256 B", call, read(Question::History), None),
        row("W9d", "API history since, 10 × 256 B", call, read(Question::HistorySince), None),
    ]
}

fn deltas_and_filters() -> Vec<Workload> {
    let game = |form| Watch { subscribers: 1_000, rate: 30, matches: 9, warm: true, form, prefix: MATCH };
    let one = |form| Watch { subscribers: 1, rate: 100, matches: 1, warm: false, ..game(form) };
    let own = Filter { subscribers: 10_000, publications: 500, prefix: TAGGED };
    let (json, protobuf) = (game(Form::Json), game(Form::Protobuf));
    let bytes = "bytes/match";
    let count = |form, wire| Kind::WatchBytes(one(form), wire);
    vec![
        row("W12a", "deltas, 1×1,000, JSON", DELIVERY, Kind::Watch(json, Wire::Json), None),
        row("W12b", "deltas, 1×1,000, Protobuf", DELIVERY, Kind::Watch(protobuf, Wire::Protobuf), None),
        row("W12c", "deltas of JSON in JSON (6,043)", bytes, count(Form::Json, Wire::Json), None),
        row("W12d", "deltas of JSON in Protobuf (4,287)", bytes, count(Form::Json, Wire::Protobuf), None),
        row("W12e", "deltas of Protobuf (4,382)", bytes, count(Form::Protobuf, Wire::Protobuf), None),
        row("W12f", "filters, 10,000 different ones", "ns CPU/filter", Kind::Filter(own), None),
    ]
}
