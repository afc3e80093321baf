//! Loads on channels that keep something: history, recovery, presence.
//!
//! The server's configuration decides what a channel keeps, so names begin with a prefix that chooses a namespace.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::crowd::{Asks, Times};
use crate::http;
use crate::load::{Load, LoadError, Progress};
use crate::mode::ask;
use crate::process::Process;
use crate::report::Figures;
use crate::target::{Endpoint, Target};
use crate::wire::stamped;

/// The server API of a server under load.
#[derive(Clone, Debug)]
pub struct Api {
    /// The address in front of the methods' names.
    pub endpoint: Endpoint,
    /// Its key.
    pub key: String,
}

static LAST: AtomicU32 = AtomicU32::new(0);

/// A part of a channel's name that no other load has: streams begin with it.
fn fresh() -> String {
    format!("{}x{}", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed))
}

/// The same as a number, where few characters have to do.
pub(crate) fn fresh_number() -> u32 {
    std::process::id().wrapping_mul(97).wrapping_add(LAST.fetch_add(1, Ordering::Relaxed))
}

/// Clients that come back to channels in which something was published meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Recover {
    /// How many clients; ten share a channel.
    pub connections: usize,
    /// How many publications each of them missed.
    pub missed: usize,
    /// Bytes of a payload.
    pub payload: usize,
    /// What the channels' names begin with. They must recover, and keep as many publications as are missed.
    pub prefix: &'static str,
}

/// Clients come, all vanish at once, miss publications, and come again and recover them; the second coming is what is
/// measured. `replies` counts clients, `deliveries` recovered publications.
///
/// # Errors
///
/// [`LoadError`]; publications that are not recovered are one.
pub fn recover(
    target: &Target,
    api: &Api,
    process: Option<Process>,
    recover: &Recover,
    progress: &mut dyn Progress,
) -> Result<Figures, LoadError> {
    let Recover { connections, missed, payload, prefix } = *recover;
    let fresh = fresh();
    let room = move |number: usize| format!("{prefix}room{fresh}x{number}");
    let rooms: Vec<String> =
        (0..connections.div_ceil(10)).map(|number| format!("\"{}\"", room(number))).collect();
    let mut load = Load::new(target, process, progress, Box::new(move |index| vec![room(index / 10)]))?;
    load.ramp(connections)?;
    load.hold(Duration::from_secs(1))?;
    load.leave();
    for number in 1..=missed {
        for part in rooms.chunks(100) {
            let data = stamped(number as u64, payload);
            let body = format!("{{\"channels\":[{}],\"data\":{data}}}", part.join(","));
            http::post(&api.endpoint, &api.key, "broadcast", &body)?;
        }
    }
    load.crowd.arrivals = Times::new();
    load.crowd.asks = Asks::Missed;
    let mut figures = load.measured(|load| load.ramp(connections))?;
    figures.replies = connections as u64;
    figures.deliveries = load.crowd.recovered;
    figures.take_latency(&load.crowd.arrivals);
    let expected = (connections * missed) as u64;
    if figures.deliveries != expected {
        let text = format!("{} of {expected} publications were recovered", figures.deliveries);
        return Err(LoadError::Refused(text));
    }
    Ok(figures)
}

/// What is asked of the server API about a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Who is in it.
    Presence,
    /// How many are in it.
    PresenceStats,
    /// All that it keeps.
    History,
    /// The newest ten of what it keeps, as what follows a position.
    HistorySince,
}

/// Requests about one channel, one after the other on a connection.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    /// What is asked.
    pub question: Question,
    /// How many clients are in the channel, for questions about them.
    pub members: usize,
    /// How many publications it keeps, for questions about those.
    pub publications: usize,
    /// Bytes of a publication.
    pub payload: usize,
    /// For how long.
    pub time: Duration,
    /// What the channel's name begins with.
    pub prefix: &'static str,
}

/// Reads a channel over the server API. `replies` counts requests.
///
/// # Errors
///
/// [`LoadError`]; an answer that does not have what was put into the channel is one.
pub fn read(
    target: &Target,
    api: &Api,
    process: Option<Process>,
    read: &Read,
    progress: &mut dyn Progress,
) -> Result<Figures, LoadError> {
    let Read { question, members, publications, payload, time, prefix } = *read;
    let channel = format!("{prefix}read{}", fresh());
    let named = channel.clone();
    let mut silent = crate::load::Quiet;
    // They stay for as long as is asked; that is less than the time between two pings.
    let mut load = Load::new(target, None, &mut silent, Box::new(move |_| vec![named.clone()]))?;
    let about_members = matches!(question, Question::Presence | Question::PresenceStats);
    let (method, more, expected) = if about_members {
        load.ramp(members)?;
        match question {
            Question::Presence => ("presence", String::new(), ("\"user\"", members)),
            _ => ("presence_stats", String::new(), ("num_clients", 1)),
        }
    } else {
        let publish = |number| {
            let data = stamped(number as u64, payload);
            format!("{{\"publish\":{{\"channel\":\"{channel}\",\"data\":{data}}}}}")
        };
        let commands: Vec<String> = (1..=publications).map(publish).collect();
        let body = format!("{{\"commands\":[{}]}}", commands.join(","));
        http::post(&api.endpoint, &api.key, "batch", &body)?;
        let mark = "{\"#\":";
        match question {
            Question::HistorySince => {
                let since = publications.saturating_sub(10);
                let more = format!(",\"limit\":10,\"since\":{{\"offset\":{since}}}");
                ("history", more, (mark, publications.min(10)))
            }
            _ => ("history", ",\"limit\":-1".to_owned(), (mark, publications)),
        }
    };
    let body = format!("{{\"channel\":\"{channel}\"{more}}}");
    let answer = http::post(&api.endpoint, &api.key, method, &body)?;
    let (mark, expected) = expected;
    let found = answer.matches(mark).count();
    if found != expected {
        return Err(LoadError::Refused(format!("{method} tells {found} where there are {expected}")));
    }
    ask(&api.endpoint, process, 1, http::request(&api.endpoint, &api.key, method, &body), time, progress)
}
