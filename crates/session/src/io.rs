//! What goes into a session and what comes out.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use tourbillon_protocol::{Command, Push, Reply};
use tourbillon_types::{Channel, Disconnect, Payload, StreamPosition, TagMatcher, Unsubscribe};

use crate::calls::{Answer, Call, CallId, Granted, Refreshed};

/// Something happened to the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The client sent a command.
    Command(Command),
    /// The client sent something that is none (PROTO-12, PROTO-13).
    Malformed,
    /// A [`Call`] was answered.
    Answer(CallId, Answer),
    /// The transport's own ping was answered.
    NativePong,
    /// Time passed.
    Tick,
    /// The server wants something of the connection.
    Server(ServerOp),
}

/// What the server side can want of a connection. While the connect call is under way, all but the disconnect waits
/// for it; before that, and on a connection that was refused, it is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerOp {
    /// End it.
    Disconnect(Disconnect),
    /// Subscribe it to a channel (API-22).
    Subscribe {
        /// The channel.
        channel: Channel,
        /// How the subscription behaves.
        granted: Granted,
    },
    /// End a subscription, and tell the client even if it has none (HID-70).
    Unsubscribe {
        /// The channel.
        channel: Channel,
        /// Why.
        why: Unsubscribe,
    },
    /// A subscription cannot go on from its position: publications are missing (HID-31). It ends, or the connection
    /// does where the server made it.
    Insufficient {
        /// The channel.
        channel: Channel,
    },
    /// Change when the connection expires (API-25).
    Refresh(Refreshed),
    /// Send it data that belongs to no channel (PUSH-05).
    Message(Payload),
}

/// Something the driver has to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Queue this reply.
    Reply(Reply),
    /// Queue this push.
    Push(Push),
    /// Send a ping: an empty message, or the transport's own where that is asked for.
    Ping,
    /// The client answered a ping, and this long after it was sent (PING-03). The present command may have waited
    /// for others before it.
    Answered(Duration),
    /// Run this and return the answer.
    Call(CallId, Call),
    /// Open the gate of this channel: what was published since it was attached, and from now on, is queued.
    Open {
        /// The channel.
        channel: Channel,
        /// Where the subscriber stands now; `None` for one without a position.
        live: Option<StreamPosition>,
    },
    /// Change which publications of this channel the server lets the subscriber have.
    Filter {
        /// The channel.
        channel: Channel,
        /// Those that it matches.
        filter: Arc<TagMatcher>,
    },
    /// The reply to this call about keys of a polled channel is queued: their values may follow.
    Tracked {
        /// The channel.
        channel: Channel,
        /// The call.
        call: CallId,
    },
    /// Track these keys of a polled channel no more.
    Untrack {
        /// The channel.
        channel: Channel,
        /// The keys, tracked or not.
        keys: Vec<String>,
    },
    /// Detach the connection from this channel and tell the application.
    Detach {
        /// The channel.
        channel: Channel,
        /// Why.
        why: Unsubscribe,
    },
    /// End the connection. The last output of a session.
    Close(Disconnect),
}

/// Where a session puts its outputs. Holds a few without an allocation.
#[derive(Debug, Default)]
pub struct Outputs(SmallVec<[Output; 2]>);

impl Outputs {
    /// Without outputs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.0.push(output);
    }

    /// Takes the outputs in order.
    pub fn drain(&mut self) -> impl Iterator<Item = Output> + '_ {
        self.0.drain(..)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
