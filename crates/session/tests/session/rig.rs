//! A session, a clock that stands still until told, and a transcript of all that happens.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use expect_test::Expect;
use tourbillon_recovery::Resumed;
use tourbillon_session::{
    Accepted, Answer, Call, CallId, Granted, Input, MapAnswer, MapAttach, MapCall, MapShow, Output, Outputs,
    Refreshed, Refusal, ServerOp, Session, SessionConfig, SessionInit,
};
use tourbillon_types::{
    Channel, ClientId, Direction, Disconnect, Instant, MapQuery, Now, Payload, Permissions, ReplyError,
    StreamPosition, Unsubscribe,
};

use crate::audit::Audit;
use crate::wire;

/// When every test begins, seconds since 1970 UTC.
pub(crate) const START: i64 = 1_700_000_000;

/// When every test begins, on the monotonic clock.
const ORIGIN: Instant = Instant::from_nanos(77_000_000_000);

pub(crate) struct Rig {
    pub(crate) session: Session,
    pub(crate) now: Now,
    audit: Audit,
    direction: Direction,
    native_ping: bool,
    /// The time at which the transcript stands.
    shown: Instant,
    log: String,
}

fn now_at(instant: Instant) -> Now {
    let millis =
        i64::try_from(instant.saturating_since(ORIGIN).as_millis()).expect("no test takes that long");
    Now { instant, unix_millis: START * 1000 + millis }
}

pub(crate) fn config() -> SessionConfig {
    let mut config = SessionConfig::new("ffffffff-ffff-4fff-bfff-ffffffffffff".parse().expect("a node's id"));
    config.version = "1.2.3".into();
    config
}

/// A client whose first ping comes after half the interval.
pub(crate) fn init() -> SessionInit {
    SessionInit {
        client: ClientId::from_random([0; 16]),
        session: "5ec4e700-0000-4000-8000-000000000000".parse().expect("a session's id"),
        direction: Direction::Bidirectional,
        native_ping: false,
        emulation: false,
        connect_errors: false,
    }
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(|_, _| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut SessionConfig, &mut SessionInit)) -> Self {
        let (mut config, mut init) = (config(), init());
        change(&mut config, &mut init);
        let now = now_at(ORIGIN);
        Self {
            now,
            audit: Audit::new(&init, config.channel_limit),
            direction: init.direction,
            native_ping: init.native_ping,
            shown: now.instant,
            log: String::new(),
            session: Session::new(Arc::new(config), init, now),
        }
    }

    /// Connects and forgets the transcript so far.
    pub(crate) fn connect(mut self, accepted: Accepted) -> Self {
        self.send(r#"{"id":1,"connect":{}}"#);
        self.answer(Answer::Connect(Ok(accepted)));
        self.log.clear();
        self
    }

    pub(crate) fn connected() -> Self {
        Self::new().connect(Accepted::default())
    }

    /// The client subscribes. Forgets the transcript so far.
    pub(crate) fn subscribe(mut self, channel: &str, granted: Granted) -> Self {
        self.send(&format!(r#"{{"id":2,"subscribe":{{"channel":"{channel}"}}}}"#));
        self.answer(Answer::Subscribe(Ok(granted)));
        self.log.clear();
        self
    }

    /// The client subscribes while another call is under way.
    pub(crate) fn subscribe_meanwhile(mut self, channel: &str, granted: Granted) -> Self {
        self.send(&format!(r#"{{"id":9,"subscribe":{{"channel":"{channel}"}}}}"#));
        let (id, _) = self.audit.asked().last().expect("a call is under way");
        self.answer_to(*id, Answer::Subscribe(Ok(granted)));
        self
    }

    pub(crate) fn send(&mut self, json: &str) {
        self.note(&format!("client> {json}"));
        self.handle(Input::Command(wire::command(json)));
    }

    pub(crate) fn malformed(&mut self) {
        self.note("client> (malformed)");
        self.handle(Input::Malformed);
    }

    pub(crate) fn native_pong(&mut self) {
        self.note("client> (pong frame)");
        self.handle(Input::NativePong);
    }

    /// Answers the oldest call under way.
    pub(crate) fn answer(&mut self, answer: Answer) {
        let (id, _) = self.audit.asked().next().expect("a call is under way");
        self.answer_to(*id, answer);
    }

    /// Answers the oldest call under way and gives the transcript of that alone.
    pub(crate) fn take(&mut self, answer: Answer) -> String {
        let (id, _) = self.audit.asked().next().expect("a call is under way");
        self.log.clear();
        self.handle(Input::Answer(*id, answer));
        std::mem::take(&mut self.log)
    }

    pub(crate) fn answer_to(&mut self, call: CallId, answer: Answer) {
        let text = self.describe(&answer);
        self.note(&format!("- answer {}: {text}", call.0));
        self.handle(Input::Answer(call, answer));
    }

    pub(crate) fn server(&mut self, op: ServerOp) {
        let text = match &op {
            ServerOp::Disconnect(why) => format!("disconnect {} {}", why.code, why.reason),
            ServerOp::Subscribe { channel, .. } => format!("subscribe {channel}"),
            ServerOp::Unsubscribe { channel, why } => {
                format!("unsubscribe {channel}: {} {}", why.code, why.reason)
            }
            ServerOp::Insufficient { channel } => format!("position lost in {channel}"),
            ServerOp::Message(data) => format!("message of {} bytes", data.len()),
            ServerOp::Refresh(refreshed) => format!("refresh, {}", self.describe_refreshed(refreshed)),
        };
        self.note(&format!("- wish: {text}"));
        self.handle(Input::Server(op));
    }

    /// Lets time pass, with a tick at each deadline on the way and none else.
    pub(crate) fn advance(&mut self, seconds: f64) -> Vec<Output> {
        let end = self.now.instant + Duration::from_secs_f64(seconds);
        let mut outputs = Vec::new();
        while self.session.next_deadline() <= end {
            self.now = now_at(self.session.next_deadline().max(self.now.instant));
            outputs.extend(self.handle(Input::Tick));
        }
        self.now = now_at(end);
        outputs
    }

    /// Lets time pass without a tick, as a driver that is late does.
    pub(crate) fn skip(&mut self, duration: Duration) {
        self.now = now_at(self.now.instant + duration);
    }

    pub(crate) fn tick(&mut self) {
        self.handle(Input::Tick);
    }

    /// Hands one input in and writes down and checks what comes out.
    pub(crate) fn handle(&mut self, input: Input) -> Vec<Output> {
        let mut outputs = Outputs::new();
        self.session.handle(self.now, input.clone(), &mut outputs);
        let outputs: Vec<Output> = outputs.drain().collect();
        for output in &outputs {
            // How long a pong took is in the times of the transcript already.
            if !matches!(output, Output::Answered(_)) {
                let line = self.show(output);
                self.note(&line);
            }
        }
        self.audit.check(&self.session, self.now, &input, &outputs);
        outputs
    }

    /// How many commands wait for their reply.
    pub(crate) fn unanswered(&self) -> usize {
        self.audit.unanswered()
    }

    pub(crate) fn asked(&self) -> Vec<(CallId, Call)> {
        self.audit.asked().map(|(id, call)| (*id, call.clone())).collect()
    }

    /// Compares the transcript since the last comparison.
    #[track_caller]
    /// How often the transcript says this.
    pub(crate) fn said(&self, text: &str) -> usize {
        self.log.matches(text).count()
    }

    pub(crate) fn expect(&mut self, expected: Expect) {
        expected.assert_eq(&std::mem::take(&mut self.log));
    }

    /// Forgets the transcript so far.
    pub(crate) fn forget(&mut self) {
        self.log.clear();
    }

    fn note(&mut self, line: &str) {
        if self.shown != self.now.instant {
            self.shown = self.now.instant;
            let since = self.now.instant.saturating_since(ORIGIN);
            let _ = writeln!(self.log, "[{} s]", since.as_secs_f64());
        }
        self.log.push_str(line.trim_end());
        self.log.push('\n');
    }

    fn show(&self, output: &Output) -> String {
        match output {
            Output::Reply(reply) => format!("server> {}", wire::reply(reply)),
            Output::Push(push) => format!("server> {}", wire::push(self.direction, push)),
            Output::Ping if self.native_ping => "server> (ping frame)".to_owned(),
            Output::Ping => format!("server> {}", wire::ping(self.direction)),
            Output::Answered(after) => format!("- answered after {after:?}"),
            Output::Call(id, call) => format!("- call {}: {}", id.0, show_call(call)),
            Output::Open { channel, live: None } => format!("- open {channel}"),
            Output::Open { channel, live: Some(live) } => {
                format!("- open {channel} at {} {}", live.offset, live.epoch.as_str())
            }
            Output::Filter { channel, .. } => format!("- filter {channel}"),
            Output::Detach { channel, why } => format!("- detach {channel}: {} {}", why.code, why.reason),
            Output::Tracked { channel, call } => format!("- tracked in {channel} by call {}", call.0),
            Output::Untrack { channel, keys } => format!("- untrack {channel} {}", keys.join(" ")),
            Output::Close(why) => format!("closed: {} {}", why.code, why.reason),
        }
    }

    fn describe(&self, answer: &Answer) -> String {
        let refusal = match answer {
            Answer::Connect(Err(refusal))
            | Answer::Subscribe(Err(refusal))
            | Answer::Map(Err(refusal))
            | Answer::Publish(Err(refusal))
            | Answer::Rpc(Err(refusal))
            | Answer::History(Err(refusal))
            | Answer::Presence(Err(refusal))
            | Answer::PresenceStats(Err(refusal))
            | Answer::Track(Err(refusal))
            | Answer::Refresh(Err(refusal)) => refusal.clone(),
            Answer::Message(Err(why)) => Refusal::Disconnect(why.clone()),
            Answer::Refresh(Ok(refreshed)) => return self.describe_refreshed(refreshed),
            Answer::Connect(Ok(accepted)) => {
                return format!("accepted{}", self.describe_end(accepted.expire_at));
            }
            Answer::Subscribe(Ok(granted)) => {
                return format!("granted{}", self.describe_end(granted.expire_at));
            }
            Answer::Map(Ok(answer)) => return show_map_answer(answer),
            Answer::History(Ok(page)) => return format!("{} publications", page.publications.len()),
            Answer::Presence(Ok(found)) => return format!("{} members", found.presence.len()),
            Answer::PresenceStats(Ok(stats)) => return format!("{} clients", stats.num_clients),
            Answer::Track(Ok(tracked)) => return format!("tracked{}", self.describe_end(tracked.expire_at)),
            Answer::Rpc(Ok(data)) => return show_payload(data),
            Answer::Publish(Ok(())) | Answer::Message(Ok(())) => return "done".to_owned(),
        };
        match refusal {
            Refusal::Error(error) => format!("error {}", error.code.0),
            Refusal::Disconnect(why) => format!("disconnect {}", why.code),
        }
    }

    fn describe_refreshed(&self, refreshed: &Refreshed) -> String {
        if refreshed.expired {
            return "expired".to_owned();
        }
        format!("refreshed{}", self.describe_end(refreshed.expire_at))
    }

    fn describe_end(&self, end: Option<i64>) -> String {
        end.map_or_else(String::new, |end| format!(", for {} s", end - self.now.unix_seconds()))
    }
}

fn show_payload(payload: &Payload) -> String {
    String::from_utf8_lossy(payload.bytes()).into_owned()
}

/// What the subscription allows, if it allows anything.
fn show_allow(allow: Permissions) -> String {
    if allow.is_empty() { String::new() } else { format!(", allow: {allow:?}") }
}

fn show_at(position: &StreamPosition) -> String {
    format!("{} {}", position.offset, position.epoch.as_str())
}

/// What a client gets of a keyed channel, as far as it is not everything.
fn show_part(show: &MapShow) -> String {
    let up_to = show.up_to.map_or_else(String::new, |up_to| format!(", up to {up_to}"));
    let server = if show.server.is_some() { ", server's filter" } else { "" };
    let client = if show.client.is_some() { ", client's filter" } else { "" };
    let delta = if show.delta { ", delta" } else { "" };
    format!("{up_to}{server}{client}{delta}")
}

fn show_map_call(call: &MapCall) -> String {
    match call {
        MapCall::Grant(subscribe) => format!("grant {} of kind {}", subscribe.channel, subscribe.kind),
        MapCall::State { channel, query, show } => {
            let MapQuery { cursor, limit, ascending, .. } = query;
            let limit = limit.expect("pages are limited");
            let ascending = if *ascending { ", ascending" } else { "" };
            format!("state {channel} after {cursor:?}, limit {limit}{ascending}{}", show_part(show))
        }
        MapCall::Stream { channel, query, show } => {
            let since =
                query.since.as_ref().map_or_else(String::new, |since| format!(" since {}", show_at(since)));
            let limit = query.limit.expect("pages are limited");
            format!("stream {channel}{since}, limit {limit}{}", show_part(show))
        }
        MapCall::Attach(attach) => {
            let MapAttach { channel, since, delta, compact, filter, .. } = &**attach;
            let since = since.as_ref().map_or_else(String::new, |since| format!(" since {}", show_at(since)));
            let words =
                [(*delta, ", delta"), (*compact, ", compact"), (filter.is_some(), ", client's filter")];
            let words: String = words.into_iter().filter_map(|(said, word)| said.then_some(word)).collect();
            format!("attach {channel}{since}{words}")
        }
    }
}

fn show_map_answer(answer: &MapAnswer) -> String {
    match answer {
        MapAnswer::Granted(granted) => format!("granted, positioned: {}", granted.terms.positioned),
        MapAnswer::State(page) => {
            let (entries, at) = (page.entries.len(), show_at(&page.position));
            format!("{entries} entries at {at}, cursor {:?}", page.cursor)
        }
        MapAnswer::Stream(changes) => {
            format!("{} changes at {}", changes.publications.len(), show_at(&changes.position))
        }
        MapAnswer::Attached(_) => "attached".to_owned(),
    }
}

fn show_call(call: &Call) -> String {
    match call {
        Call::Connect(connect) => format!("connect {}", show_payload(&connect.data)),
        Call::Subscribe(subscribe) => format!("subscribe {}", subscribe.channel),
        Call::Attach { channel, .. } => format!("attach {channel}"),
        Call::Map(call) => show_map_call(call),
        Call::MapPublish { channel, key, data, channel_info, subscribed, allow } => {
            let (info, allow) = (channel_info.as_ref().map(show_payload), show_allow(*allow));
            let data = data.as_ref().map(show_payload);
            format!("key {key:?} of {channel}: {data:?}, subscribed: {subscribed}{allow}, info: {info:?}")
        }
        Call::Publish { channel, data, channel_info, subscribed, allow } => {
            let (info, allow) = (channel_info.as_ref().map(show_payload), show_allow(*allow));
            let data = show_payload(data);
            format!("publish {channel} {data}, subscribed: {subscribed}{allow}, info: {info:?}")
        }
        Call::History { command, subscribed, allow } => {
            let (limit, allow) = (command.limit, show_allow(*allow));
            format!("history {}, limit {limit}, subscribed: {subscribed}{allow}", command.channel)
        }
        Call::Presence { channel, subscribed, allow } => {
            format!("presence {channel}, subscribed: {subscribed}{}", show_allow(*allow))
        }
        Call::PresenceStats { channel, subscribed, allow } => {
            format!("presence_stats {channel}, subscribed: {subscribed}{}", show_allow(*allow))
        }
        Call::Rpc(rpc) => format!("rpc {:?} {}", rpc.method, show_payload(&rpc.data)),
        Call::Message(data) => format!("message {}", show_payload(data)),
        Call::Refresh { token } => format!("refresh {token}"),
        Call::Track(call) => {
            let keys = call.batches.iter().flat_map(|batch| &batch.items);
            let keys: Vec<_> = keys.map(|item| format!(" {} v{}", item.key, item.version)).collect();
            format!("track {}{}, not {:?}", call.channel, keys.concat(), call.untrack)
        }
        Call::SubRefresh { channel, token } => format!("sub_refresh {channel} {token}"),
    }
}

/// Seconds since 1970 UTC, so many seconds after the start of the test.
pub(crate) const fn after(seconds: i64) -> Option<i64> {
    Some(START + seconds)
}

/// A connection or its refresh that ends after so many seconds.
pub(crate) fn accepted(seconds: i64, client_side_refresh: bool) -> Accepted {
    Accepted { expire_at: after(seconds), client_side_refresh, ..Accepted::default() }
}

pub(crate) fn granted(seconds: i64, client_side_refresh: bool) -> Granted {
    Granted { expire_at: after(seconds), client_side_refresh, ..Granted::default() }
}

/// A subscription with a position that stands at this offset.
pub(crate) fn positioned(offset: u64) -> Granted {
    let position = StreamPosition { offset, epoch: "abcd".into() };
    let resumed = Resumed { position: position.clone(), live: position, ..Resumed::default() };
    Granted { positioned: true, recoverable: true, resumed: Some(Box::new(resumed)), ..Granted::default() }
}

pub(crate) fn refreshed(seconds: i64) -> Refreshed {
    Refreshed { expire_at: after(seconds), ..Refreshed::default() }
}

pub(crate) fn refused(error: ReplyError) -> Refusal {
    Refusal::Error(error)
}

pub(crate) fn thrown_out(why: Disconnect) -> Refusal {
    Refusal::Disconnect(why)
}

pub(crate) fn wish_subscribe(channel: &str) -> ServerOp {
    ServerOp::Subscribe { channel: Channel::from(channel), granted: Granted::default() }
}

pub(crate) fn wish_unsubscribe(channel: &str) -> ServerOp {
    ServerOp::Unsubscribe { channel: Channel::from(channel), why: Unsubscribe::SERVER }
}
