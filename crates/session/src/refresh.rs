//! Expiry of the connection and of subscriptions, and how it is put off (LIFE-02..05, CMD-14, CMD-15).

use std::time::Duration;

use tourbillon_protocol::reply::{RefreshResult, SubRefreshResult};
use tourbillon_protocol::{Push, PushEvent, ReplyResult, command};
use tourbillon_types::{Channel, Disconnect, Instant, Now, ReplyError, Unsubscribe};

use crate::calls::{Call, Refreshed, Refusal};
use crate::io::{Output, Outputs};
use crate::session::{Purpose, Session};
use crate::subscriptions::{State, Subscription};

/// The longest time to live: 365 days (LIFE-05).
const MAX_TTL: u32 = 365 * 24 * 3600;

/// When something expires, seen from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    Never,
    /// In so many seconds, at least 1.
    In(u32),
    Past,
}

pub(crate) fn expiry(now: Now, expire_at: Option<i64>) -> Expiry {
    let Some(expire_at) = expire_at else { return Expiry::Never };
    match seconds_left(now, expire_at) {
        0 => Expiry::Past,
        ttl => Expiry::In(ttl),
    }
}

/// How many seconds there are until then, as clients are told; none if it is past.
pub(crate) fn seconds_left(now: Now, expire_at: i64) -> u32 {
    let ttl = expire_at.saturating_sub(now.unix_seconds()).max(0);
    u32::try_from(ttl).unwrap_or(MAX_TTL).min(MAX_TTL)
}

impl Session {
    /// Notes that the connection expires in `ttl` seconds.
    pub(crate) fn arm_expiry(&mut self, now: Now, ttl: u32) {
        let grace = if self.client_side_refresh { self.config.expired_close_delay } else { Duration::ZERO };
        self.deadlines.expiry = now.instant + Duration::from_secs(u64::from(ttl)) + grace;
    }

    /// The connection expired: its grace is over, or the server asks whether it goes on.
    pub(crate) fn expire(&mut self, now: Now, out: &mut Outputs) {
        if self.client_side_refresh {
            return self.close(Disconnect::CONNECTION_EXPIRED, out);
        }
        // If the answer does not come, the next round closes.
        if self.pending.iter().any(|pending| matches!(pending.purpose, Purpose::ServerRefresh)) {
            return self.close(Disconnect::CONNECTION_EXPIRED, out);
        }
        self.deadlines.expiry = now.instant + self.config.expired_close_delay.max(Duration::from_secs(1));
        self.call(Call::Refresh { token: String::new() }, Purpose::ServerRefresh, out);
    }

    pub(crate) fn server_refresh_answer(
        &mut self,
        now: Now,
        answer: Result<Refreshed, Refusal>,
        out: &mut Outputs,
    ) {
        match answer {
            Ok(Refreshed { expired: true, .. }) => self.close(Disconnect::CONNECTION_EXPIRED, out),
            Ok(refreshed) => match expiry(now, refreshed.expire_at) {
                Expiry::Never => self.deadlines.expiry = Instant::MAX,
                Expiry::In(ttl) => self.arm_expiry(now, ttl),
                Expiry::Past => self.close(Disconnect::CONNECTION_EXPIRED, out),
            },
            Err(Refusal::Disconnect(disconnect)) => self.close(disconnect, out),
            Err(Refusal::Error(_)) => self.close(Disconnect::INTERNAL_SERVER_ERROR, out),
        }
    }

    pub(crate) fn refresh(&mut self, id: u32, refresh: command::Refresh, out: &mut Outputs) {
        if refresh.token.is_empty() || !self.client_side_refresh {
            return self.close(Disconnect::BAD_REQUEST, out);
        }
        self.call(Call::Refresh { token: refresh.token }, Purpose::Refresh { id }, out);
    }

    pub(crate) fn refresh_answer(
        &mut self,
        now: Now,
        id: u32,
        answer: Result<Refreshed, Refusal>,
        out: &mut Outputs,
    ) {
        let result = answer.and_then(|refreshed| {
            if refreshed.expired {
                return Err(Disconnect::CONNECTION_EXPIRED.into());
            }
            match expiry(now, refreshed.expire_at) {
                Expiry::Past => Err(ReplyError::EXPIRED.into()),
                Expiry::Never => {
                    self.deadlines.expiry = Instant::MAX;
                    Ok(ReplyResult::Refresh(RefreshResult::default()))
                }
                Expiry::In(ttl) => {
                    self.arm_expiry(now, ttl);
                    Ok(ReplyResult::Refresh(RefreshResult { expires: true, ttl, ..RefreshResult::default() }))
                }
            }
        });
        self.finish(id, result, out);
    }

    /// The server API changes when the connection expires (API-25).
    pub(crate) fn server_set_expiry(&mut self, now: Now, refreshed: &Refreshed, out: &mut Outputs) {
        let mut push = RefreshResult::default();
        match expiry(now, refreshed.expire_at) {
            _ if refreshed.expired => return self.close(Disconnect::CONNECTION_EXPIRED, out),
            Expiry::Past => return self.close(Disconnect::CONNECTION_EXPIRED, out),
            Expiry::Never => self.deadlines.expiry = Instant::MAX,
            Expiry::In(ttl) => {
                self.arm_expiry(now, ttl);
                push.expires = true;
                push.ttl = ttl;
            }
        }
        out.push(Output::Push(Push { channel: None, id: 0, event: PushEvent::Refresh(push) }));
    }

    pub(crate) fn sub_refresh(&mut self, id: u32, refresh: command::SubRefresh, out: &mut Outputs) {
        if refresh.channel.is_empty() {
            return self.close(Disconnect::BAD_REQUEST, out);
        }
        let subscription = self.subscriptions.get(&refresh.channel);
        let Some(subscription) = subscription.filter(|subscription| subscription.state == State::Subscribed)
        else {
            return Self::refuse(id, ReplyError::PERMISSION_DENIED, out);
        };
        if refresh.kind != 0 {
            if subscription.polled {
                return self.poll_refresh(id, refresh, out);
            }
            // There are no keys to be tracked.
            return Self::refuse(id, ReplyError::NOT_AVAILABLE, out);
        }
        if !subscription.client_side_refresh {
            return self.close(Disconnect::BAD_REQUEST, out);
        }
        if refresh.token.is_empty() {
            return Self::refuse(id, ReplyError::BAD_REQUEST, out);
        }
        let channel = Channel::from(refresh.channel);
        let call = Call::SubRefresh { channel: channel.clone(), token: refresh.token };
        self.call(call, Purpose::SubRefresh { id, channel: Some(channel) }, out);
    }

    pub(crate) fn sub_refresh_answer(
        &mut self,
        now: Now,
        id: u32,
        channel: Option<&Channel>,
        answer: Result<Refreshed, Refusal>,
        out: &mut Outputs,
    ) {
        let result = answer.and_then(|refreshed| match self.prolong(now, channel, refreshed, out) {
            Expiry::Past => Err(ReplyError::EXPIRED.into()),
            Expiry::Never => Ok(ReplyResult::SubRefresh(SubRefreshResult::default())),
            Expiry::In(ttl) => {
                Ok(ReplyResult::SubRefresh(SubRefreshResult { expires: true, ttl, items: Vec::new() }))
            }
        });
        self.finish(id, result, out);
    }

    pub(crate) fn server_sub_refresh_answer(
        &mut self,
        now: Now,
        channel: Option<Channel>,
        answer: Result<Refreshed, Refusal>,
        out: &mut Outputs,
    ) {
        let Some(channel) = channel else { return };
        if let Some(subscription) = self.subscriptions.get_mut(&channel) {
            subscription.rare().refreshing = false;
        }
        match answer {
            Ok(refreshed) => {
                if self.prolong(now, Some(&channel), refreshed, out) == Expiry::Past {
                    self.end_expired(&channel, out);
                }
            }
            Err(Refusal::Disconnect(disconnect)) => self.close(disconnect, out),
            Err(Refusal::Error(_)) => self.end_expired(&channel, out),
        }
    }

    /// Notes a subscription's new expiry, unless it is past. A subscription that is gone meanwhile is left alone.
    fn prolong(
        &mut self,
        now: Now,
        channel: Option<&Channel>,
        refreshed: Refreshed,
        out: &mut Outputs,
    ) -> Expiry {
        let expiry = if refreshed.expired { Expiry::Past } else { expiry(now, refreshed.expire_at) };
        let grace = self.config.expired_sub_close_delay;
        let Some(channel) = channel else { return expiry };
        let Some(subscription) = self.subscriptions.get_mut(channel) else { return expiry };
        if expiry != Expiry::Past {
            subscription.arm(now, expiry, grace);
            subscription.allow = refreshed.allow.unwrap_or(subscription.allow);
            if let Some(info) = refreshed.info {
                subscription.rare().info = info;
            }
            if let Some(filter) = refreshed.server_tags_filter {
                subscription.filtered = true;
                out.push(Output::Filter { channel: channel.clone(), filter });
            }
            self.deadlines.subscriptions = self.subscriptions.next_due();
        }
        expiry
    }

    /// Subscriptions are due: their grace is over, the server asks whether they go on, or an unsubscribe has waited
    /// too long.
    pub(crate) fn expire_subscriptions(&mut self, now: Now, out: &mut Outputs) {
        let due: Vec<Channel> = self
            .subscriptions
            .iter()
            .filter(|(_, subscription)| now.instant >= subscription.due())
            .map(|(channel, _)| channel.clone())
            .collect();
        let grace = self.config.expired_sub_close_delay;
        for channel in due {
            if self.is_closed() {
                return;
            }
            let Some(subscription) = self.subscriptions.get_mut(&channel) else { continue };
            match subscription.state {
                // The subscribe did not end in time for an unsubscribe that waits for it (HID-24).
                State::Subscribing => return self.close(Disconnect::INTERNAL_SERVER_ERROR, out),
                State::Loading | State::Late => {
                    // The client has given up, or is slow: it is told if it goes on (HID-41).
                    subscription.state = State::Late;
                    subscription.rare = None;
                    continue;
                }
                State::Subscribed => {}
            }
            if subscription.client_side_refresh || subscription.rare().refreshing {
                self.end_expired(&channel, out);
            } else {
                let rare = subscription.rare();
                rare.refreshing = true;
                rare.due = now.instant + grace.max(Duration::from_secs(1));
                let call = Call::SubRefresh { channel: channel.clone(), token: String::new() };
                self.call(call, Purpose::ServerSubRefresh { channel: Some(channel) }, out);
            }
        }
        self.deadlines.subscriptions = self.subscriptions.next_due();
    }

    /// Ends a subscription that expired (LIFE-04).
    fn end_expired(&mut self, channel: &Channel, out: &mut Outputs) {
        match self.subscriptions.get(channel) {
            None => {}
            Some(Subscription { server_side: true, .. }) => self.close(Disconnect::SUBSCRIPTION_EXPIRED, out),
            Some(_) => self.drop_subscription(channel, Unsubscribe::EXPIRED, out),
        }
    }
}

impl Subscription {
    /// Notes when something has to be done about this subscription's expiry.
    pub(crate) fn arm(&mut self, now: Now, expiry: Expiry, grace: Duration) {
        let Expiry::In(ttl) = expiry else {
            if let Some(rare) = &mut self.rare {
                rare.due = Instant::MAX;
            }
            return;
        };
        let grace = if self.client_side_refresh { grace } else { Duration::ZERO };
        self.rare().due = now.instant + Duration::from_secs(u64::from(ttl)) + grace;
    }
}
