//! Polled channels: which keys the client tracks in them (CMD-16, CMD-17).

use std::sync::Arc;

use tourbillon_protocol::reply::SubRefreshResult;
use tourbillon_protocol::{ReplyResult, command};
use tourbillon_types::{Channel, Now, Publication, ReplyError};

use crate::calls::{Call, CallId, Refusal};
use crate::io::{Output, Outputs};
use crate::refresh::seconds_left;
use crate::session::{Purpose, Session};

/// What a polled subscription's reply says that it is (HID-38).
pub(crate) const KIND: i32 = 4;

/// What a subscription is refreshed for.
const TRACK: i32 = 1;
const UNTRACK: i32 = 2;

/// A client wants to track keys of a channel to which it is subscribed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackCall {
    /// The channel.
    pub channel: Channel,
    /// The keys, as the application signed them.
    pub batches: Vec<command::TrackBatch>,
    /// Keys that are not tracked after all.
    pub untrack: Vec<String>,
}

/// Keys are tracked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracked {
    /// When the client has to have them signed anew, seconds since 1970 UTC; `None` for never.
    pub expire_at: Option<i64>,
    /// Values that are at hand, and newer than those that the client has.
    pub items: Vec<Arc<Publication>>,
}

impl Session {
    /// Which keys of a polled channel are tracked.
    pub(crate) fn poll_refresh(&mut self, id: u32, refresh: command::SubRefresh, out: &mut Outputs) {
        let channel = Channel::from(refresh.channel);
        match refresh.kind {
            TRACK if refresh.track.iter().any(|batch| !batch.items.is_empty()) => {
                let purpose = Purpose::Track { id, channel: Some(channel.clone()) };
                let call = TrackCall { channel, batches: refresh.track, untrack: refresh.untrack };
                self.call(Call::Track(Box::new(call)), purpose, out);
            }
            UNTRACK if !refresh.untrack.is_empty() => {
                out.push(Output::Untrack { channel, keys: refresh.untrack });
                self.finish(id, Ok(ReplyResult::SubRefresh(SubRefreshResult::default())), out);
            }
            _ => Self::refuse(id, ReplyError::BAD_REQUEST, out),
        }
    }

    pub(crate) fn track_answer(
        &mut self,
        now: Now,
        (id, call): (u32, CallId),
        channel: Option<Channel>,
        answer: Result<Tracked, Refusal>,
        out: &mut Outputs,
    ) {
        let tracked = match (answer, channel) {
            (Ok(tracked), Some(channel)) => (tracked, channel),
            // The subscription is over.
            (Ok(_), None) => return Self::refuse(id, ReplyError::PERMISSION_DENIED, out),
            (Err(refusal), _) => return self.finish(id, Err(refusal), out),
        };
        let (Tracked { expire_at, items }, channel) = tracked;
        let ttl = expire_at.map_or(0, |at| seconds_left(now, at));
        let result = SubRefreshResult { expires: expire_at.is_some(), ttl, items };
        self.finish(id, Ok(ReplyResult::SubRefresh(result)), out);
        out.push(Output::Tracked { channel, call });
    }
}
