//! What a node counts, and how it is read.
//!
//! Counting is cheap where much happens: what a delivery sends is added up by its flush worker and added to the counts
//! once for a batch ([`Tally`]). Everything else happens once for a command, a publication or a connection, and takes
//! an atomic addition. Names and labels are in `samples`, where all of it is read. What is measured, such as how long
//! commands take, is so only where somebody wants it ([`Measures`]), since that takes looks at the clock.
//!
//! [`prometheus`] writes all of it as Prometheus reads it.

mod aggregate;
mod distribution;
mod frame;
mod histogram;
mod labelled;
mod measured;
mod polls;
pub mod prometheus;
mod samples;
mod tally;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tourbillon_types::Tags;

pub use aggregate::{Aggregator, Latest, NodeMetrics};
pub use distribution::{Distribution, DistributionFamily, Labels, Measures, Shape, Timings, Unit};
pub use frame::Frame;
pub use histogram::{Form, Histogram};
pub use measured::Measured;
pub use samples::{Family, Present, Sample, SampleKind};
pub use tally::Tally;

/// The most transports that are told apart. A server has about a dozen; those of a program that makes up names count
/// together, as the last one. Must fit into a [`Kind`].
const TRANSPORTS: usize = 32;

/// What names of metrics begin with.
const NAMESPACE: &str = "centrifugo";

/// The name of the transports beyond that.
const OTHER: &str = "other";

/// The most codes of one kind that are told apart: applications make up their own. Those beyond are not counted.
const CODES: usize = 1024;

/// A number that only grows.
#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Counter {
    fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What begins and ends.
#[derive(Debug, Default)]
struct Lifetimes {
    begun: Counter,
    ended: Counter,
}

impl Lifetimes {
    /// The number of those that have begun and not ended.
    fn present(&self) -> u64 {
        // Read in this order, or one that begins and ends meanwhile would count for less than nothing.
        let ended = self.ended.get();
        self.begun.get().saturating_sub(ended)
    }
}

/// What nodes and their broker tell each other.
#[derive(Clone, Copy, Debug)]
pub enum Told {
    /// A publication.
    Publication,
    /// That somebody came into a channel.
    Join,
    /// That somebody left one.
    Leave,
    /// A message of nodes to each other.
    Control,
    /// A key that was set; counted where it is told alone.
    MapPublication,
    /// A key that was removed; likewise.
    MapRemoval,
}

/// What a node does beside messages.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// Noted that somebody is in a channel.
    AddPresence,
    /// Noted that somebody is not.
    RemovePresence,
    /// Read who is in a channel.
    Presence,
    /// Read how many are.
    PresenceStats,
    /// Read what a channel keeps.
    History,
    /// Read what a subscriber missed.
    HistoryRecover,
    /// Read the latest publication of a cache for a subscriber.
    HistoryRecoverCache,
    /// Read where a stream stands.
    HistoryStreamTop,
    /// Removed what a channel keeps.
    HistoryRemove,
    /// Asked the broker for a channel.
    BrokerSubscribe,
    /// Gave a channel up.
    BrokerUnsubscribe,
    /// Asked other nodes.
    Survey,
    /// Told the programs of other nodes.
    Notify,
    /// Asked the store of keyed channels for one.
    MapBrokerSubscribe,
    /// Gave a keyed channel up.
    MapBrokerUnsubscribe,
    /// Set a key.
    MapPublish,
    /// Removed a key.
    MapRemove,
    /// Read the state of a keyed channel.
    MapReadState,
    /// Read the stream of a keyed channel.
    MapReadStream,
    /// Read where the stream of a keyed channel stands.
    MapStreamPosition,
    /// Read how many keys a channel has.
    MapStats,
    /// Removed all of a keyed channel.
    MapClear,
}

/// Why a publication has no effect (MET-40).
#[derive(Clone, Copy, Debug)]
pub enum Suppressed {
    /// One with its idempotency key was published before.
    Idempotency,
    /// Its version is not newer than the last one.
    Version,
}

/// Which names a client gave of itself. Names are the application's, so what they are is not counted, but whether there
/// are any is (MET-29).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Its kind.
    pub name: bool,
    /// Its version.
    pub version: bool,
}

impl Named {
    const fn index(self) -> usize {
        (self.name as usize) * 2 + self.version as usize
    }
}

/// As what a connection is counted. Fits into a byte, of which there is one for every connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The transport's number.
    pub transport: u8,
    /// Which names the client gave of itself.
    pub named: Named,
}

impl Kind {
    /// Of a transport, and of a client with such names.
    #[must_use]
    pub const fn new(transport: u8, named: Named) -> Self {
        Self { transport, named }
    }

    /// As a byte. Transports above 63 do not fit; [`Metrics::transport`] gives none.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        (self.transport << 2) | ((self.named.name as u8) << 1) | self.named.version as u8
    }

    /// From such a byte.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        Self::new(byte >> 2, Named { name: byte & 2 != 0, version: byte & 1 != 0 })
    }
}

/// Messages and their bytes.
#[derive(Debug, Default)]
struct Volume {
    messages: Counter,
    bytes: Counter,
}

/// What is counted for one transport.
#[derive(Debug)]
struct TransportCounts {
    name: &'static str,
    sent: [Volume; Frame::ALL.len()],
    received: [Volume; Frame::ALL.len()],
    connections: [Lifetimes; 4],
}

impl TransportCounts {
    fn new(name: &'static str) -> Self {
        Self { name, sent: Default::default(), received: Default::default(), connections: Default::default() }
    }
}

/// Counts by a code, which may be one of the application's.
struct Codes<K>(Mutex<BTreeMap<K, u64>>);

impl<K: Ord + Copy> Codes<K> {
    fn add(&self, code: K) {
        let mut counts = self.0.lock();
        if counts.len() < CODES || counts.contains_key(&code) {
            *counts.entry(code).or_default() += 1;
        }
    }

    fn all(&self) -> Vec<(K, u64)> {
        self.0.lock().iter().map(|(code, count)| (*code, *count)).collect()
    }
}

impl<K> Default for Codes<K> {
    fn default() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }
}

/// All counts of a node.
pub struct Metrics {
    transports: Box<[OnceLock<TransportCounts>]>,
    sent: [Counter; 6],
    received: [Counter; 6],
    actions: [Counter; 22],
    /// By whether the client got back what it missed, and whether that was anything.
    recovered: [Counter; 4],
    filtered: Counter,
    /// By whether the client has a name.
    subscriptions: [Lifetimes; 2],
    reply_errors: Codes<(Frame, u32)>,
    unsubscribes: Codes<u32>,
    /// By code and transport.
    disconnects: Codes<(u32, u8)>,
    connection_limit: Counter,
    suppressed: [Counter; 2],
    /// By whether it was a removal, and by the reason.
    map_suppressed: Codes<(bool, &'static str)>,
    polls: polls::PollCounts,
    labelled: Option<labelled::Labelled>,
    aggregate: Latest,
    measured: Option<Box<Measured>>,
}

impl Metrics {
    /// Nothing is counted yet, and nothing measured.
    #[must_use]
    pub fn new() -> Self {
        Self::measuring(None)
    }

    /// Nothing is counted yet.
    #[must_use]
    pub fn measuring(measures: Option<Measures>) -> Self {
        Self {
            transports: (0..TRANSPORTS).map(|_| OnceLock::new()).collect(),
            sent: Default::default(),
            received: Default::default(),
            actions: Default::default(),
            recovered: Default::default(),
            filtered: Counter::default(),
            subscriptions: Default::default(),
            reply_errors: Codes::default(),
            unsubscribes: Codes::default(),
            disconnects: Codes::default(),
            connection_limit: Counter::default(),
            suppressed: Default::default(),
            map_suppressed: Codes::default(),
            polls: polls::PollCounts::default(),
            labelled: None,
            aggregate: Latest::default(),
            measured: measures.map(|measures| Box::new(Measured::new(measures))),
        }
    }

    /// Connections are told apart by these of their labels, too (PRO-44).
    #[must_use]
    pub fn labelled(self, keys: &[String]) -> Self {
        Self { labelled: labelled::Labelled::new(keys), ..self }
    }

    /// The number that stands for a transport from now on.
    pub fn transport(&self, name: &'static str) -> u8 {
        let last = self.transports.len() - 1;
        let at = self.transports.iter().enumerate().position(|(at, transport)| {
            let name = if at == last { OTHER } else { name };
            transport.get_or_init(|| TransportCounts::new(name)).name == name
        });
        at.and_then(|at| u8::try_from(at).ok()).unwrap_or_default()
    }

    fn of(&self, transport: u8) -> Option<&TransportCounts> {
        self.transports.get(usize::from(transport))?.get()
    }

    /// A client's command.
    pub fn command(&self, transport: u8, frame: Frame, bytes: usize) {
        if let Some(volume) = self.of(transport).and_then(|counts| counts.received.get(frame.index())) {
            volume.messages.add(1);
            volume.bytes.add(wide(bytes));
        }
    }

    /// Adds what was added up elsewhere, which begins anew.
    pub fn take(&self, tally: &mut Tally) {
        for counted in tally.drain() {
            let counts = self.of(counted.transport);
            if let Some(volume) = counts.and_then(|counts| counts.sent.get(counted.frame.index())) {
                volume.messages.add(counted.messages);
                volume.bytes.add(counted.bytes);
            }
        }
    }

    fn connections(&self, kind: Kind) -> Option<&Lifetimes> {
        self.of(kind.transport)?.connections.get(kind.named.index())
    }

    /// A connection with these labels was accepted.
    pub fn connected(&self, kind: Kind, labels: Option<&Tags>) {
        if let Some(labelled) = &self.labelled {
            labelled.begun(kind, labels);
        }
        if let Some(connections) = self.connections(kind) {
            connections.begun.add(1);
        }
    }

    /// One that was accepted with these labels ended.
    pub fn disconnected(&self, kind: Kind, labels: Option<&Tags>) {
        if let Some(labelled) = &self.labelled {
            labelled.ended(kind, labels);
        }
        if let Some(connections) = self.connections(kind) {
            connections.ended.add(1);
        }
    }

    fn subscriptions(&self, named: Named) -> &Lifetimes {
        let [unnamed, with_name] = &self.subscriptions;
        if named.name { with_name } else { unnamed }
    }

    /// A subscription was made.
    pub fn subscribed(&self, named: Named) {
        self.subscriptions(named).begun.add(1);
    }

    /// A subscription ended.
    pub fn unsubscribed(&self, named: Named) {
        self.subscriptions(named).ended.add(1);
    }

    /// Something told to the broker or to other nodes.
    pub fn tell(&self, told: Told) {
        self.sent[told as usize].add(1);
    }

    /// Something heard of the broker or of other nodes.
    pub fn hear(&self, told: Told) {
        self.received[told as usize].add(1);
    }

    /// Something was done.
    pub fn act(&self, action: Action) {
        self.actions[action as usize].add(1);
    }

    /// A client asked for what it missed: whether it got that back, and how many publications it got (MET-24, MET-25).
    pub fn recovery(&self, recovered: bool, publications: usize) {
        self.recovered[usize::from(recovered) * 2 + usize::from(publications > 0)].add(1);
        if let Some(measured) = self.measured().filter(|_| recovered) {
            measured.recovered(publications);
        }
    }

    /// So many deliveries did not happen because of filters.
    pub fn filter(&self, deliveries: u64) {
        self.filtered.add(deliveries);
    }

    /// A command was answered by an error.
    pub fn reply_error(&self, frame: Frame, code: u32) {
        self.reply_errors.add((frame, code));
    }

    /// The server ended a subscription.
    pub fn server_unsubscribe(&self, code: u32) {
        self.unsubscribes.add(code);
    }

    /// The server ended a connection of this transport.
    pub fn server_disconnect(&self, transport: u8, code: u32) {
        self.disconnects.add((code, transport));
    }

    /// A connection was turned away because there are as many as there may be.
    pub fn connection_limit(&self) {
        self.connection_limit.add(1);
    }

    /// The broker did not take a publication, since it has it already or has a newer one.
    pub fn suppress(&self, why: Suppressed) {
        self.suppressed[why as usize].add(1);
    }

    /// The store of keyed channels did not make a change, [`Told::MapPublication`] or [`Told::MapRemoval`], and why
    /// (MET-40).
    pub fn map_suppress(&self, change: Told, reason: &'static str) {
        self.map_suppressed.add((matches!(change, Told::MapRemoval), reason));
    }

    /// What is measured, if anything is.
    #[must_use]
    pub fn measured(&self) -> Option<&Measured> {
        self.measured.as_deref()
    }

    /// What was counted over the last interval.
    #[must_use]
    pub const fn aggregate(&self) -> &Latest {
        &self.aggregate
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

fn wide(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transports_have_numbers_and_a_last_one_stands_for_the_rest() {
        let metrics = Metrics::new();
        assert_eq!((metrics.transport("a"), metrics.transport("b"), metrics.transport("a")), (0, 1, 0));
        let made_up = (0..100).map(|number| &*Box::leak(format!("t{number}").into_boxed_str()));
        let numbers: Vec<u8> = made_up.map(|name| metrics.transport(name)).collect();
        assert!(numbers.iter().all(|number| usize::from(*number) < TRANSPORTS));
        assert_eq!(metrics.of(numbers[99]).map(|counts| counts.name), Some(OTHER));
        assert_eq!(metrics.transport("b"), 1);
    }

    #[test]
    fn codes_are_bounded() {
        let codes = Codes::default();
        (0..5000_u32).for_each(|code| codes.add(code));
        codes.add(3);
        let all = codes.all();
        assert_eq!((all.len(), all[3], all.last()), (CODES, (3, 2), Some(&(1023, 1))));
    }

    #[test]
    fn a_kind_fits_into_a_byte() {
        for transport in 0..u8::try_from(TRANSPORTS).expect("few") {
            for (name, version) in [(false, false), (false, true), (true, false), (true, true)] {
                let kind = Kind::new(transport, Named { name, version });
                assert_eq!(Kind::from_byte(kind.to_byte()), kind);
            }
        }
    }
}
