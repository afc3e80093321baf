//! What becomes of what another node tells.

use tourbillon_types::UserId;

/// What became of what another node told ([`Hooks::notified`](crate::Hooks::notified)).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Noticed {
    /// It is not understood, or could not be noted, and whoever tells it learns that.
    NotUnderstood,
    /// It is noted.
    Noted,
    /// It is noted, and connections of this node are asked whether they may [stay](crate::Hooks::stays) before whoever
    /// tells it hears that: those of this user, or all.
    Recheck(Option<UserId>),
    /// A part of it could not be noted, and whoever tells it learns that. Connections are asked for the sake of the rest as
    /// with [`Recheck`](Self::Recheck).
    InPart(Option<UserId>),
}

impl Noticed {
    /// This, and connections of a user, or all, are asked whether they may stay.
    #[must_use]
    pub fn and_recheck(self, user: Option<UserId>) -> Self {
        match self {
            Self::Recheck(other) if other != user => Self::Recheck(None),
            _ => Self::Recheck(user),
        }
    }

    /// This, but a part of what was told could not be noted.
    #[must_use]
    pub fn in_part(self) -> Self {
        match self {
            Self::Recheck(user) | Self::InPart(user) => Self::InPart(user),
            Self::Noted | Self::NotUnderstood => Self::NotUnderstood,
        }
    }
}
