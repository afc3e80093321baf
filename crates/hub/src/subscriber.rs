//! A connection, as the hub sees it.

use std::fmt;
use std::sync::Arc;

use tourbillon_protocol::Envelope;
use tourbillon_transport::{Message, Run};
use tourbillon_types::{Channel, Disconnect, Encoding, Unsubscribe};

/// How a connection wants its pushes encoded. Connections of one variant share the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// The encoding it speaks.
    pub encoding: Encoding,
    /// What pushes are wrapped in.
    pub envelope: Envelope,
}

/// What becomes of a publication that [may be missed](Subscriber::send_in) when there is no room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loose {
    /// Older ones of such channels make room, or it is not delivered.
    Oldest,
    /// It takes the place of the one of its lane that waits.
    Latest,
    /// Its lane is given up: what waits of it goes, and the subscription has to end.
    Position,
}

/// Something that takes messages. All of it is called under the lock of a channel: it queues, and waits for nobody.
pub trait Subscriber: fmt::Debug + Send + Sync + 'static {
    /// Distinct from those of all others, for as long as there is a hub; stays the same.
    fn key(&self) -> u64;

    /// How it wants its pushes encoded; stays the same.
    fn variant(&self) -> Variant;

    /// Queues a message and sees to it that it is written.
    fn send(self: &Arc<Self>, message: Message);

    /// The same for a run, which may grow until it is written.
    fn send_run(self: &Arc<Self>, run: Arc<Run>);

    /// Queues a publication of a channel whose publications do not have to be delivered all, and sees to it that it is
    /// written. `lane` is the channel's number. `false`: its lane is [given up](Loose::Position).
    fn send_in(self: &Arc<Self>, message: Message, lane: u32, how: Loose) -> bool;

    /// Ends it.
    fn fail(&self, why: Disconnect);

    /// It has lost its place in a channel, and the subscription ends, if there is one yet (REC-09).
    fn lose(&self, channel: &Channel);

    /// Ends its subscription to a channel, or the one that is under way.
    fn unsubscribe(&self, channel: &Channel, why: Unsubscribe);

    /// It has one channel more: to be counted.
    fn attached(&self);

    /// It has one channel less: to be counted.
    fn detached(&self);

    /// Filters kept so many deliveries, to it and others, from happening: to be counted.
    fn filtered(&self, deliveries: u64);
}
