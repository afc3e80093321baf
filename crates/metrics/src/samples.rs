//! Reading what was counted: the seam to whatever shows it. Names, labels and what they mean are Centrifugo's,
//! so that dashboards go on working; labels that Centrifugo leaves empty are left out.

use std::borrow::Cow;

use crate::{Action, Frame, Kind, Labels, Metrics, NAMESPACE, Named, Suppressed, Told, TransportCounts};

/// One metric: what its samples have in common.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Family {
    /// The part of the server that it is about. Empty: `name` is the whole name.
    pub subsystem: &'static str,
    /// Its name within the subsystem.
    pub name: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// How it changes.
    pub kind: SampleKind,
}

impl Family {
    /// A metric.
    #[must_use]
    pub const fn new(
        kind: SampleKind,
        subsystem: &'static str,
        name: &'static str,
        help: &'static str,
    ) -> Self {
        Self { subsystem, name, help, kind }
    }

    /// The full name, as Prometheus has it: `centrifugo_node_num_clients`.
    #[must_use]
    pub fn full_name(&self) -> String {
        if self.subsystem.is_empty() {
            return self.name.to_owned();
        }
        format!("{NAMESPACE}_{}_{}", self.subsystem, self.name)
    }
}

/// How a metric changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SampleKind {
    /// It only grows, from the start of the node.
    Counter,
    /// It is what it is at the moment.
    Gauge,
}

/// A value of a metric for one combination of labels.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// Of which metric.
    pub family: &'static Family,
    /// Labels with their values, by the labels' names.
    pub labels: Labels,
    /// The value. Counts are exact up to 2^53.
    pub value: f64,
}

impl Sample {
    /// A value. Labels must come by their names.
    #[must_use]
    pub const fn new(family: &'static Family, labels: Labels, value: f64) -> Self {
        Self { family, labels, value }
    }

    /// Its name among the items of `info`.
    pub(crate) fn item(&self) -> String {
        let mut item = format!("{NAMESPACE}.{}.{}", self.family.subsystem, self.family.name);
        for (label, value) in &self.labels {
            item.extend([".", label, ".", value]);
        }
        item
    }
}

macro_rules! families {
    ($($constant:ident: $kind:ident $subsystem:literal $name:literal $help:literal;)+) => {
        $(static $constant: Family =
            Family { subsystem: $subsystem, name: $name, help: $help, kind: SampleKind::$kind };)+
    };
}

families! {
    MESSAGES_SENT: Counter "node" "messages_sent_count" "Messages sent to the broker and to other nodes.";
    MESSAGES_RECEIVED: Counter "node" "messages_received_count" "Messages from the broker and from other nodes.";
    ACTIONS: Counter "node" "action_count" "What the node did.";
    CLIENTS: Gauge "node" "num_clients" "Accepted connections.";
    USERS: Gauge "node" "num_users" "Users with accepted connections.";
    SUBSCRIPTIONS: Gauge "node" "num_subscriptions" "Subscriptions of all connections.";
    CHANNELS: Gauge "node" "num_channels" "Channels with subscribers.";
    NODES: Gauge "node" "num_nodes" "Nodes of the cluster.";
    BUILD: Gauge "node" "build" "Always 1; the version is in the label.";
    FILTERED: Counter "node" "tags_filter_dropped_publications" "Deliveries that a filter by tags left out.";
    LIMITED: Counter "node" "client_connection_limit" "Connections turned away because there are too many.";
    SUPPRESSED: Counter "broker" "publish_suppressed_count" "Publications that had no effect.";
    MAP_PUBLISHES_SUPPRESSED: Counter "map_broker" "publish_suppressed_count" "Keys that were not set.";
    MAP_REMOVES_SUPPRESSED: Counter "map_broker" "remove_suppressed_count" "Keys that were not removed.";
    REPLY_ERRORS: Counter "client" "num_reply_errors" "Commands answered by an error.";
    UNSUBSCRIBES: Counter "client" "num_server_unsubscribes" "Subscriptions ended by the server.";
    DISCONNECTS: Counter "client" "num_server_disconnects" "Connections ended by the server.";
    CLOSES: Counter "transport" "outgoing_close_count" "Connections ended by the server.";
    RECOVERIES: Counter "client" "recover" "Subscriptions that asked for what they missed.";
    CONNECTIONS_ACCEPTED: Counter "client" "connections_accepted" "Connections that were accepted.";
    CONNECTIONS_PRESENT: Gauge "client" "connections_inflight" "Connections that are accepted now.";
    SUBSCRIPTIONS_ACCEPTED: Counter "client" "subscriptions_accepted" "Subscriptions that were made.";
    SUBSCRIPTIONS_PRESENT: Gauge "client" "subscriptions_inflight" "Subscriptions that there are now.";
    SENT: Counter "transport" "messages_sent" "Messages handed to transports.";
    SENT_SIZE: Counter "transport" "messages_sent_size" "Their bytes, before compression and framing.";
    RECEIVED: Counter "transport" "messages_received" "Commands of clients.";
    RECEIVED_SIZE: Counter "transport" "messages_received_size" "Their bytes, without compression and framing.";
}

/// What is read elsewhere than in [`Metrics`].
#[derive(Clone, Copy, Debug)]
pub struct Present<'a> {
    /// Accepted connections.
    pub clients: usize,
    /// Their users.
    pub users: usize,
    /// Subscriptions of all connections.
    pub subscriptions: usize,
    /// Channels with subscribers.
    pub channels: usize,
    /// Nodes of the cluster, this one included.
    pub nodes: usize,
    /// Polled channels, and the keys that are tracked in them.
    pub polled: (usize, usize),
    /// The server's version.
    pub version: &'a str,
}

type Pairs<const N: usize> = [(&'static str, Cow<'static, str>); N];

/// Collects samples.
pub(crate) struct Samples(Vec<Sample>);

impl Samples {
    #[expect(clippy::cast_precision_loss, reason = "counts are exact as far as they matter")]
    pub(crate) fn put<const N: usize>(&mut self, family: &'static Family, value: u64, labels: Pairs<N>) {
        self.0.push(Sample { family, labels: labels.into(), value: value as f64 });
    }

    /// The same, unless it never happened.
    pub(crate) fn put_if_any<const N: usize>(
        &mut self,
        family: &'static Family,
        value: u64,
        labels: Pairs<N>,
    ) {
        if value > 0 {
            self.put(family, value, labels);
        }
    }

    /// Connections of one kind and with labels of their own: how many were accepted, and how many are there.
    #[expect(clippy::cast_precision_loss, reason = "counts are exact as far as they matter")]
    pub(crate) fn connections(
        &mut self,
        mut labels: Labels,
        kind: Kind,
        transport: &'static str,
        (begun, present): (u64, u64),
    ) {
        labels.push(("client_name", name_label(kind.named.name)));
        labels.push(("client_version", version_label(kind.named.version)));
        labels.push(("transport", transport.into()));
        for (family, value) in [(&CONNECTIONS_ACCEPTED, begun), (&CONNECTIONS_PRESENT, present)] {
            self.0.push(Sample { family, labels: labels.clone(), value: value as f64 });
        }
    }
}

pub(crate) const TOLD: [(Told, &str); 4] = [
    (Told::Publication, "publication"),
    (Told::Join, "join"),
    (Told::Leave, "leave"),
    (Told::Control, "control"),
];

/// What is counted where it is told, and not where it is heard: as publications, there.
const TOLD_OF_MAPS: [(Told, &str); 2] =
    [(Told::MapPublication, "map_publication"), (Told::MapRemoval, "map_removal")];

const ACTED: [(Action, &str); 22] = [
    (Action::AddPresence, "add_presence"),
    (Action::RemovePresence, "remove_presence"),
    (Action::Presence, "presence"),
    (Action::PresenceStats, "presence_stats"),
    (Action::History, "history"),
    (Action::HistoryRecover, "history_recover"),
    (Action::HistoryRecoverCache, "history_recover_cache"),
    (Action::HistoryStreamTop, "history_stream_top"),
    (Action::HistoryRemove, "history_remove"),
    (Action::BrokerSubscribe, "broker_subscribe"),
    (Action::BrokerUnsubscribe, "broker_unsubscribe"),
    (Action::Survey, "survey"),
    (Action::Notify, "notify"),
    (Action::MapBrokerSubscribe, "map_broker_subscribe"),
    (Action::MapBrokerUnsubscribe, "map_broker_unsubscribe"),
    (Action::MapPublish, "map_publish"),
    (Action::MapRemove, "map_remove"),
    (Action::MapReadState, "map_state_read"),
    (Action::MapReadStream, "map_stream_read"),
    (Action::MapStreamPosition, "map_stream_position"),
    (Action::MapStats, "map_stats"),
    (Action::MapClear, "map_clear"),
];

const NAMED: [Named; 4] = [
    Named { name: false, version: false },
    Named { name: false, version: true },
    Named { name: true, version: false },
    Named { name: true, version: true },
];

const fn name_label(named: bool) -> Cow<'static, str> {
    Cow::Borrowed(if named { "unregistered" } else { "unnamed" })
}

const fn version_label(versioned: bool) -> Cow<'static, str> {
    Cow::Borrowed(if versioned { "unregistered" } else { "unversioned" })
}

const fn yes_or_no(yes: bool) -> Cow<'static, str> {
    Cow::Borrowed(if yes { "yes" } else { "no" })
}

impl Metrics {
    /// Everything that was counted, and what there is at the moment.
    #[must_use]
    pub fn samples(&self, present: &Present<'_>) -> Vec<Sample> {
        let mut samples = Samples(Vec::new());
        self.node(present, &mut samples);
        self.clients(&mut samples);
        let (channels, keys) = present.polled;
        self.polls.samples(channels, keys, &mut samples);
        for transport in self.transports.iter().filter_map(|transport| transport.get()) {
            transport.samples(self.labelled.is_none(), &mut samples);
        }
        if let Some(labelled) = &self.labelled {
            labelled.samples(|at| self.of(at).map_or(crate::OTHER, |counts| counts.name), &mut samples);
        }
        samples.0
    }

    fn node(&self, present: &Present<'_>, samples: &mut Samples) {
        for (told, kind) in TOLD {
            samples.put(&MESSAGES_SENT, self.sent[told as usize].get(), [("type", kind.into())]);
            samples.put(&MESSAGES_RECEIVED, self.received[told as usize].get(), [("type", kind.into())]);
        }
        for (told, kind) in TOLD_OF_MAPS {
            samples.put(&MESSAGES_SENT, self.sent[told as usize].get(), [("type", kind.into())]);
        }
        let mut act = |count, action: &'static str| {
            samples.put_if_any(&ACTIONS, count, [("action", action.into())]);
        };
        for (action, name) in ACTED {
            act(self.actions[action as usize].get(), name);
        }
        let transports = self.transports.iter().filter_map(|transport| transport.get());
        let connections = || transports.clone().flat_map(|transport| &transport.connections);
        act(connections().map(|connections| connections.begun.get()).sum(), "add_client");
        act(connections().map(|connections| connections.ended.get()).sum(), "remove_client");
        act(self.subscriptions.iter().map(|all| all.begun.get()).sum(), "add_subscription");
        act(self.subscriptions.iter().map(|all| all.ended.get()).sum(), "remove_subscription");
        samples.put(&CLIENTS, crate::wide(present.clients), []);
        samples.put(&USERS, crate::wide(present.users), []);
        samples.put(&SUBSCRIPTIONS, crate::wide(present.subscriptions), []);
        samples.put(&CHANNELS, crate::wide(present.channels), []);
        samples.put(&NODES, crate::wide(present.nodes), []);
        samples.put(&BUILD, 1, [("version", present.version.to_owned().into())]);
        samples.put_if_any(&FILTERED, self.filtered.get(), []);
        samples.put(&LIMITED, self.connection_limit.get(), []);
        for (why, reason) in [(Suppressed::Idempotency, "idempotency"), (Suppressed::Version, "version")] {
            samples.put_if_any(&SUPPRESSED, self.suppressed[why as usize].get(), [("reason", reason.into())]);
        }
        for ((is_removal, reason), count) in self.map_suppressed.all() {
            let family = if is_removal { &MAP_REMOVES_SUPPRESSED } else { &MAP_PUBLISHES_SUPPRESSED };
            samples.put(family, count, [("reason", reason.into())]);
        }
    }

    fn clients(&self, samples: &mut Samples) {
        for ((frame, code), count) in self.reply_errors.all() {
            let labels = [("code", code.to_string().into()), ("method", frame.name().into())];
            samples.put(&REPLY_ERRORS, count, labels);
        }
        for (code, count) in self.unsubscribes.all() {
            samples.put(&UNSUBSCRIBES, count, [("code", code.to_string().into())]);
        }
        let disconnects = self.disconnects.all();
        for of_code in disconnects.chunk_by(|((code, _), _), ((other, _), _)| code == other) {
            let Some(((code, _), _)) = of_code.first() else { continue };
            let count = of_code.iter().map(|(_, count)| count).sum();
            samples.put(&DISCONNECTS, count, [("code", code.to_string().into())]);
        }
        for ((code, transport), count) in disconnects {
            let transport = self.of(transport).map_or(crate::OTHER, |counts| counts.name);
            let labels = [("code", code.to_string().into()), ("transport", transport.into())];
            samples.put(&CLOSES, count, labels);
        }
        for (at, count) in self.recovered.iter().enumerate() {
            let labels = [
                ("has_recovered_publications", yes_or_no(at & 1 != 0)),
                ("recovered", yes_or_no(at & 2 != 0)),
            ];
            samples.put_if_any(&RECOVERIES, count.get(), labels);
        }
        for (subscriptions, named) in self.subscriptions.iter().zip([false, true]) {
            let begun = subscriptions.begun.get();
            if begun > 0 {
                samples.put(&SUBSCRIPTIONS_ACCEPTED, begun, [("client_name", name_label(named))]);
                let present = subscriptions.present();
                samples.put(&SUBSCRIPTIONS_PRESENT, present, [("client_name", name_label(named))]);
            }
        }
    }
}

impl TransportCounts {
    /// `connections`: nobody else tells of those.
    fn samples(&self, connections: bool, samples: &mut Samples) {
        for named in NAMED.into_iter().filter(|_| connections) {
            let Some(connections) = self.connections.get(named.index()) else { continue };
            let begun = connections.begun.get();
            if begun > 0 {
                let counts = (begun, connections.present());
                samples.connections(Labels::new(), Kind::new(0, named), self.name, counts);
            }
        }
        for frame in Frame::ALL {
            let labels = || [("frame_type", frame.name().into()), ("transport", self.name.into())];
            if let Some(sent) = self.sent.get(frame.index()) {
                samples.put_if_any(&SENT, sent.messages.get(), labels());
                samples.put_if_any(&SENT_SIZE, sent.bytes.get(), labels());
            }
            if let Some(received) = self.received.get(frame.index()) {
                samples.put_if_any(&RECEIVED, received.messages.get(), labels());
                samples.put_if_any(&RECEIVED_SIZE, received.bytes.get(), labels());
            }
        }
    }
}
