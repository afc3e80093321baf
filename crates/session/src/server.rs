//! Channels that the server gives and takes.

use tourbillon_protocol::reply::SubscribePush;
use tourbillon_protocol::{Push, PushEvent};
use tourbillon_types::{Channel, Disconnect, Now, Unsubscribe};

use crate::calls::{Call, Granted, Refusal};
use crate::io::{Output, Outputs};
use crate::session::{Purpose, Session};
use crate::subscribe::{Established, push_unsubscribe};
use crate::subscriptions::{State, Subscription, Undo};

impl Session {
    /// Adds a subscription made at connect, attached already. `None`: it is a repetition, or expired.
    pub(crate) fn add_server_side(
        &mut self,
        now: Now,
        channel: &Channel,
        granted: Granted,
    ) -> Option<Established> {
        if self.subscriptions.contains(channel) {
            return None;
        }
        let subscription = Subscription { server_side: true, ..Subscription::default() };
        self.subscriptions.insert(channel.clone(), subscription);
        let result = self.establish(now, channel, granted);
        if result.is_none() {
            self.forget(channel);
        }
        result
    }

    pub(crate) fn server_subscribe(&mut self, channel: Channel, granted: Granted, out: &mut Outputs) {
        self.forget_late(&channel);
        if self.subscriptions.contains(&channel) {
            return;
        }
        if self.subscriptions.len() >= self.config.channel_limit {
            return self.close(Disconnect::CHANNEL_LIMIT, out);
        }
        let subscription = Subscription { server_side: true, ..Subscription::default() };
        self.subscriptions.insert(channel.clone(), subscription);
        let call = Call::Attach { channel: channel.clone(), granted };
        self.call(call, Purpose::ServerSubscribe { channel }, out);
    }

    pub(crate) fn server_subscribe_answer(
        &mut self,
        now: Now,
        channel: Channel,
        answer: Result<Granted, Refusal>,
        out: &mut Outputs,
    ) {
        let granted = match answer {
            Ok(granted) => granted,
            Err(refusal) => {
                let undo = self.forget(&channel);
                if let Refusal::Disconnect(disconnect) = refusal {
                    return self.close(disconnect, out);
                }
                return self.finish_undo(undo, &channel, out);
            }
        };
        let Some(Established { result, live }) = self.establish(now, &channel, granted) else {
            // Granted, but expired already.
            let undo = self.forget(&channel);
            return self.finish_undo(undo, &channel, out);
        };
        let push = SubscribePush {
            recoverable: result.recoverable,
            position: result.position,
            positioned: result.positioned,
            data: result.data,
        };
        let event = PushEvent::Subscribe(push);
        out.push(Output::Push(Push { channel: Some(channel.clone()), id: 0, event }));
        // The push has no place for what was recovered, so it follows (REC-12). Left out, it would be lost in silence.
        for publication in result.publications {
            let event = PushEvent::Publication(publication);
            out.push(Output::Push(Push { channel: Some(channel.clone()), id: 0, event }));
        }
        out.push(Output::Open { channel: channel.clone(), live });
        self.carry_out_undo(&channel, out);
    }

    /// A position is lost. What is being subscribed has none yet, and what is gone needs none.
    pub(crate) fn insufficient(&mut self, channel: &Channel, out: &mut Outputs) {
        let Some(subscription) = self.subscriptions.get(channel) else { return };
        if subscription.state != State::Subscribed {
            return;
        }
        if subscription.server_side {
            self.close(Disconnect::INSUFFICIENT_STATE, out);
        } else {
            self.drop_subscription(channel, Unsubscribe::INSUFFICIENT_STATE, out);
        }
    }

    pub(crate) fn server_unsubscribe(
        &mut self,
        now: Now,
        channel: &Channel,
        why: Unsubscribe,
        out: &mut Outputs,
    ) {
        if self.defer_undo(now, channel, Undo::Server(why.clone())) {
            return;
        }
        if self.subscriptions.contains(channel) {
            self.drop_subscription(channel, why, out);
        } else {
            push_unsubscribe(channel, why, out);
        }
    }
}
