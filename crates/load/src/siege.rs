//! What those who are there already feel of a storm of others who want in.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;

use crate::crowd::now;
use crate::fleet::{Ended, Fleet, Handler, Id, Speaks};
use crate::load::{Load, LoadError, Progress, Publishing};
use crate::process::Process;
use crate::report::Figures;
use crate::target::{Endpoint, Target};

/// Clients that are served while others come and are sent away, or go by themselves.
///
/// Those who are let in by an upgrade stay, up to a number: were they to go at once, they would make room for the next,
/// and a limit would refuse nobody. Whoever connects by HTTP streaming goes once it is answered.
#[derive(Clone, Debug)]
pub struct Siege {
    /// Clients that are there, subscribed to one channel.
    pub subscribers: usize,
    /// Publications a second to them.
    pub rate: u64,
    /// Connections offered a second.
    pub offered: u64,
    /// How long each part lasts: without and with the storm.
    pub time: Duration,
    /// Where the storm goes by HTTP streaming, a connect with each request; `None`: to the target, by upgrades.
    pub stream: Option<Endpoint>,
}

impl Default for Siege {
    fn default() -> Self {
        Self { subscribers: 900, rate: 50, offered: 10_000, time: Duration::from_secs(10), stream: None }
    }
}

/// What a siege found.
#[derive(Clone, Debug, Serialize)]
pub struct Besieged {
    /// The clients that were there, undisturbed.
    pub before: Figures,
    /// The same while others came.
    pub during: Figures,
    /// What became of the others.
    pub offers: Offers,
}

/// What became of connections that were offered.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Offers {
    /// How many were begun.
    pub begun: u64,
    /// Let in: 101, or 200.
    pub taken: u64,
    /// Sent away with 503 or 429.
    pub refused: u64,
    /// Ended otherwise.
    pub failed: u64,
    /// From the first to the last, in seconds.
    pub seconds: f64,
}

/// Connections under way at the same time, at most: as many as a listener's queue holds by default.
const UNDER_WAY: usize = 1_024;

/// Of those who were let in, so many stay at the same time: the oldest goes for one more.
const STAYING: usize = 4_096;

/// The storm's share of a processor is what those who are served leave of it: else they would be served late by this
/// program, and the server would be blamed.
const NICENESS: i32 = 19;

#[derive(Default)]
struct Crowding {
    offers: Offers,
    under_way: usize,
    /// Those who were let in, the oldest first; some of them may have been sent away since.
    inside: VecDeque<Id>,
    staying: HashSet<Id>,
}

impl Crowding {
    /// Who has to go for those who came since.
    fn surplus(&mut self) -> Option<Id> {
        while self.inside.len() > STAYING {
            let oldest = self.inside.pop_front()?;
            if self.staying.remove(&oldest) {
                return Some(oldest);
            }
        }
        None
    }
}

impl Handler for Crowding {
    fn opened(&mut self, id: Id, _: &mut Vec<u8>) {
        self.offers.taken += 1;
        self.under_way = self.under_way.saturating_sub(1);
        self.inside.push_back(id);
        self.staying.insert(id);
    }

    fn message(&mut self, _: Id, _: &[u8], _: &mut Vec<u8>) {}

    fn ended(&mut self, id: Id, why: Ended) {
        if self.staying.remove(&id) {
            return;
        }
        self.under_way = self.under_way.saturating_sub(1);
        match why {
            Ended::Status(status) if status.contains("503") || status.contains("429") => {
                self.offers.refused += 1
            }
            // What is no upgrade is an answer, too.
            Ended::Status(status) if status.contains("200") => self.offers.taken += 1,
            _ => self.offers.failed += 1,
        }
    }
}

/// Offers connections until it is told to stop.
fn offer(endpoint: &Endpoint, greeting: &str, rate: u64, stop: &AtomicBool) -> Result<Offers, LoadError> {
    // Of this thread only. Without it the figures are what they are without.
    let _ = rustix::process::nice(NICENESS);
    let mut fleet = Fleet::new()?;
    let mut crowding = Crowding::default();
    let start = now();
    while !stop.load(Ordering::Relaxed) {
        let due = (u128::from(now() - start) * u128::from(rate) / 1_000_000_000) as u64;
        while crowding.offers.begun < due && crowding.under_way < UNDER_WAY {
            fleet.open(endpoint.address, Speaks::WebSocket, greeting.as_bytes())?;
            crowding.offers.begun += 1;
            crowding.under_way += 1;
        }
        fleet.turn(Duration::from_millis(1), &mut crowding)?;
        while let Some(id) = crowding.surplus() {
            fleet.close(id);
        }
    }
    crowding.offers.seconds = (now() - start) as f64 / 1e9;
    Ok(crowding.offers)
}

fn connect_request(endpoint: &Endpoint) -> String {
    let body = r#"{"id":1,"connect":{}}"#;
    format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        endpoint.path,
        endpoint.host,
        body.len()
    )
}

/// Publishes to clients that are there, without and with a storm of connections by others.
///
/// # Errors
///
/// [`LoadError`]: of the clients that are there. What happens to the others is counted.
pub fn siege(
    target: &Target,
    process: Option<Process>,
    siege: &Siege,
    progress: &mut dyn Progress,
) -> Result<Besieged, LoadError> {
    let subscribers = siege.subscribers;
    let channels =
        move |index: usize| if index < subscribers { vec!["siege".to_owned()] } else { Vec::new() };
    let mut load = Load::new(target, process, progress, Box::new(channels))?;
    load.ramp(subscribers + 1)?;
    let publisher = load.last();
    let names = ["siege".to_owned()];
    let how = Publishing {
        rate: siege.rate.max(1),
        count: siege.rate.max(1) * siege.time.as_secs().max(1),
        payload: 128,
        channels: 1,
        subscribers: u32::try_from(subscribers).unwrap_or(u32::MAX),
    };
    load.publish(publisher, Publishing { count: how.rate, ..how }, &names)?;
    let before = load.publish(publisher, how, &names)?;
    let stop = Arc::new(AtomicBool::new(false));
    let (endpoint, greeting) = match &siege.stream {
        Some(endpoint) => (endpoint.clone(), connect_request(endpoint)),
        None => (target.endpoint.clone(), target.handshake()),
    };
    std::thread::scope(|scope| {
        let (rate, told) = (siege.offered, stop.clone());
        let offering = scope.spawn(move || offer(&endpoint, &greeting, rate, &told));
        let during = load.publish(publisher, how, &names);
        stop.store(true, Ordering::Relaxed);
        let ended = || LoadError::Refused("the storm ended by itself".to_owned());
        let offers = offering.join().map_err(|_| ended())??;
        Ok(Besieged { before, during: during?, offers })
    })
}
