//! The loads: each sets clients up, does one thing, and says what it found.

use std::time::Duration;

use crate::crowd::{Times, now};
use crate::fleet::{Ended, Fleet, Handler, Id, Speaks};
use crate::http;
use crate::load::{Load, LoadError, Progress, Publishing};
use crate::meter::Meter;
use crate::process::Process;
use crate::report::Figures;
use crate::target::{Endpoint, Target};
use crate::wire::stamped;

/// Connections that do nothing but answer pings.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// Connections at the first look at memory.
    pub first: usize,
    /// Connections at the second look, and while processor time is measured.
    pub connections: usize,
    /// Each subscribes to a channel of its own.
    pub subscribe: bool,
    /// How long before each look.
    pub settle: Duration,
    /// How long processor time is measured.
    pub hold: Duration,
}

impl Default for Idle {
    fn default() -> Self {
        Self {
            first: 1_000,
            connections: 5_000,
            subscribe: false,
            settle: Duration::from_secs(2),
            hold: Duration::from_secs(10),
        }
    }
}

/// Memory of one more idle connection, as the slope of resident memory between two counts, and processor time.
///
/// # Errors
///
/// [`LoadError`].
pub fn idle(
    target: &Target,
    process: Option<Process>,
    idle: &Idle,
    progress: &mut dyn Progress,
) -> Result<Figures, LoadError> {
    let subscribe = idle.subscribe;
    let own = move |index| if subscribe { vec![format!("own{index}")] } else { Vec::new() };
    let mut load = Load::new(target, process, progress, Box::new(own))?;
    load.ramp(idle.first)?;
    load.hold(idle.settle)?;
    let before = load.resident().ok();
    load.ramp(idle.connections)?;
    load.hold(idle.settle)?;
    let after = load.resident().ok();
    let mut figures = load.measured(|load| load.hold(idle.hold))?;
    let more = idle.connections.saturating_sub(idle.first);
    if let (Some(before), Some(after)) = (before, after)
        && more > 0
    {
        figures.bytes_per_connection = Some((after as f64 - before as f64) / more as f64);
    }
    Ok(figures)
}

/// Clients that come: upgrade, connect, subscribe.
#[derive(Clone, Copy, Debug)]
pub struct Arrive {
    /// How many.
    pub connections: usize,
    /// How many channels each subscribes to; the first is common to ten clients, the others are its own.
    pub channels: usize,
}

impl Default for Arrive {
    fn default() -> Self {
        Self { connections: 3_000, channels: 1 }
    }
}

impl Arrive {
    fn names(self) -> impl Fn(usize) -> Vec<String> {
        move |index| {
            (0..self.channels)
                .map(
                    |number| {
                        if number == 0 {
                            format!("room{}", index / 10)
                        } else {
                            format!("own{index}x{number}")
                        }
                    },
                )
                .collect()
        }
    }
}

/// Clients come, a hundred at a time. `replies` counts them, the latency is that of an arrival.
///
/// # Errors
///
/// [`LoadError`].
pub fn connect(
    target: &Target,
    process: Option<Process>,
    arrive: &Arrive,
    progress: &mut dyn Progress,
) -> Result<Figures, LoadError> {
    let mut load = Load::new(target, process, progress, Box::new(arrive.names()))?;
    let mut figures = load.measured(|load| load.ramp(arrive.connections))?;
    figures.replies = arrive.connections as u64;
    figures.take_latency(&load.crowd.arrivals);
    Ok(figures)
}

/// Clients come, all vanish at once, and come again; the second coming is what is measured.
///
/// # Errors
///
/// [`LoadError`].
pub fn storm(
    target: &Target,
    process: Option<Process>,
    arrive: &Arrive,
    progress: &mut dyn Progress,
) -> Result<Figures, LoadError> {
    let mut load = Load::new(target, process, progress, Box::new(arrive.names()))?;
    load.ramp(arrive.connections)?;
    load.hold(Duration::from_secs(1))?;
    load.crowd.arrivals = Times::new();
    let mut figures = load.measured(|load| {
        load.leave();
        load.ramp(arrive.connections)
    })?;
    figures.replies = arrive.connections as u64;
    figures.take_latency(&load.crowd.arrivals);
    Ok(figures)
}

/// Publications to subscribers.
#[derive(Clone, Copy, Debug)]
pub struct FanOut {
    /// How many channels take turns.
    pub channels: usize,
    /// Subscribers of each.
    pub subscribers: usize,
    /// Publications a second, over all channels; 0 is as fast as the server takes them.
    pub rate: u64,
    /// Publications in all.
    pub publications: u64,
    /// Bytes of a payload.
    pub payload: usize,
    /// What the channels' names begin with: a namespace, where it matters how the server keeps them.
    pub prefix: &'static str,
}

impl Default for FanOut {
    fn default() -> Self {
        Self { channels: 1, subscribers: 1_000, rate: 30, publications: 150, payload: 128, prefix: "" }
    }
}

/// The first segments of a connection, each of which TCP acknowledges by itself. On a loopback interface whoever sends pays
/// for that, and no connection that lives is like that for long.
const SINGLY_ACKNOWLEDGED: u64 = 20;

/// One client publishes, the others listen. The latency is that from the moment a publication was due until the last
/// subscriber has it.
///
/// # Errors
///
/// [`LoadError`].
pub fn fan_out(
    target: &Target,
    process: Option<Process>,
    fan_out: &FanOut,
    progress: &mut dyn Progress,
) -> Result<Figures, LoadError> {
    let prefix = fan_out.prefix;
    let name = move |number: usize| format!("{prefix}fan{number}");
    let names: Vec<String> = (0..fan_out.channels.max(1)).map(name).collect();
    let count = names.len();
    let listeners = count * fan_out.subscribers;
    let mine = move |index: usize| if index < listeners { vec![name(index % count)] } else { Vec::new() };
    let mut load = Load::new(target, process, progress, Box::new(mine))?;
    load.ramp(listeners)?;
    load.over_websocket();
    load.ramp(listeners + 1)?;
    let publisher = load.last();
    let how = Publishing {
        rate: fan_out.rate,
        count: fan_out.publications,
        payload: fan_out.payload,
        channels: count,
        subscribers: u32::try_from(fan_out.subscribers).unwrap_or(u32::MAX),
    };
    // The first publications find cold caches and lazily made parts, and each is acknowledged by itself.
    let acknowledged = count as u64 * SINGLY_ACKNOWLEDGED;
    let warm_up = Publishing { count: acknowledged.max((how.count / 10).min(1_000)), ..how };
    load.publish(publisher, warm_up, &names)?;
    load.hold(Duration::from_millis(100))?;
    load.publish(publisher, how, &names)
}

/// Calls that follow each other on every connection.
#[derive(Clone, Copy, Debug)]
pub struct Rpc {
    /// Connections, each with one call under way.
    pub connections: usize,
    /// Bytes of a payload.
    pub payload: usize,
    /// For how long.
    pub time: Duration,
}

impl Default for Rpc {
    fn default() -> Self {
        Self { connections: 100, payload: 64, time: Duration::from_secs(5) }
    }
}

/// Calls and their answers. A server without the method answers with an error, which costs the same way through it.
///
/// # Errors
///
/// [`LoadError`].
pub fn rpc(
    target: &Target,
    process: Option<Process>,
    rpc: &Rpc,
    progress: &mut dyn Progress,
) -> Result<Figures, LoadError> {
    let mut load = Load::new(target, process, progress, Box::new(|_| Vec::new()))?;
    load.ramp(rpc.connections)?;
    load.call("echo", rpc.payload, (rpc.time / 10).min(Duration::from_millis(500)))?;
    load.hold(Duration::from_millis(100))?;
    load.call("echo", rpc.payload, rpc.time)
}

/// Requests to the server API.
#[derive(Clone, Debug)]
pub struct HttpPublish {
    /// Connections, each with one request under way.
    pub connections: usize,
    /// Bytes of a payload.
    pub payload: usize,
    /// What each request does.
    pub what: HttpRequest,
    /// For how long.
    pub time: Duration,
    /// The key of the API.
    pub key: String,
}

/// What a request to the server API does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpRequest {
    /// One publication into one channel.
    Publish,
    /// One publication into so many channels.
    Broadcast(usize),
    /// So many publications in one batch.
    Batch(usize),
}

impl HttpRequest {
    fn request(self, base: &Endpoint, key: &str, payload: usize) -> String {
        let data = stamped(0, payload);
        let (method, body) = match self {
            Self::Publish => ("publish", format!("{{\"channel\":\"http0\",\"data\":{data}}}")),
            Self::Broadcast(count) => {
                let names: Vec<String> = (0..count).map(|number| format!("\"http{number}\"")).collect();
                ("broadcast", format!("{{\"channels\":[{}],\"data\":{data}}}", names.join(",")))
            }
            Self::Batch(count) => {
                let commands: Vec<String> = (0..count)
                    .map(|number| format!("{{\"publish\":{{\"channel\":\"http{number}\",\"data\":{data}}}}}"))
                    .collect();
                ("batch", format!("{{\"commands\":[{}]}}", commands.join(",")))
            }
        };
        http::request(base, key, method, &body)
    }
}

struct Requests {
    request: Vec<u8>,
    since: Vec<u64>,
    times: Times,
    answers: u64,
    errors: u64,
    failed: Option<String>,
    now: u64,
}

impl Requests {
    fn asked(&mut self, id: Id) {
        if self.since.len() <= id {
            self.since.resize(id + 1, 0);
        }
        if let Some(since) = self.since.get_mut(id) {
            *since = self.now;
        }
    }
}

impl Handler for Requests {
    fn read(&mut self) {
        self.now = now();
    }

    fn opened(&mut self, id: Id, out: &mut Vec<u8>) {
        self.now = now();
        self.asked(id);
        out.extend_from_slice(&self.request);
    }

    fn message(&mut self, id: Id, message: &[u8], out: &mut Vec<u8>) {
        self.answers += 1;
        // An error of the API comes with status 200 and an object of this name in front.
        self.errors += u64::from(message.starts_with(b"{\"error\""));
        let since = self.since.get(id).copied().unwrap_or_default();
        self.times.record(self.now.saturating_sub(since));
        self.asked(id);
        out.extend_from_slice(&self.request);
    }

    fn ended(&mut self, _: Id, why: Ended) {
        self.failed.get_or_insert_with(|| why.to_string());
    }
}

/// Publishes over the HTTP API with keep-alive. `api` is the address in front of the methods' names.
///
/// # Errors
///
/// [`LoadError`]: a connection ends, or an answer has another status than 200.
pub fn http_publish(
    api: &Endpoint,
    process: Option<Process>,
    publish: &HttpPublish,
    progress: &mut dyn Progress,
) -> Result<Figures, LoadError> {
    let request = publish.what.request(api, &publish.key, publish.payload);
    ask(api, process, publish.connections, request, publish.time, progress)
}

/// Sends the same request again and again on some connections for a while.
pub(crate) fn ask(
    api: &Endpoint,
    process: Option<Process>,
    connections: usize,
    request: String,
    time: Duration,
    progress: &mut dyn Progress,
) -> Result<Figures, LoadError> {
    let mut fleet = Fleet::new()?;
    let mut requests = Requests {
        request: request.into_bytes(),
        since: Vec::new(),
        times: Times::new(),
        answers: 0,
        errors: 0,
        failed: None,
        now: now(),
    };
    for _ in 0..connections {
        fleet.open(api.address, Speaks::Http, &[])?;
    }
    let mut run = |fleet: &mut Fleet, requests: &mut Requests, time: Duration| -> Result<(), LoadError> {
        let start = now();
        let whole = time.as_nanos() as u64;
        while now() - start < whole {
            fleet.turn(Duration::from_millis(100), requests)?;
            progress.step("requests", (now() - start) / 1_000_000, whole / 1_000_000);
            if let Some(first) = &requests.failed {
                return Err(LoadError::Refused(first.clone()));
            }
        }
        Ok(())
    };
    run(&mut fleet, &mut requests, Duration::from_millis(300))?;
    requests.times = Times::new();
    (requests.answers, requests.errors) = (0, 0);
    let meter = Meter::start(process, fleet.received())?;
    run(&mut fleet, &mut requests, time)?;
    let mut figures = meter.end(connections, fleet.received())?;
    figures.replies = requests.answers;
    figures.reply_errors = requests.errors;
    figures.take_latency(&requests.times);
    if figures.replies == 0 {
        let what = "no request was answered".to_owned();
        return Err(LoadError::Stalled { seconds: time.as_secs(), what });
    }
    Ok(figures)
}
