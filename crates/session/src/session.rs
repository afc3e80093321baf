//! The state machine: what is kept, and where each input goes.

use std::sync::Arc;

use smallvec::SmallVec;
use tourbillon_protocol::{Command, Push, PushEvent, Reply, ReplyResult, Request};
use tourbillon_types::{Channel, ClientId, Direction, Disconnect, Instant, Now, ReplyError};

use crate::calls::{Answer, Call, CallId, Refusal};
use crate::config::{SessionConfig, SessionInit};
use crate::io::{Input, Output, Outputs, ServerOp};
use crate::map::{MapAsked, Step};
use crate::subscriptions::{State, Subscriptions};

/// One client's protocol state machine.
///
/// Two kinds of methods: one input, [`handle`](Self::handle), and getters that tell a driver what to do next
/// ([`ready`](Self::ready), [`next_deadline`](Self::next_deadline), [`is_closed`](Self::is_closed)) and what the
/// session has ([`holds`](Self::holds), [`channels`](Self::channels)). See the [crate documentation](crate) for the
/// order in which a driver calls them.
#[derive(Debug)]
pub struct Session {
    pub(crate) config: Arc<SessionConfig>,
    pub(crate) init: SessionInit,
    pub(crate) phase: Phase,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) pending: SmallVec<[Pending; 1]>,
    pub(crate) last_call: u32,
    pub(crate) deadlines: Deadlines,
    pub(crate) ping: Ping,
    /// How many pongs would be in order.
    pub(crate) unanswered: u16,
    pub(crate) client_side_refresh: bool,
    /// How many unsubscribe commands wait for a subscribe to end.
    pub(crate) waiting: u32,
    /// What the server wants of a connection that is still to be accepted.
    #[expect(clippy::box_collection, reason = "one word instead of three, for every session")]
    pub(crate) wishes: Option<Box<Vec<ServerOp>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing came yet.
    New,
    /// The connect call is under way.
    Connecting,
    /// Accepted.
    Connected,
    /// The connect was answered by an error: any further command closes (HID-22).
    Unusable,
    /// Over.
    Closed,
}

/// Instants at which something has to be done; [`Instant::MAX`] for never.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    /// The connection must be accepted by then.
    pub(crate) stale: Instant,
    /// The connection expires, or its grace ends.
    pub(crate) expiry: Instant,
    /// The earliest expiry of a subscription.
    pub(crate) subscriptions: Instant,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Ping {
    /// When the next ping is sent.
    pub(crate) next: Instant,
    /// By when a pong must come; `MAX` when none is awaited.
    pub(crate) pong_due: Instant,
}

/// A call under way, and what its answer is for.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) call: CallId,
    pub(crate) purpose: Purpose,
}

#[derive(Debug)]
pub(crate) enum Purpose {
    Connect {
        id: u32,
    },
    Subscribe(Asked),
    ServerSubscribe {
        channel: Channel,
    },
    Map(Box<(MapAsked, Step)>),
    Publish {
        id: u32,
    },
    History {
        id: u32,
    },
    Presence {
        id: u32,
    },
    PresenceStats {
        id: u32,
    },
    Rpc {
        id: u32,
    },
    Message,
    Refresh {
        id: u32,
    },
    ServerRefresh,
    /// Without a channel once the subscription that it was for is gone.
    SubRefresh {
        id: u32,
        channel: Option<Channel>,
    },
    /// Without a channel once the subscription that it was for is gone.
    Track {
        id: u32,
        channel: Option<Channel>,
    },
    /// Without a channel once the subscription that it was for is gone.
    ServerSubRefresh {
        channel: Option<Channel>,
    },
}

/// A subscribe command under way.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) id: u32,
    pub(crate) channel: Channel,
    pub(crate) recovering: bool,
}

impl Purpose {
    /// Whether the client waits for it, so that it counts against the concurrency.
    const fn is_command(&self) -> bool {
        !matches!(self, Self::ServerSubscribe { .. } | Self::ServerRefresh | Self::ServerSubRefresh { .. })
    }
}

impl Session {
    /// A session that begins now.
    #[must_use]
    pub fn new(config: Arc<SessionConfig>, init: SessionInit, now: Now) -> Self {
        let stale = now.instant + config.stale_close_delay;
        Self {
            config,
            init,
            phase: Phase::New,
            subscriptions: Subscriptions::default(),
            pending: SmallVec::new(),
            last_call: 0,
            deadlines: Deadlines { stale, expiry: Instant::MAX, subscriptions: Instant::MAX },
            ping: Ping { next: Instant::MAX, pong_due: Instant::MAX },
            unanswered: 0,
            client_side_refresh: false,
            waiting: 0,
            wishes: None,
        }
    }

    /// The public identifier of the connection.
    #[must_use]
    pub const fn client(&self) -> ClientId {
        self.init.client
    }

    /// Whether the next command may be handed in. Commands are worked on one after the other, or as many at once
    /// as the concurrency allows (LIFE-06); what the client sends meanwhile waits in its socket.
    #[must_use]
    pub fn ready(&self) -> bool {
        match self.phase {
            Phase::Connecting | Phase::Closed => false,
            Phase::New | Phase::Unusable => true,
            Phase::Connected => {
                let called = self.pending.iter().filter(|pending| pending.purpose.is_command()).count();
                let waiting = usize::try_from(self.waiting).unwrap_or(usize::MAX);
                called.saturating_add(waiting) < self.config.concurrency.max(1)
            }
        }
    }

    /// Whether the session is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Whether it is being decided whether the connection is accepted. What is wanted of it meanwhile, but its end, is
    /// taken and waits; a driver that keeps it back knows when it is done.
    #[must_use]
    pub fn is_connecting(&self) -> bool {
        self.phase == Phase::Connecting
    }

    /// Whether the connection was accepted.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.phase == Phase::Connected
    }

    /// The channels that the session is subscribed to; not those being subscribed.
    pub fn channels(&self) -> impl Iterator<Item = &Channel> {
        let subscribed = self.subscriptions.iter().filter(|(_, s)| s.state == State::Subscribed);
        subscribed.map(|(channel, _)| channel)
    }

    /// The channels among them that the session has only for as long as the rights of its connection say so.
    pub fn revocable(&self) -> impl Iterator<Item = &Channel> {
        let revocable =
            self.subscriptions.iter().filter(|(_, s)| s.revocable && s.state == State::Subscribed);
        revocable.map(|(channel, _)| channel)
    }

    /// Whether the answer to this call prolongs a subscription: it is still awaited, and the subscription that it is for
    /// has not ended meanwhile. There may be a later one to the same channel, which has nothing to do with it.
    #[must_use]
    pub fn prolongs(&self, call: CallId) -> bool {
        let awaited = self.pending.iter().find(|pending| pending.call == call);
        awaited.is_some_and(|pending| {
            matches!(
                pending.purpose,
                Purpose::SubRefresh { channel: Some(_), .. } | Purpose::ServerSubRefresh { channel: Some(_) }
            )
        })
    }

    /// Whether the session holds this channel, subscribed or being subscribed.
    #[must_use]
    pub fn holds(&self, channel: &str) -> bool {
        self.subscriptions.get(channel).is_some_and(|subscription| subscription.state != State::Late)
    }

    /// Whether the session is subscribed to this channel. One that it holds and is not subscribed to is being loaded: it
    /// opens later ([`Output::Open`]), or the session ceases to hold it without an output.
    #[must_use]
    pub fn is_subscribed(&self, channel: &str) -> bool {
        self.subscriptions.get(channel).is_some_and(|found| found.state == State::Subscribed)
    }

    /// Lets the session hold this very name of a channel, instead of one of its own that is equal. Sessions of one
    /// channel share its name so.
    pub fn share_name(&mut self, channel: &Channel) {
        self.subscriptions.share_name(channel);
    }

    /// When [`Input::Tick`] is next needed; [`Instant::MAX`] for never. It may move after every input.
    #[must_use]
    pub fn next_deadline(&self) -> Instant {
        if self.phase == Phase::Closed {
            return Instant::MAX;
        }
        self.deadlines
            .stale
            .min(self.deadlines.expiry)
            .min(self.deadlines.subscriptions)
            .min(self.ping.next)
            .min(self.ping.pong_due)
    }

    /// Takes one input at the given time and appends what follows from it to `out`.
    pub fn handle(&mut self, now: Now, input: Input, out: &mut Outputs) {
        if self.phase == Phase::Closed {
            return;
        }
        match input {
            Input::Command(command) => self.command(now, command, out),
            // What a unidirectional client says after its connect is ignored (UNI-02).
            Input::Malformed if self.is_deaf() => {}
            Input::Malformed => self.close(Disconnect::BAD_REQUEST, out),
            Input::Answer(call, answer) => self.answer(now, call, answer, out),
            Input::NativePong => self.native_pong(now, out),
            Input::Tick => self.tick(now, out),
            Input::Server(op) => self.server(now, op, out),
        }
    }

    /// Whether the client has said all that it is entitled to say.
    fn is_deaf(&self) -> bool {
        self.init.direction == Direction::Unidirectional && self.phase != Phase::New
    }

    fn command(&mut self, now: Now, command: Command, out: &mut Outputs) {
        match self.phase {
            Phase::Closed => {}
            Phase::New => match command.request {
                Request::Connect(connect) if command.id > 0 => self.connect(command.id, connect, out),
                _ => self.close(Disconnect::BAD_REQUEST, out),
            },
            Phase::Connecting | Phase::Connected if self.is_deaf() => {}
            Phase::Connecting | Phase::Unusable => self.close(Disconnect::BAD_REQUEST, out),
            Phase::Connected => self.connected_command(now, command, out),
        }
    }

    fn connected_command(&mut self, now: Now, command: Command, out: &mut Outputs) {
        let id = command.id;
        match command.request {
            Request::Pong => self.pong(now, out),
            Request::Send(send) => self.message(send, out),
            // Whatever else it says: without an id it is a pong (PROTO-01).
            _ if id == 0 => self.pong(now, out),
            Request::Empty | Request::Connect(_) => self.close(Disconnect::BAD_REQUEST, out),
            Request::Ping => Self::refuse(id, ReplyError::NOT_AVAILABLE, out),
            Request::Subscribe(subscribe) => self.subscribe(now, id, subscribe, out),
            Request::Unsubscribe(unsubscribe) => self.unsubscribe(now, id, &unsubscribe.channel, out),
            Request::Publish(publish) => self.publish(id, publish, out),
            Request::Rpc(rpc) => self.rpc(id, rpc, out),
            Request::Refresh(refresh) => self.refresh(id, refresh, out),
            Request::SubRefresh(sub_refresh) => self.sub_refresh(id, *sub_refresh, out),
            Request::Presence(command) => self.presence(id, &command.channel, out),
            Request::PresenceStats(command) => self.presence_stats(id, &command.channel, out),
            Request::History(command) => self.history(id, command, out),
        }
    }

    fn answer(&mut self, now: Now, call: CallId, answer: Answer, out: &mut Outputs) {
        let Some(at) = self.pending.iter().position(|pending| pending.call == call) else { return };
        let purpose = self.pending.remove(at).purpose;
        match (purpose, answer) {
            (Purpose::Connect { id }, Answer::Connect(result)) => self.connect_answer(now, id, result, out),
            (Purpose::Subscribe(asked), Answer::Subscribe(result)) => {
                self.subscribe_answer(now, asked, result, out);
            }
            (Purpose::ServerSubscribe { channel }, Answer::Subscribe(result)) => {
                self.server_subscribe_answer(now, channel, result, out);
            }
            (Purpose::Map(asked), Answer::Map(result)) => self.map_answer(now, *asked, result, out),
            (Purpose::Publish { id }, Answer::Publish(result)) => {
                self.finish(id, result.map(|()| ReplyResult::Publish), out);
            }
            (Purpose::History { id }, Answer::History(result)) => {
                self.finish(id, result.map(ReplyResult::History), out);
            }
            (Purpose::Presence { id }, Answer::Presence(result)) => {
                self.finish(id, result.map(ReplyResult::Presence), out);
            }
            (Purpose::PresenceStats { id }, Answer::PresenceStats(result)) => {
                self.finish(id, result.map(ReplyResult::PresenceStats), out);
            }
            (Purpose::Rpc { id }, Answer::Rpc(result)) => self.rpc_answer(id, result, out),
            (Purpose::Message, Answer::Message(Err(disconnect))) => self.close(disconnect, out),
            (Purpose::Message, Answer::Message(Ok(()))) => {}
            (Purpose::Refresh { id }, Answer::Refresh(result)) => self.refresh_answer(now, id, result, out),
            (Purpose::ServerRefresh, Answer::Refresh(result)) => self.server_refresh_answer(now, result, out),
            (Purpose::SubRefresh { id, channel }, Answer::Refresh(result)) => {
                self.sub_refresh_answer(now, id, channel.as_ref(), result, out);
            }
            (Purpose::Track { id, channel }, Answer::Track(result)) => {
                self.track_answer(now, (id, call), channel, result, out);
            }
            (Purpose::ServerSubRefresh { channel }, Answer::Refresh(result)) => {
                self.server_sub_refresh_answer(now, channel, result, out);
            }
            // A driver that answers a question with the answer to another has lost track of this client.
            _ => self.close(Disconnect::INTERNAL_SERVER_ERROR, out),
        }
    }

    pub(crate) fn server(&mut self, now: Now, op: ServerOp, out: &mut Outputs) {
        match op {
            ServerOp::Disconnect(disconnect) => self.close(disconnect, out),
            // Its user may be known already, so that wishes reach it: they are met once it is accepted.
            wish if self.phase == Phase::Connecting => self.wishes.get_or_insert_default().push(wish),
            _ if self.phase != Phase::Connected => {}
            ServerOp::Subscribe { channel, granted } => self.server_subscribe(channel, granted, out),
            ServerOp::Unsubscribe { channel, why } => self.server_unsubscribe(now, &channel, why, out),
            ServerOp::Insufficient { channel } => self.insufficient(&channel, out),
            ServerOp::Refresh(refreshed) => self.server_set_expiry(now, &refreshed, out),
            ServerOp::Message(data) => {
                let event = PushEvent::Message(data);
                out.push(Output::Push(Push { channel: None, id: 0, event }));
            }
        }
    }

    fn tick(&mut self, now: Now, out: &mut Outputs) {
        if now.instant >= self.deadlines.stale {
            return self.close(Disconnect::STALE, out);
        }
        self.tick_ping(now, out);
        if self.phase != Phase::Closed && now.instant >= self.deadlines.expiry {
            self.expire(now, out);
        }
        if self.phase != Phase::Closed && now.instant >= self.deadlines.subscriptions {
            self.expire_subscriptions(now, out);
        }
    }

    /// Ends the session.
    pub(crate) fn close(&mut self, disconnect: Disconnect, out: &mut Outputs) {
        if self.phase == Phase::Closed {
            return;
        }
        self.phase = Phase::Closed;
        self.pending.clear();
        self.wishes = None;
        out.push(Output::Close(disconnect));
    }

    /// Asks the driver.
    pub(crate) fn call(&mut self, call: Call, purpose: Purpose, out: &mut Outputs) {
        self.last_call = self.last_call.wrapping_add(1);
        let id = CallId(self.last_call);
        self.pending.push(Pending { call: id, purpose });
        out.push(Output::Call(id, call));
    }

    /// Answers a command by its result or its refusal.
    pub(crate) fn finish(&mut self, id: u32, result: Result<ReplyResult, Refusal>, out: &mut Outputs) {
        match result {
            Ok(result) => out.push(Output::Reply(Reply { id, result: Ok(result) })),
            Err(Refusal::Error(error)) => Self::refuse(id, error, out),
            Err(Refusal::Disconnect(disconnect)) => self.close(disconnect, out),
        }
    }

    /// Answers a command by an error.
    pub(crate) fn refuse(id: u32, error: ReplyError, out: &mut Outputs) {
        out.push(Output::Reply(Reply { id, result: Err(error) }));
    }
}
