//! Channels that the client asks for.

use tourbillon_protocol::reply::SubscribeResult;
use tourbillon_protocol::{Push, PushEvent, ReplyResult, command};
use tourbillon_recovery::Resumed;
use tourbillon_types::{Channel, Disconnect, Now, ReplyError, StreamPosition, Unsubscribe};

use crate::calls::{Call, Granted, Refusal};
use crate::io::{Output, Outputs};
use crate::map;
use crate::poll;
use crate::refresh::{Expiry, expiry};
use crate::session::{Asked, Purpose, Session};
use crate::subscriptions::{State, Subscription, Undo};

/// The only delta format there is (DELTA-01).
pub const FOSSIL: &str = "fossil";

/// The bit of a subscribe's `flag` by which a client asks for the channel's number in place of its name in pushes
/// (COMP-01, HID-26).
pub const CHANNEL_COMPACTION: i64 = 1;

/// A subscription that has begun.
pub(crate) struct Established {
    /// What the client gets to know of it.
    pub(crate) result: SubscribeResult,
    /// Where it stands then, if it has a position.
    pub(crate) live: Option<StreamPosition>,
}

impl Session {
    pub(crate) fn subscribe(
        &mut self,
        now: Now,
        id: u32,
        subscribe: Box<command::Subscribe>,
        out: &mut Outputs,
    ) {
        if subscribe.channel.is_empty() {
            return self.close(Disconnect::BAD_REQUEST, out);
        }
        if !matches!(subscribe.delta.as_str(), "" | FOSSIL) {
            return self.close(Disconnect::BAD_REQUEST, out);
        }
        if map::is_map(subscribe.kind) {
            return self.map_subscribe(now, id, subscribe, out);
        }
        self.forget_late(&subscribe.channel);
        if let Some(error) = self.check_subscribe(&subscribe) {
            return Self::refuse(id, error, out);
        }
        let channel = Channel::from(subscribe.channel.as_str());
        self.subscriptions.insert(channel.clone(), Subscription::default());
        let purpose = Purpose::Subscribe(Asked { id, channel, recovering: subscribe.recover });
        self.call(Call::Subscribe(subscribe), purpose, out);
    }

    fn check_subscribe(&self, subscribe: &command::Subscribe) -> Option<ReplyError> {
        if subscribe.channel.len() > self.config.channel_max_length {
            return Some(ReplyError::BAD_REQUEST);
        }
        if self.subscriptions.contains(&subscribe.channel) {
            return Some(ReplyError::ALREADY_SUBSCRIBED);
        }
        if self.subscriptions.len() >= self.config.channel_limit {
            return Some(ReplyError::LIMIT_EXCEEDED);
        }
        None
    }

    pub(crate) fn subscribe_answer(
        &mut self,
        now: Now,
        asked: Asked,
        answer: Result<Granted, Refusal>,
        out: &mut Outputs,
    ) {
        let Asked { id, channel, recovering } = asked;
        let granted = match answer {
            Ok(granted) => Granted { recovering: granted.recovering || recovering, ..granted },
            Err(refusal) => {
                let undo = self.forget(&channel);
                self.finish(id, Err(refusal), out);
                return self.finish_undo(undo, &channel, out);
            }
        };
        let Some(Established { result, live }) = self.establish(now, &channel, granted) else {
            // Granted, but expired already.
            let undo = self.forget(&channel);
            Self::refuse(id, ReplyError::EXPIRED, out);
            return self.finish_undo(undo, &channel, out);
        };
        self.finish(id, Ok(ReplyResult::Subscribe(Box::new(result))), out);
        out.push(Output::Open { channel: channel.clone(), live });
        self.carry_out_undo(&channel, out);
    }

    /// Marks a subscription as established and tells what the client gets to know of it. `None`: it is expired.
    pub(crate) fn establish(&mut self, now: Now, channel: &Channel, granted: Granted) -> Option<Established> {
        let expiry = expiry(now, granted.expire_at);
        if expiry == Expiry::Past {
            return None;
        }
        let grace = self.config.expired_sub_close_delay;
        let subscription = self.subscriptions.get_mut(channel)?;
        subscription.state = State::Subscribed;
        subscription.client_side_refresh = granted.client_side_refresh;
        subscription.allow = granted.allow;
        subscription.revocable = granted.revocable;
        subscription.filtered = granted.server_tags_filter.is_some();
        subscription.polled = granted.polled.is_some();
        subscription.arm(now, expiry, grace);
        if !granted.info.is_empty() {
            subscription.rare().info = granted.info;
        }
        let mut result = SubscribeResult {
            data: granted.data,
            positioned: granted.positioned || granted.recoverable,
            recoverable: granted.recoverable,
            was_recovering: granted.recovering,
            delta: granted.delta,
            id: granted.id,
            publish_debounce: granted.publish_debounce,
            ..SubscribeResult::default()
        };
        if let Some(epoch) = granted.polled {
            result.kind = poll::KIND;
            result.position.epoch = *epoch;
        }
        let live = granted.resumed.map(|resumed| {
            let Resumed { position, live, recovered, was_recovering, publications } = *resumed;
            result.position = position;
            result.recovered = recovered;
            result.was_recovering |= was_recovering;
            result.publications = publications;
            live
        });
        if let Expiry::In(ttl) = expiry
            && granted.client_side_refresh
        {
            result.expires = true;
            result.ttl = ttl;
        }
        self.deadlines.subscriptions = self.subscriptions.next_due();
        Some(Established { result, live })
    }

    pub(crate) fn unsubscribe(&mut self, now: Now, id: u32, channel: &str, out: &mut Outputs) {
        if channel.is_empty() {
            return self.close(Disconnect::BAD_REQUEST, out);
        }
        if self.defer_undo(now, channel, Undo::Client(id)) {
            self.waiting += 1;
            return;
        }
        if let Some(found) = self.subscriptions.get(channel) {
            // Of what is still being loaded, nobody was told.
            let subscribed = found.state == State::Subscribed;
            let channel = Channel::from(channel);
            self.forget(&channel);
            if subscribed {
                out.push(Output::Detach { channel, why: Unsubscribe::CLIENT });
            }
        }
        // Unsubscribing what is not subscribed succeeds (CMD-05).
        self.finish(id, Ok(ReplyResult::Unsubscribe), out);
    }

    /// Puts an unsubscribe off if the subscribe is still under way.
    pub(crate) fn defer_undo(&mut self, now: Now, channel: &str, undo: Undo) -> bool {
        let due = now.instant + self.config.unsubscribe_wait;
        let Some(subscription) = self.subscriptions.get_mut(channel) else { return false };
        if subscription.state != State::Subscribing {
            return false;
        }
        let rare = subscription.rare();
        rare.undo.push(undo);
        rare.due = rare.due.min(due);
        self.deadlines.subscriptions = self.subscriptions.next_due();
        true
    }

    /// Carries out the unsubscribes that waited for this subscribe to end.
    pub(crate) fn carry_out_undo(&mut self, channel: &Channel, out: &mut Outputs) {
        let waiting = self.subscriptions.get_mut(channel).and_then(|subscription| subscription.rare.as_mut());
        let undo = waiting.map(|rare| std::mem::take(&mut rare.undo)).unwrap_or_default();
        let Some(first) = undo.first() else { return };
        let why = match first {
            Undo::Client(_) => Unsubscribe::CLIENT,
            Undo::Server(why) => why.clone(),
        };
        self.forget(channel);
        out.push(Output::Detach { channel: channel.clone(), why });
        self.finish_undo(undo, channel, out);
    }

    /// Answers the unsubscribes that waited for a subscribe which is gone now.
    pub(crate) fn finish_undo(&mut self, undo: Vec<Undo>, channel: &Channel, out: &mut Outputs) {
        if self.is_closed() {
            return;
        }
        for undo in undo {
            match undo {
                Undo::Client(id) => {
                    self.waiting -= 1;
                    self.finish(id, Ok(ReplyResult::Unsubscribe), out);
                }
                Undo::Server(why) => push_unsubscribe(channel, why, out),
            }
        }
    }

    /// Removes a subscription and gives the unsubscribes that wait for it.
    pub(crate) fn forget(&mut self, channel: &Channel) -> Vec<Undo> {
        let removed = self.subscriptions.remove(channel);
        // What is being refreshed is not a later subscription to the same channel.
        for pending in &mut self.pending {
            if let Purpose::SubRefresh { channel: target, .. }
            | Purpose::Track { channel: target, .. }
            | Purpose::ServerSubRefresh { channel: target } = &mut pending.purpose
                && target.as_ref() == Some(channel)
            {
                *target = None;
            }
        }
        self.deadlines.subscriptions = self.subscriptions.next_due();
        removed.and_then(|(_, subscription)| subscription.rare).map(|rare| rare.undo).unwrap_or_default()
    }

    /// Forgets that a channel took too long to load: it is begun anew.
    pub(crate) fn forget_late(&mut self, channel: &str) {
        if self.subscriptions.get(channel).is_some_and(|found| found.state == State::Late) {
            self.subscriptions.remove(channel);
        }
    }

    /// Ends a subscription and tells the client.
    pub(crate) fn drop_subscription(&mut self, channel: &Channel, why: Unsubscribe, out: &mut Outputs) {
        let subscribed = self.is_subscribed(channel);
        self.forget(channel);
        if subscribed {
            out.push(Output::Detach { channel: channel.clone(), why: why.clone() });
        }
        push_unsubscribe(channel, why, out);
    }
}

pub(crate) fn push_unsubscribe(channel: &Channel, why: Unsubscribe, out: &mut Outputs) {
    let event = PushEvent::Unsubscribe(why);
    out.push(Output::Push(Push { channel: Some(channel.clone()), id: 0, event }));
}
