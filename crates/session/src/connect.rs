//! The first command, and the connection's life after it.

use tourbillon_protocol::reply::ConnectResult;
use tourbillon_protocol::{Push, PushEvent, Reply, ReplyResult, command};
use tourbillon_types::{Channel, Direction, Disconnect, ErrorCode, Instant, Now, ReplyError, StreamPosition};

use crate::calls::{Accepted, Call, Refusal};
use crate::io::{Output, Outputs};
use crate::refresh::{Expiry, expiry};
use crate::session::{Phase, Purpose, Session};
use crate::subscribe::Established;

impl Session {
    pub(crate) fn connect(&mut self, id: u32, connect: Box<command::Connect>, out: &mut Outputs) {
        self.phase = Phase::Connecting;
        self.call(Call::Connect(connect), Purpose::Connect { id }, out);
    }

    pub(crate) fn connect_answer(
        &mut self,
        now: Now,
        id: u32,
        answer: Result<Accepted, Refusal>,
        out: &mut Outputs,
    ) {
        match answer {
            Ok(accepted) => self.accept(now, id, accepted, out),
            Err(Refusal::Disconnect(disconnect)) => self.close(disconnect, out),
            Err(Refusal::Error(error)) => self.refuse_connect(id, error, out),
        }
    }

    fn refuse_connect(&mut self, id: u32, error: ReplyError, out: &mut Outputs) {
        match self.init.direction {
            Direction::Unidirectional if !self.init.connect_errors => {
                self.close(self.disconnect_for(&error), out);
            }
            Direction::Unidirectional | Direction::Bidirectional => {
                self.phase = Phase::Unusable;
                self.wishes = None;
                Self::refuse(id, error, out);
            }
        }
    }

    fn accept(&mut self, now: Now, id: u32, accepted: Accepted, out: &mut Outputs) {
        let Accepted { expire_at, client_side_refresh, data, subscriptions } = accepted;
        if self.config.channel_limit < subscriptions.len() {
            return self.close(Disconnect::CHANNEL_LIMIT, out);
        }
        // One subscription that fails fails the connect (HID-21).
        let mut ends = subscriptions.iter().map(|(_, granted)| granted.expire_at).chain([expire_at]);
        if ends.any(|end| expiry(now, end) == Expiry::Past) {
            return self.refuse_connect(id, ReplyError::EXPIRED, out);
        }
        let mut result = ConnectResult {
            client: self.init.client.to_string(),
            version: self.config.version.clone(),
            data,
            ..ConnectResult::default()
        };
        self.client_side_refresh = client_side_refresh;
        if let Expiry::In(ttl) = expiry(now, expire_at) {
            self.arm_expiry(now, ttl);
            // Only a client that has to refresh is told when (CMD-02).
            result.expires = client_side_refresh;
            result.ttl = if client_side_refresh { ttl } else { 0 };
        }
        let mut opened: Vec<(Channel, Option<StreamPosition>)> = Vec::with_capacity(subscriptions.len());
        for (channel, granted) in subscriptions {
            let Some(subscribed) = self.add_server_side(now, &channel, granted) else { continue };
            let Established { result: subscribed, live } = subscribed;
            result.subs.push((channel.clone(), subscribed));
            opened.push((channel, live));
        }
        self.phase = Phase::Connected;
        self.deadlines.stale = Instant::MAX;
        if let Some(interval) = self.start_pings(now) {
            result.ping = interval;
            result.pong = !self.init.native_ping && self.expects_pong();
        }
        if self.config.include_server_time {
            result.time = now.unix_millis;
        }
        let unidirectional = self.init.direction == Direction::Unidirectional;
        if unidirectional || self.init.emulation {
            result.session = self.init.session.text().as_str().to_owned();
        }
        if self.init.emulation {
            result.node = self.config.node.to_string();
        }
        out.push(if unidirectional {
            Output::Push(Push { channel: None, id: 0, event: PushEvent::Connect(Box::new(result)) })
        } else {
            Output::Reply(Reply { id, result: Ok(ReplyResult::Connect(Box::new(result))) })
        });
        // Gates open after the reply is queued: it precedes every push (HID-20).
        for (channel, live) in opened {
            out.push(Output::Open { channel, live });
        }
        for wish in self.wishes.take().map(|wishes| *wishes).unwrap_or_default() {
            self.server(now, wish, out);
        }
    }

    /// What a unidirectional client, which gets no error replies, is told instead (UNI-08).
    fn disconnect_for(&self, error: &ReplyError) -> Disconnect {
        let mut configured = self.config.unidirectional_disconnects.iter();
        if let Some((_, disconnect)) = configured.find(|(code, _)| *code == error.code) {
            return disconnect.clone();
        }
        match error.code {
            ErrorCode::TOKEN_EXPIRED | ErrorCode::EXPIRED => Disconnect::CONNECTION_EXPIRED,
            ErrorCode::TOO_MANY_REQUESTS => Disconnect::TOO_MANY_REQUESTS,
            ErrorCode::PERMISSION_DENIED => Disconnect::PERMISSION_DENIED,
            _ => Disconnect::INTERNAL_SERVER_ERROR,
        }
    }
}
