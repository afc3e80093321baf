//! The driver of one connection: ties the session to its transport, its calls and the hub.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tourbillon_broker::BoxFuture;
use tourbillon_hub::encode;
use tourbillon_protocol::{Command, Commands, Push, PushEvent, Reply};
use tourbillon_session::{Input, Output, Outputs, Refreshed, Refusal, ServerOp, Session, SessionInit};
use tourbillon_transport::{Held, Message, PingMode, Received, TransportInfo, TransportReader};
use tourbillon_types::{
    Channel, Direction, Disconnect, Instant, Now, Payload, PushKinds, ReplyError, TagMatcher, Tags,
    Unsubscribe,
};

use crate::attachment::Attachment;
use crate::boot::Boot;
use crate::calls::{Caller, Completed, Effect};
use crate::close::Closing;
use crate::conn::{Conn, Done, Told, Wish};
use crate::hooks::{Client, ClientCommand, Judgement};
use crate::members::Memberships;
use crate::sources::Sourced;
use crate::underway::{Calls, Farewells};
use tourbillon_metrics::{Frame, Tally};

/// How many commands one connection may bring forward before others get their turn.
const BUDGET: u32 = 256;

/// The future of one connection, from its acceptance to its end. Holds what only it touches, and little of that: a
/// node has one for every connection.
pub(crate) struct Driver<R> {
    conn: Arc<Conn>,
    /// `None` once the connection is closed.
    reader: Option<R>,
    session: Session,
    /// What is left of the frame being worked on.
    commands: Commands,
    calls: Calls,
    /// How many of the calls tell the application of ends of subscriptions: they outlive the connection.
    farewells: u32,
    /// Until the connection connects.
    boot: Option<Box<Boot>>,
    /// Once the connection is accepted. It has an entry with its user for as long as it is here.
    client: Option<Arc<Client>>,
    memberships: Memberships,
    suppressed: PushKinds,
    native_ping: bool,
    /// Whether the last command is worked on is not known yet: those behind it wait.
    judging: bool,
    unflushed: Unflushed,
    /// Boxed again: one word in every connection that is not about to end.
    closing: Option<Box<BoxFuture<'static, ()>>>,
    /// Ends with the connection.
    _held: Option<Held>,
}

/// What the application says of a command.
enum Admission {
    Granted,
    Refused,
    Later(Judgement),
}

/// What was queued since the last flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Unflushed {
    Nothing,
    /// Messages, which may wait as long as any.
    Messages,
    /// Something that the transport wants to write now.
    Urgent,
}

// Nothing in it is ever pinned in place.
impl<R> Unpin for Driver<R> {}

impl<R: TransportReader> Driver<R> {
    pub(crate) fn new(conn: Arc<Conn>, reader: R, info: &TransportInfo, mut boot: Boot) -> Self {
        let init = SessionInit {
            client: conn.client,
            session: conn.session,
            direction: info.direction,
            native_ping: info.ping == PingMode::Native,
            emulation: info.emulation,
            connect_errors: info.connect_errors,
        };
        let held = boot.take_held();
        let shared = &conn.shared;
        let session = Session::new(shared.session_config.clone(), init, shared.clock.now());
        Self {
            conn,
            reader: Some(reader),
            session,
            commands: Commands::default(),
            calls: Calls::default(),
            farewells: 0,
            boot: Some(Box::new(boot)),
            client: None,
            memberships: Memberships::default(),
            suppressed: info.suppressed,
            native_ping: init.native_ping,
            judging: false,
            unflushed: Unflushed::Nothing,
            closing: None,
            _held: held,
        }
    }

    /// Does everything that can be done now. An error: the connection ends.
    fn run(&mut self, cx: &mut Context<'_>) -> Result<(), Disconnect> {
        let mut budget = BUDGET;
        // What is done without a wait is done at one time: clocks cost more than most inputs.
        let now = self.conn.shared.clock.now();
        loop {
            self.handle_wishes(now)?;
            let mut progress = false;
            while let Some(completed) = self.calls.poll_next(cx) {
                progress = true;
                let (asked, began) = (completed.asked, completed.began);
                self.complete(now, completed)?;
                self.measure(asked, began, now);
            }
            while let Some(sourced) = self.memberships.next_sourced(cx, &mut budget) {
                progress = true;
                self.deliver(now, sourced)?;
            }
            if self.session.ready() && !self.judging {
                if budget == 0 {
                    cx.waker().wake_by_ref();
                    return Ok(());
                }
                if let Some(input) = self.poll_input(cx) {
                    budget -= 1;
                    progress = true;
                    let (asked, calls) = (asked_by(&input), self.calls.len());
                    match self.admit(now, &input)? {
                        Admission::Granted => self.handle(now, input, None)?,
                        Admission::Later(judgement) => self.judge(now, input, judgement),
                        Admission::Refused => {}
                    }
                    if self.calls.len() == calls {
                        // Answered without anybody being asked.
                        self.measure(asked, now.instant, now);
                    }
                }
            }
            if !progress {
                return Ok(());
            }
        }
    }

    /// Whatever does not come from the client: faults of the connection, the server's wishes, deadlines.
    fn handle_wishes(&mut self, now: Now) -> Result<(), Disconnect> {
        if let Some(told) = self.conn.told(self.session.is_connecting())? {
            for Told { op, labels, done } in *told {
                if !labels.is_none_or(|labels| self.has_labels(&labels)) {
                    continue;
                }
                match op {
                    Wish::Op(op) => {
                        if let ServerOp::Refresh(Refreshed { info: Some(info), .. }) = &op {
                            self.change_info(info.clone());
                        }
                        self.handle(now, Input::Server(op), done)?;
                    }
                    Wish::Recheck => self.recheck(now)?,
                }
            }
        }
        if now.instant >= self.conn.stalled_until() {
            return Err(Disconnect::WRITE_ERROR);
        }
        self.memberships.renew(now.instant);
        if now.instant >= self.session.next_deadline() {
            if self.judging {
                self.session.excuse(now);
            }
            self.handle(now, Input::Tick, None)?;
        }
        Ok(())
    }

    /// Whether the labels of the connection are such (PRO-44). One that is not accepted yet has none.
    fn has_labels(&self, labels: &TagMatcher) -> bool {
        static NONE: Tags = Tags::new();
        let client = self.client.as_deref();
        labels.matches(client.and_then(|client| client.terms.labels()).unwrap_or(&NONE))
    }

    /// The client's next input, if it is there.
    fn poll_input(&mut self, cx: &mut Context<'_>) -> Option<Input> {
        loop {
            if let Some(command) = self.commands.next_with_size(&self.conn.shared.limits) {
                let Ok((command, size)) = command else { return Some(Input::Malformed) };
                let frame = Frame::of_request(&command.request);
                self.conn.shared.metrics.command(self.conn.kind().transport, frame, size);
                return Some(Input::Command(command));
            }
            let Poll::Ready(received) = self.reader.as_mut()?.poll_recv(cx) else { return None };
            let end = match received {
                Ok(Received::Message(frame)) => {
                    self.commands = Commands::new(self.conn.variant.encoding, frame);
                    continue;
                }
                Ok(Received::WantsWrite) => {
                    self.unflushed = Unflushed::Urgent;
                    continue;
                }
                Ok(Received::Pong) => return Some(Input::NativePong),
                Ok(Received::End) => {
                    self.reader = None;
                    Disconnect::CONNECTION_CLOSED
                }
                Err(error) => {
                    tracing::debug!(client = %self.conn.client, %error, "connection failed");
                    error.disconnect()
                }
            };
            return Some(Input::Server(ServerOp::Disconnect(end)));
        }
    }

    /// Whether the application lets a command of an accepted client pass. If not, it is answered here, and the session
    /// does not hear of it. A decorator of the other hooks could not do this: it is asked only about what the session
    /// found to be in order, not at all about the end of a subscription, and never hears of errors.
    fn admit(&mut self, now: Now, input: &Input) -> Result<Admission, Disconnect> {
        let (Some(client), Input::Command(command)) = (&self.client, input) else {
            return Ok(Admission::Granted);
        };
        // What a unidirectional client says is ignored.
        let Some(asked) =
            ClientCommand::of(command).filter(|_| client.direction != Direction::Unidirectional)
        else {
            return Ok(Admission::Granted);
        };
        match self.conn.shared.hooks.command(client, asked, now) {
            Ok(judgement) => Ok(judgement.map_or(Admission::Granted, Admission::Later)),
            Err(Refusal::Error(error)) => self.refuse(now, command, error).map(|()| Admission::Refused),
            Err(Refusal::Disconnect(why)) => Err(why),
        }
    }

    /// It takes a while to say whether a command is worked on. Those behind it wait.
    fn judge(&mut self, now: Now, input: Input, judgement: Judgement) {
        let Input::Command(command) = input else { return };
        let caller = Caller { shared: &self.conn.shared, conn: &self.conn, client: None, now };
        self.calls.push(caller.judge(Box::new(command), judgement));
        self.judging = true;
    }

    /// Whether a command is worked on has been said after a while.
    fn judged(&mut self, now: Now, command: Command, verdict: Result<(), Refusal>) -> Result<(), Disconnect> {
        self.judging = false;
        match verdict {
            Ok(()) => self.handle(now, Input::Command(command), None),
            Err(Refusal::Error(error)) => self.refuse(now, &command, error),
            Err(Refusal::Disconnect(why)) => Err(why),
        }
    }

    fn refuse(&mut self, now: Now, command: &Command, error: ReplyError) -> Result<(), Disconnect> {
        self.send_reply(
            now,
            &Reply { id: command.id, result: Err(error) },
            Frame::of_request(&command.request),
        )
    }

    /// Asks the application whether this connection may stay, and the subscriptions that it has by tokens.
    fn recheck(&mut self, now: Now) -> Result<(), Disconnect> {
        let Some(client) = &self.client else { return Ok(()) };
        self.conn.shared.hooks.stays(client, now)?;
        self.recheck_tokens(now)
    }

    /// Ends the subscriptions whose tokens do not count any more (PRO-35, PRO-36).
    fn recheck_tokens(&mut self, now: Now) -> Result<(), Disconnect> {
        let Some(client) = &self.client else { return Ok(()) };
        let hooks = &self.conn.shared.hooks;
        let ended = self
            .memberships
            .ended_by_token(|channel, token| hooks.subscription_stays(client, channel, token, now).err());
        for (channel, why) in ended {
            self.handle(now, Input::Server(ServerOp::Unsubscribe { channel, why }), None)?;
        }
        Ok(())
    }

    fn handle(&mut self, now: Now, input: Input, done: Option<Done>) -> Result<(), Disconnect> {
        self.handle_as(asked_by(&input), now, input, done)
    }

    /// A command has been answered: tells how long it took, if that is measured.
    fn measure(&self, asked: Frame, began: Instant, now: Now) {
        let shared = &self.conn.shared;
        let Some(measured) = shared.metrics.measured() else { return };
        if matches!(asked, Frame::Unknown | Frame::ClientPong) {
            return;
        }
        // What began in this turn takes less than the turn.
        let ended = if began == now.instant { shared.clock.instant() } else { now.instant };
        measured.command(asked, ended - began);
    }

    /// `asked`: which command an error would be the answer to.
    fn handle_as(
        &mut self,
        asked: Frame,
        now: Now,
        input: Input,
        done: Option<Done>,
    ) -> Result<(), Disconnect> {
        let mut outputs = Outputs::new();
        self.session.handle(now, input, &mut outputs);
        let carried_out = self.carry_out(now, &mut outputs, asked, done);
        if self.settle_loading() && carried_out.is_ok() {
            return self.recheck_begun(now);
        }
        carried_out
    }

    /// A call came to its end.
    fn complete(&mut self, now: Now, completed: Completed) -> Result<(), Disconnect> {
        let Completed { answer, asked, effect, began, done, .. } = completed;
        let (mut attached, mut all_attached) = (None, Vec::new());
        let (mut accepted, mut changed, mut begun) = (false, false, false);
        match effect {
            Effect::None => {}
            Effect::Farewell => self.farewells -= 1,
            Effect::Attached(attachment) => attached = Some(attachment),
            Effect::Renewed { info, meta, token, rights } => {
                if let (Some(client), Some(meta)) = (&mut self.client, meta) {
                    Arc::make_mut(client).meta = meta.detached().into();
                }
                if let (Some(client), Some(token)) = (&mut self.client, token) {
                    Arc::make_mut(client).token = Some(token);
                }
                changed = rights.is_some();
                if let (Some(client), Some(rights)) = (&mut self.client, rights) {
                    let client = Arc::make_mut(client);
                    client.terms = client.terms.with_rights(rights);
                }
                if let Some(info) = info {
                    self.change_info(info);
                }
            }
            Effect::Prolonged { channel, info, token } => {
                // A subscription that followed the one that was asked about is left alone.
                let goes_on = answer.as_ref().is_some_and(|(id, _)| self.session.prolongs(*id));
                if let Some(info) = info.filter(|_| goes_on) {
                    self.memberships.change_channel_info(&channel, &info);
                }
                if let Some(token) = token.filter(|_| goes_on) {
                    self.memberships.add_token(&channel, token);
                    begun = true;
                }
            }
            Effect::Judged(command, verdict) => {
                let (asked, calls) = (Frame::of_request(&command.request), self.calls.len());
                self.judged(now, *command, verdict)?;
                if self.calls.len() == calls {
                    self.measure(asked, began, now);
                }
            }
            Effect::Accepted { client, registration, attached } => {
                tracing::debug!(
                    target: "tourbillon::_events::connect",
                    client = %client.id, user = %client.user, transport = client.transport,
                );
                accepted = true;
                self.client = Some(client);
                registration.keep();
                all_attached = attached;
                // It is found by its user from now on; what was said of it before found nobody.
                self.recheck(now)?;
            }
        }
        let Some((id, answer)) = answer else { return Ok(()) };
        let handled = self.handle_as(asked, now, Input::Answer(id, answer), None);
        for attachment in attached.into_iter().chain(all_attached) {
            // A channel that the session did not take over is detached by the attachment's end.
            if self.session.is_subscribed(&attachment.channel) {
                self.take_over(attachment);
                begun = true;
            } else if self.session.holds(&attachment.channel) {
                self.memberships.load(attachment);
            }
        }
        if accepted && !self.session.is_connected() {
            // The session turned down what the application accepted, such as a token that has expired meanwhile.
            self.end_entry();
            self.client = None;
        }
        drop(done);
        handled?;
        if begun {
            self.recheck_begun(now)
        } else if changed {
            self.revoke(now)
        } else {
            Ok(())
        }
    }

    /// Ends subscriptions that were granted by what has been revoked or lost since the application was asked.
    fn recheck_begun(&mut self, now: Now) -> Result<(), Disconnect> {
        self.recheck_tokens(now)?;
        self.revoke(now)
    }

    /// The session has a channel from now on, until it says otherwise.
    fn take_over(&mut self, mut attachment: Attachment) {
        if let Some(token) = attachment.token.take() {
            self.memberships.add_token(&attachment.channel, token);
        }
        if let Some(begun) = attachment.begun.take() {
            self.memberships.add_source(&attachment.channel, begun);
        }
        if let Some(name) = self.conn.shared.hub.name(&attachment.channel) {
            self.session.share_name(&name);
        }
        if let Some(membership) = attachment.keep() {
            self.memberships.add(membership);
        }
    }

    /// Carries out what came of the application's source for a subscription.
    fn deliver(&mut self, now: Now, sourced: Sourced) -> Result<(), Disconnect> {
        match sourced {
            Sourced::End(channel, why) => {
                self.handle(now, Input::Server(ServerOp::Unsubscribe { channel, why }), None)
            }
            Sourced::Publication { .. } if self.suppressed.has(PushKinds::PUBLICATION) => Ok(()),
            Sourced::Publication { channel, number, publication } => {
                let encoded = encode::publication(self.conn.variant, &channel, number, &publication);
                self.send(encoded.map_err(|_| Disconnect::INAPPROPRIATE_PROTOCOL)?);
                Ok(())
            }
        }
    }

    /// Takes over what was loaded, and detaches what the session holds no more. Whether anything was taken over.
    fn settle_loading(&mut self) -> bool {
        let loaded = self.memberships.loaded(&self.session);
        let any = !loaded.is_empty();
        for attachment in loaded {
            self.take_over(attachment);
        }
        any
    }

    /// Ends subscriptions that the connection's rights do not hold any more.
    fn revoke(&mut self, now: Now) -> Result<(), Disconnect> {
        let rights = self.client.as_ref().and_then(|client| client.terms.rights().cloned());
        let Some(rights) = rights else { return Ok(()) };
        let lost =
            self.session.revocable().filter(|channel| !rights.holds(channel)).cloned().collect::<Vec<_>>();
        for channel in lost {
            let unsubscribe = ServerOp::Unsubscribe { channel, why: Unsubscribe::SERVER };
            self.handle(now, Input::Server(unsubscribe), None)?;
        }
        Ok(())
    }

    /// What is told of this connection to others changed.
    fn change_info(&mut self, info: Payload) {
        if let Some(client) = &mut self.client {
            let client = Arc::make_mut(client);
            let info = info.detached();
            client.info = info.clone().into();
            self.memberships.change_info(&info);
        }
    }

    fn carry_out(
        &mut self,
        now: Now,
        outputs: &mut Outputs,
        asked: Frame,
        mut done: Option<Done>,
    ) -> Result<(), Disconnect> {
        for output in outputs.drain() {
            match output {
                Output::Reply(reply) => self.send_reply(now, &reply, asked)?,
                Output::Push(push) => self.send_push(&push)?,
                Output::Ping => {
                    if self.native_ping {
                        self.conn.native_ping();
                        self.unflushed = Unflushed::Urgent;
                    }
                    if self.session.pings_in_messages() {
                        self.send(self.conn.shared.ping(self.conn.variant));
                    }
                }
                Output::Answered(after) => {
                    if let Some(measured) = self.conn.shared.metrics.measured() {
                        measured.ping(self.conn.kind().transport, after);
                    }
                    if let Some(client) = &self.client {
                        self.conn.shared.hooks.answered(client, after);
                    }
                }
                Output::Call(id, call) => {
                    let boot = if self.client.is_none() { self.boot.take() } else { None };
                    let (shared, client) = (&self.conn.shared, self.client.as_ref());
                    let caller = Caller { shared, conn: &self.conn, client, now };
                    let call = caller.start(id, call, boot, done.take());
                    self.calls.push(call);
                }
                Output::Open { channel, live } => {
                    if self.conn.shared.hub.open(&channel, &self.conn, live) {
                        self.conn.shared.checks.add(channel);
                    }
                }
                Output::Filter { channel, filter } => {
                    self.conn.shared.hub.filter(&channel, &self.conn, filter)
                }
                Output::Tracked { channel, call } => {
                    let shared = &self.conn.shared;
                    shared.poller.tracked(shared, &self.conn, &channel, call.0);
                }
                Output::Untrack { channel, keys } => {
                    self.conn.shared.poller.untrack(&self.conn, &channel, &keys);
                }
                Output::Detach { channel, why } => self.detach(now, channel, why),
                Output::Close(why) => return Err(why),
            }
        }
        Ok(())
    }

    fn send(&mut self, message: Message) {
        self.conn.enqueue(message);
        self.unflushed = self.unflushed.max(Unflushed::Messages);
    }

    /// Has what was queued written: now, or with what others queue until the delay for that is over.
    fn flush(&mut self) {
        let unflushed = std::mem::replace(&mut self.unflushed, Unflushed::Nothing);
        let waits = self.conn.shared.flushers.is_delayed() && !self.conn.shared.config.reply_without_queue;
        match unflushed {
            Unflushed::Nothing => {}
            Unflushed::Messages if waits => self.conn.mark_dirty(),
            Unflushed::Messages | Unflushed::Urgent => {
                let mut tally = Tally::default();
                self.conn.flush(&mut tally);
                self.conn.shared.metrics.take(&mut tally);
            }
        }
    }

    /// `asked`: which command it answers, where the reply does not tell.
    fn send_reply(&mut self, now: Now, reply: &Reply, asked: Frame) -> Result<(), Disconnect> {
        let frame = reply.result.as_ref().map_or(asked, Frame::of_reply);
        if let Err(error) = &reply.result {
            self.conn.shared.metrics.reply_error(asked, error.code.0);
        }
        let encoded = encode::reply(self.conn.variant.encoding, frame, reply)
            .map_err(|_| Disconnect::INAPPROPRIATE_PROTOCOL)?;
        self.send(encoded);
        match (&reply.result, &self.client) {
            (Err(error), Some(client)) => self.conn.shared.hooks.erred(client, error, now),
            _ => Ok(()),
        }
    }

    fn send_push(&mut self, push: &Push) -> Result<(), Disconnect> {
        if let PushEvent::Unsubscribe(why) = &push.event {
            self.conn.shared.metrics.server_unsubscribe(why.code);
        }
        if self.suppressed.has(push.event.kind()) {
            return Ok(());
        }
        let encoded =
            encode::push(self.conn.variant, push).map_err(|_| Disconnect::INAPPROPRIATE_PROTOCOL)?;
        self.send(encoded);
        Ok(())
    }

    fn detach(&mut self, now: Now, channel: Channel, why: Unsubscribe) {
        self.conn.shared.detach(&channel, &self.conn);
        self.memberships.end(&channel);
        let Some(client) = self.client.clone() else { return };
        let caller = Caller { shared: &self.conn.shared, conn: &self.conn, client: None, now };
        let call = caller.unsubscribed(client, channel, why);
        self.calls.push_farewell(call);
        self.farewells += 1;
    }

    /// Takes the connection out of everything that others see, and gives the future that closes it.
    fn begin_close(&mut self, why: Disconnect) -> BoxFuture<'static, ()> {
        tracing::debug!(
            target: "tourbillon::_events::disconnect",
            client = %self.conn.client, code = why.code, reason = %why.reason,
        );
        if why != Disconnect::CONNECTION_CLOSED {
            let transport = self.conn.kind().transport;
            self.conn.shared.metrics.server_disconnect(transport, why.code);
            let event = PushEvent::Disconnect(why.clone());
            // Without a payload of the application it can always be encoded.
            let _ = self.send_push(&Push { channel: None, id: 0, event });
        }
        let farewells = self.leave();
        let (queue, writer) = self.conn.take_writer();
        let closing = Closing {
            shared: self.conn.shared.clone(),
            queue,
            offered: self.conn.offered(),
            transport: self.conn.kind().transport,
            writer,
            write_timeout: self.conn.write_timeout(),
            channels: self.session.channels().cloned().collect(),
            client: self.client.take(),
            why,
        };
        let end = closing.run(self.reader.take());
        if farewells.is_empty() {
            return Box::pin(end);
        }
        Box::pin(async move {
            tokio::join!(farewells.taken(), end);
        })
    }
}

/// Which command an input is.
fn asked_by(input: &Input) -> Frame {
    match input {
        Input::Command(command) => Frame::of_request(&command.request),
        _ => Frame::Unknown,
    }
}

impl<R> Driver<R> {
    /// Ends the entry with the user of a client that is about to go.
    fn end_entry(&self) {
        if let Some(client) = &self.client {
            self.conn.shared.registry.leave(&client.user, &self.conn);
            self.conn.shared.metrics.disconnected(self.conn.kind(), client.terms.labels());
        }
    }

    /// Takes the connection out of everything that others see. What is left to tell the application is given.
    fn leave(&mut self) -> Farewells {
        let farewells = self.calls.give_up(std::mem::take(&mut self.farewells));
        for channel in self.session.channels() {
            self.conn.shared.detach(channel, &self.conn);
        }
        self.memberships.clear();
        self.end_entry();
        self.conn.shared.registry.remove(&self.conn);
        self.conn.shared.wheel.forget(&self.conn);
        farewells
    }
}

impl<R: TransportReader> Future for Driver<R> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.closing.is_none() {
            this.conn.register_driver(cx);
            match this.run(cx) {
                Err(why) => this.closing = Some(Box::new(this.begin_close(why))),
                Ok(()) => {
                    this.flush();
                    let due = this.session.next_deadline().min(this.conn.stalled_until());
                    this.conn.rest_until(due.min(this.memberships.due()));
                    return Poll::Pending;
                }
            }
        }
        match &mut this.closing {
            Some(closing) => closing.as_mut().as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

impl<R> Drop for Driver<R> {
    /// A driver that is dropped half way, by a panic or by the end of the runtime, leaves nothing behind.
    fn drop(&mut self) {
        if self.closing.is_none() {
            drop(self.leave());
            drop(self.conn.take_writer());
        }
    }
}

#[cfg(test)]
mod tests {
    use tourbillon_transport::memory::MemoryReader;

    use super::*;

    #[test]
    fn what_an_idle_connection_takes_is_small() {
        // The two allocations that a node makes for every connection, beside the transport's own. With a reader of 88
        // bytes the first is a task of 512, the next size of which is 640.
        assert!(size_of::<Driver<MemoryReader>>() <= 320, "{}", size_of::<Driver<MemoryReader>>());
        assert!(size_of::<Conn>() <= 184, "{}", size_of::<Conn>());
    }
}
