//! Kinds of pushes.

use std::fmt;
use std::ops::{BitOr, Sub};

/// A set of kinds of what a server tells a client unasked: what a transport leaves out, say (PUSH-10).
///
/// A push that tells of a changed expiry is of no kind: it is always sent.
///
/// ```
/// use tourbillon_types::PushKinds;
///
/// let kinds = PushKinds::JOIN | PushKinds::LEAVE;
/// assert!(kinds.has(PushKinds::JOIN) && !kinds.has(PushKinds::PUBLICATION));
/// assert_eq!(kinds - PushKinds::JOIN, PushKinds::LEAVE);
/// assert_eq!(kinds.bits(), 24);
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct PushKinds(u8);

impl PushKinds {
    /// No kind.
    pub const NONE: Self = Self(0);
    /// The connection is accepted; unidirectional only.
    pub const CONNECT: Self = Self(1);
    /// The connection ends. It ends without the push, too.
    pub const DISCONNECT: Self = Self(2);
    /// The server subscribed the connection.
    pub const SUBSCRIBE: Self = Self(4);
    /// Somebody came to a channel.
    pub const JOIN: Self = Self(8);
    /// Somebody left a channel.
    pub const LEAVE: Self = Self(16);
    /// A subscription ended.
    pub const UNSUBSCRIBE: Self = Self(32);
    /// Something was published in a channel. What a reply holds is no push.
    pub const PUBLICATION: Self = Self(64);
    /// A message outside any channel.
    pub const MESSAGE: Self = Self(128);

    const NAMES: [(&'static str, Self); 8] = [
        ("connect", Self::CONNECT),
        ("disconnect", Self::DISCONNECT),
        ("subscribe", Self::SUBSCRIBE),
        ("join", Self::JOIN),
        ("leave", Self::LEAVE),
        ("unsubscribe", Self::UNSUBSCRIBE),
        ("publication", Self::PUBLICATION),
        ("message", Self::MESSAGE),
    ];

    /// The set with these bits, which all have a meaning.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// One bit for each kind: those of Centrifugo's library.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether one of `other` is among them at least.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for PushKinds {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Sub for PushKinds {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl fmt::Debug for PushKinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(Self::NAMES.iter().filter(|(_, one)| self.has(*one)).map(|(name, _)| name))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_bit() {
        let bits = PushKinds::NAMES.map(|(_, kind)| kind.bits());
        assert_eq!(bits, [1, 2, 4, 8, 16, 32, 64, 128]);
        let some = PushKinds::from_bits(1 | 64);
        assert_eq!(format!("{some:?}"), r#"["connect", "publication"]"#);
        assert!(some.has(PushKinds::PUBLICATION | PushKinds::JOIN) && !some.has(PushKinds::JOIN));
        assert!(!some.has(PushKinds::NONE) && (some - some).is_empty() && PushKinds::default().is_empty());
    }
}
