//! Commands that carry data to the application: publish, rpc, send.

use tourbillon_protocol::reply::RpcResult;
use tourbillon_protocol::{ReplyResult, command};
use tourbillon_types::{Channel, Disconnect, Payload, ReplyError};

use crate::calls::{Call, Refusal};
use crate::io::Outputs;
use crate::session::{Purpose, Session};
use crate::subscriptions::{State, Subscription};

/// What is published: into a stream, or a key (CMD-06, CMD-07).
const STREAM: i32 = 0;
const MAP: i32 = 1;

impl Session {
    pub(crate) fn publish(&mut self, id: u32, publish: command::Publish, out: &mut Outputs) {
        if publish.channel.is_empty() {
            return self.close(Disconnect::BAD_REQUEST, out);
        }
        if publish.channel.len() > self.config.channel_max_length || !matches!(publish.kind, STREAM | MAP) {
            return Self::refuse(id, ReplyError::BAD_REQUEST, out);
        }
        let subscription = self
            .subscriptions
            .get(&publish.channel)
            .filter(|subscription| subscription.state == State::Subscribed);
        let channel_info = subscription.map(Subscription::info);
        let subscribed = subscription.is_some();
        let allow = subscription.map(|subscription| subscription.allow).unwrap_or_default();
        let channel = Channel::from(publish.channel);
        let call = if publish.kind == MAP {
            let data = (!publish.removed).then_some(publish.data);
            Call::MapPublish { channel, key: publish.key, data, channel_info, subscribed, allow }
        } else {
            Call::Publish { channel, data: publish.data, channel_info, subscribed, allow }
        };
        self.call(call, Purpose::Publish { id }, out);
    }

    pub(crate) fn rpc(&mut self, id: u32, rpc: command::Rpc, out: &mut Outputs) {
        self.call(Call::Rpc(rpc), Purpose::Rpc { id }, out);
    }

    pub(crate) fn rpc_answer(&mut self, id: u32, answer: Result<Payload, Refusal>, out: &mut Outputs) {
        self.finish(id, answer.map(|data| ReplyResult::Rpc(RpcResult { data })), out);
    }

    pub(crate) fn message(&mut self, send: command::Send, out: &mut Outputs) {
        self.call(Call::Message(send.data), Purpose::Message, out);
    }
}
