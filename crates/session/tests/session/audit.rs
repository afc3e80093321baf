//! What must hold of a session whatever happens to it. Every test runs under this.

use std::collections::{BTreeMap, BTreeSet};

use tourbillon_protocol::Request;
use tourbillon_session::{Answer, Call, CallId, Input, MapAnswer, MapCall, Output, Session, SessionInit};
use tourbillon_types::{Channel, Direction, Instant, Now};

/// Watches one session from its beginning.
#[derive(Debug)]
pub(crate) struct Audit {
    direction: Direction,
    connect_errors: bool,
    channel_limit: usize,
    /// Whether the client was told that it is connected.
    told: bool,
    closed: bool,
    /// Calls under way.
    asked: BTreeMap<CallId, Call>,
    last_call: Option<CallId>,
    /// How many more replies a command id may get.
    replies: BTreeMap<u32, usize>,
    /// Channels that an answer granted and that were not opened since.
    granted: BTreeSet<Channel>,
    /// Keyed channels that were attached and are still being loaded.
    loading: BTreeSet<Channel>,
    /// Channels opened and not detached since.
    open: BTreeSet<Channel>,
}

fn keyed(call: &MapCall) -> Channel {
    match call {
        MapCall::Grant(subscribe) => Channel::from(subscribe.channel.as_str()),
        MapCall::State { channel, .. } | MapCall::Stream { channel, .. } => channel.clone(),
        MapCall::Attach(attach) => attach.channel.clone(),
    }
}

impl Audit {
    pub(crate) fn new(init: &SessionInit, channel_limit: usize) -> Self {
        Self {
            direction: init.direction,
            connect_errors: init.connect_errors,
            channel_limit,
            told: false,
            closed: false,
            asked: BTreeMap::new(),
            last_call: None,
            replies: BTreeMap::new(),
            granted: BTreeSet::new(),
            loading: BTreeSet::new(),
            open: BTreeSet::new(),
        }
    }

    /// The calls that wait for an answer, oldest first.
    pub(crate) fn asked(&self) -> impl Iterator<Item = (&CallId, &Call)> {
        self.asked.iter()
    }

    /// How many commands of a connected client wait for their reply.
    pub(crate) fn unanswered(&self) -> usize {
        if self.closed { 0 } else { self.replies.values().sum() }
    }

    /// Takes note of an input and of everything that came out.
    pub(crate) fn check(&mut self, session: &Session, now: Now, input: &Input, outputs: &[Output]) {
        self.note_input(input);
        for output in outputs {
            assert!(!self.closed, "{output:?} after the close");
            self.note_output(output);
        }
        self.check_session(session, now, input);
    }

    fn note_input(&mut self, input: &Input) {
        match input {
            Input::Command(command) => {
                // Without an id it is a pong, whatever else it says.
                if command.id > 0 && !matches!(command.request, Request::Send(_)) {
                    *self.replies.entry(command.id).or_default() += 1;
                }
            }
            Input::Answer(id, answer) => {
                let Some(call) = self.asked.remove(id) else { return };
                match (call, answer) {
                    (Call::Subscribe(subscribe), Answer::Subscribe(Ok(_))) => {
                        self.granted.insert(Channel::from(subscribe.channel));
                    }
                    (Call::Attach { channel, .. }, Answer::Subscribe(Ok(_))) => {
                        self.granted.insert(channel);
                    }
                    (Call::Map(call), Answer::Map(Ok(MapAnswer::Attached(_)))) => {
                        self.loading.insert(keyed(&call));
                    }
                    (Call::Connect(_), Answer::Connect(Ok(accepted))) => {
                        self.granted
                            .extend(accepted.subscriptions.iter().map(|(channel, _)| channel.clone()));
                    }
                    _ => {}
                }
            }
            Input::Malformed | Input::NativePong | Input::Tick | Input::Server(_) => {}
        }
    }

    fn note_output(&mut self, output: &Output) {
        match output {
            Output::Reply(reply) => {
                let error_for_the_transport = self.connect_errors && reply.result.is_err();
                let asks = self.direction == Direction::Bidirectional;
                assert!(asks || error_for_the_transport, "a reply to who cannot ask");
                let allowed = self.replies.get_mut(&reply.id).expect("a reply answers a command");
                *allowed = allowed.checked_sub(1).expect("a command is answered at most once");
                self.told = true;
            }
            Output::Push(_) => {
                assert!(self.told || self.direction == Direction::Unidirectional, "a push before the reply");
                self.told = true;
            }
            Output::Ping => assert!(self.told, "a ping before the reply"),
            Output::Answered(_) => assert!(self.told, "an answered ping before the reply"),
            Output::Call(id, call) => {
                assert!(self.last_call < Some(*id), "calls are numbered anew");
                self.last_call = Some(*id);
                if let Call::Map(call) = call
                    && let MapCall::Attach(attach) = &**call
                {
                    assert!(!self.loading.contains(&attach.channel), "{} is attached twice", attach.channel);
                }
                self.asked.insert(*id, call.clone());
            }
            Output::Open { channel, .. } => {
                assert!(self.told, "a gate opened before the reply");
                let granted = self.granted.remove(channel) | self.loading.remove(channel);
                assert!(granted, "{channel} was opened without a grant");
                assert!(self.open.insert(channel.clone()), "{channel} was opened twice");
            }
            Output::Filter { channel, .. } => {
                assert!(self.open.contains(channel), "{channel} is filtered without being open");
            }
            Output::Detach { channel, .. } => {
                assert!(self.open.remove(channel), "{channel} was detached without being open");
            }
            Output::Tracked { channel, .. } | Output::Untrack { channel, .. } => {
                assert!(self.open.contains(channel), "keys of {channel}, which is not open");
            }
            Output::Close(_) => {
                self.closed = true;
                self.asked.clear();
            }
        }
    }

    fn check_session(&mut self, session: &Session, now: Now, input: &Input) {
        assert_eq!(session.is_closed(), self.closed);
        assert!(session.channels().eq(&self.open), "the channels of the session are those opened");
        assert!(self.open.iter().all(|channel| session.holds(channel) && session.is_subscribed(channel)));
        // The driver detaches what the session holds no more.
        self.loading.retain(|channel| session.holds(channel));
        assert!(self.loading.is_disjoint(&self.open), "what is open is loaded");
        if self.closed {
            assert!(!session.ready());
            assert_eq!(session.next_deadline(), Instant::MAX);
            return;
        }
        let subscribing = self.asked.values().filter_map(|call| match call {
            Call::Subscribe(subscribe) => Some(Channel::from(subscribe.channel.as_str())),
            Call::Attach { channel, .. } => Some(channel.clone()),
            Call::Map(call) => Some(keyed(call)),
            _ => None,
        });
        let mut held = self.loading.len();
        for channel in subscribing {
            assert!(session.holds(&channel) && !self.open.contains(&channel), "{channel} is subscribed once");
            held += usize::from(!self.loading.contains(&channel));
        }
        assert!(held + self.open.len() <= self.channel_limit, "more channels than allowed");
        // What was granted and not opened is the driver's to undo: the session must not count it as its own.
        for channel in std::mem::take(&mut self.granted) {
            assert!(!session.holds(&channel) || self.open.contains(&channel), "{channel} is held unopened");
        }
        if matches!(input, Input::Tick) {
            assert!(session.next_deadline() > now.instant, "a driver would spin");
        }
    }
}
