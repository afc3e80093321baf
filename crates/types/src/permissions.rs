//! What somebody may do with a channel.

use std::fmt;
use std::ops::BitOr;

/// A set of things that somebody may do with a channel (PRO-40, PRO-41).
///
/// ```
/// use tourbillon_types::Permissions;
///
/// let both = Permissions::SUBSCRIBE | Permissions::PUBLISH;
/// assert!(both.has(Permissions::PUBLISH) && !both.has(Permissions::HISTORY));
/// assert_eq!(Permissions::named("pub"), Some(Permissions::PUBLISH));
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Permissions(u8);

impl Permissions {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// To subscribe: `sub`.
    pub const SUBSCRIBE: Self = Self(1);
    /// To publish: `pub`.
    pub const PUBLISH: Self = Self(2);
    /// To know who is there, and who comes and goes: `prs`.
    pub const PRESENCE: Self = Self(4);
    /// To know what was published, and to recover it: `hst`.
    pub const HISTORY: Self = Self(8);

    const NAMES: [(&'static str, Self); 4] =
        [("sub", Self::SUBSCRIBE), ("pub", Self::PUBLISH), ("prs", Self::PRESENCE), ("hst", Self::HISTORY)];

    /// The one of this name, as tokens have it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(of, _)| *of == name).map(|(_, one)| *one)
    }

    /// The set as bits, in the order of the constants, for whoever sends it on.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The set of these bits; those that stand for nothing are left out.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & (Self::SUBSCRIBE.0 | Self::PUBLISH.0 | Self::PRESENCE.0 | Self::HISTORY.0))
    }

    /// Whether all of `other` are among them.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for Permissions {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl FromIterator<Self> for Permissions {
    fn from_iter<I: IntoIterator<Item = Self>>(all: I) -> Self {
        all.into_iter().fold(Self::NONE, BitOr::bitor)
    }
}

impl fmt::Debug for Permissions {
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
    fn names_are_those_of_tokens() {
        let all: Permissions =
            ["sub", "pub", "prs", "hst"].into_iter().filter_map(Permissions::named).collect();
        assert_eq!(format!("{all:?}"), r#"["sub", "pub", "prs", "hst"]"#);
        assert_eq!(Permissions::named("SUB"), None);
        assert!(Permissions::NONE.is_empty() && !all.is_empty() && all.has(Permissions::NONE));
        assert!(!Permissions::PUBLISH.has(all));
        assert_eq!(Permissions::from_bits(all.bits()), all);
        assert_eq!(Permissions::from_bits(0xf0), Permissions::NONE);
    }
}
