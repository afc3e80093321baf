//! What kind of subscription a channel has.

use crate::ReplyError;

/// What kind of subscription a channel has (SUBT-01 to SUBT-05).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SubscriptionKind {
    /// What is published goes to whoever is there.
    #[default]
    Stream,
    /// A value for each key.
    Map,
    /// A value for each key, which are the clients that are there.
    MapClients,
    /// A value for each key, which are the users that are there.
    MapUsers,
    /// Values that the server polls, for the keys that its clients track.
    SharedPoll,
}

impl SubscriptionKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Stream, Self::Map, Self::MapClients, Self::MapUsers, Self::SharedPoll];

    /// Its number, by which a client asks for it.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::Stream => 0,
            Self::Map => 1,
            Self::MapClients => 2,
            Self::MapUsers => 3,
            Self::SharedPoll => 4,
        }
    }

    /// The one of this number.
    #[must_use]
    pub fn of_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// Its name among the options (`subscription_type`).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Map => "map",
            Self::MapClients => "map_clients",
            Self::MapUsers => "map_users",
            Self::SharedPoll => "shared_poll",
        }
    }

    /// Whether such a channel is keyed: it has a state, which its subscribers load.
    #[must_use]
    pub const fn is_map(self) -> bool {
        matches!(self, Self::Map | Self::MapClients | Self::MapUsers)
    }

    /// Whether a client may have such a channel that asks for the kind of this number.
    ///
    /// # Errors
    ///
    /// 107 for a polled channel that is asked for otherwise, 108 for any other that is asked for as a polled one, 103 for
    /// any other mistake.
    pub const fn check(self, asked: i32) -> Result<(), ReplyError> {
        if asked == self.number() {
            return Ok(());
        }
        Err(match self {
            Self::SharedPoll => ReplyError::BAD_REQUEST,
            _ if asked == Self::SharedPoll.number() => ReplyError::NOT_AVAILABLE,
            _ => ReplyError::PERMISSION_DENIED,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_another_kind_is_refused() {
        for kind in SubscriptionKind::ALL {
            for asked in [-1, 0, 1, 2, 3, 4, 5] {
                let expected = match (kind, asked) {
                    _ if SubscriptionKind::of_number(asked) == Some(kind) => Ok(()),
                    (SubscriptionKind::SharedPoll, _) => Err(ReplyError::BAD_REQUEST),
                    (_, 4) => Err(ReplyError::NOT_AVAILABLE),
                    _ => Err(ReplyError::PERMISSION_DENIED),
                };
                assert_eq!(kind.check(asked), expected, "{kind:?} {asked}");
            }
        }
        let maps: Vec<_> = SubscriptionKind::ALL.into_iter().filter(|kind| kind.is_map()).collect();
        assert_eq!(
            maps.iter().map(|kind| kind.as_str()).collect::<Vec<_>>(),
            ["map", "map_clients", "map_users"]
        );
    }
}
