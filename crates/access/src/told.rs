//! What nodes tell each other of revocations.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tourbillon_types::{Channel, Text, UserId};

use crate::revocations::{Change, Revocation, Stamp};

/// What such a notice is about, as by [`Node::notify`](tourbillon_node::Node::notify).
pub const REVOCATIONS: &str = "revocations";

/// So many changes are one notice.
const TOGETHER: usize = 1024;

/// A change as it is told.
#[derive(Serialize, Deserialize)]
struct Wire {
    #[serde(flatten)]
    what: WireRevocation,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<i64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    forget: bool,
    /// Milliseconds since 1970 UTC.
    #[serde(default)]
    at: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireRevocation {
    User(String),
    Token(String),
    TokensOf {
        user: String,
        issued_before: i64,
    },
    /// Another name than the one before: who does not know of channels does not take it for that.
    SubscriptionTokensOf {
        user: String,
        channel: String,
        issued_before: i64,
    },
}

/// Changes as notices, to be told one after the other; none where nothing changed.
#[must_use]
pub fn notices(changes: Vec<Change>) -> Vec<Bytes> {
    let wire: Vec<Wire> = changes.into_iter().map(Wire::from).collect();
    // What has such members can be written.
    wire.chunks(TOGETHER).filter_map(|some| serde_json::to_vec(some).ok().map(Bytes::from)).collect()
}

/// The changes of a notice; `None` if it cannot be read.
pub(crate) fn changes(notice: &[u8]) -> Option<Vec<Change>> {
    let wire: Vec<Wire> = serde_json::from_slice(notice).ok()?;
    Some(wire.into_iter().map(Change::from).collect())
}

impl From<Change> for Wire {
    fn from(change: Change) -> Self {
        let (revocation, until, forget, at) = match change {
            Change::Keep(revocation, until, at) => (revocation, until, false, at),
            Change::Forget(revocation, at) => (revocation, None, true, at),
        };
        let what = match revocation {
            Revocation::User(user) => WireRevocation::User(user.as_str().to_owned()),
            Revocation::Token(id) => WireRevocation::Token(id.to_string()),
            Revocation::TokensOf { user, channel, issued_before } => {
                let user = user.as_str().to_owned();
                match channel.map(|channel| channel.as_str().to_owned()) {
                    None => WireRevocation::TokensOf { user, issued_before },
                    Some(channel) => WireRevocation::SubscriptionTokensOf { user, channel, issued_before },
                }
            }
        };
        Self { what, until, forget, at: at.millis() }
    }
}

impl From<Wire> for Change {
    fn from(wire: Wire) -> Self {
        let revocation = match wire.what {
            WireRevocation::User(user) => Revocation::User(UserId::from(user)),
            WireRevocation::Token(id) => Revocation::Token(Text::from(id)),
            WireRevocation::TokensOf { user, issued_before } => {
                Revocation::TokensOf { user: UserId::from(user), channel: None, issued_before }
            }
            WireRevocation::SubscriptionTokensOf { user, channel, issued_before } => {
                let channel = Some(Channel::from(channel));
                Revocation::TokensOf { user: UserId::from(user), channel, issued_before }
            }
        };
        let at = Stamp::from_millis(wire.at);
        if wire.forget { Self::Forget(revocation, at) } else { Self::Keep(revocation, wire.until, at) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens_of(channel: Option<Channel>) -> Revocation {
        Revocation::TokensOf { user: UserId::from("bob"), channel, issued_before: 5 }
    }

    #[test]
    fn what_is_told_is_understood() {
        let at = Stamp::from_millis;
        let all = vec![
            Change::Keep(Revocation::User(UserId::from("ann")), None, at(1)),
            Change::Keep(Revocation::Token(Text::from("t")), Some(7), at(0)),
            Change::Keep(tokens_of(None), Some(9), at(2)),
            Change::Keep(tokens_of(Some(Channel::from("a:b"))), Some(9), at(3)),
            Change::Forget(Revocation::User(UserId::from("eve")), at(i64::MAX)),
        ];
        let [notice] = notices(all.clone()).try_into().expect("one notice");
        assert_eq!(changes(&notice), Some(all));
        assert_eq!(notices(Vec::new()), Vec::<Bytes>::new());
        assert_eq!(changes(b"{}"), None);
    }

    #[test]
    fn much_is_told_in_parts() {
        let user = |number: usize| {
            Change::Forget(Revocation::User(UserId::from(number.to_string())), Stamp::from_millis(1))
        };
        let all: Vec<_> = (0..TOGETHER * 2 + 1).map(user).collect();
        let parts = notices(all.clone());
        assert_eq!(parts.len(), 3);
        let heard: Vec<_> = parts.iter().flat_map(|part| changes(part).expect("understood")).collect();
        assert_eq!(heard, all);
    }
}
