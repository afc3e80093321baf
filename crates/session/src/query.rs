//! Questions about channels: history, presence, presence_stats.

use tourbillon_protocol::command;
use tourbillon_types::{Channel, Disconnect, Permissions, ReplyError};

use crate::calls::Call;
use crate::io::Outputs;
use crate::session::{Purpose, Session};
use crate::subscriptions::State;

impl Session {
    pub(crate) fn history(&mut self, id: u32, history: command::History, out: &mut Outputs) {
        let Some((subscribed, allow)) = self.may_ask(id, &history.channel, out) else { return };
        if self.subscriptions.get(&history.channel).is_some_and(|found| found.filtered) {
            // The history holds what the server hides from the subscriber (TF-04).
            return Self::refuse(id, ReplyError::PERMISSION_DENIED, out);
        }
        let call = Call::History { command: Box::new(history), subscribed, allow };
        self.call(call, Purpose::History { id }, out);
    }

    pub(crate) fn presence(&mut self, id: u32, channel: &str, out: &mut Outputs) {
        let Some((subscribed, allow)) = self.may_ask(id, channel, out) else { return };
        let call = Call::Presence { channel: Channel::from(channel), subscribed, allow };
        self.call(call, Purpose::Presence { id }, out);
    }

    pub(crate) fn presence_stats(&mut self, id: u32, channel: &str, out: &mut Outputs) {
        let Some((subscribed, allow)) = self.may_ask(id, channel, out) else { return };
        let call = Call::PresenceStats { channel: Channel::from(channel), subscribed, allow };
        self.call(call, Purpose::PresenceStats { id }, out);
    }

    /// Whether the session is subscribed to the channel, and what that lets it do; `None`: there can be no such channel, and it is said so.
    fn may_ask(&mut self, id: u32, channel: &str, out: &mut Outputs) -> Option<(bool, Permissions)> {
        if channel.is_empty() {
            self.close(Disconnect::BAD_REQUEST, out);
            return None;
        }
        if channel.len() > self.config.channel_max_length {
            Self::refuse(id, ReplyError::BAD_REQUEST, out);
            return None;
        }
        let subscription = self.subscriptions.get(channel).filter(|found| found.state == State::Subscribed);
        Some((subscription.is_some(), subscription.map(|found| found.allow).unwrap_or_default()))
    }
}
