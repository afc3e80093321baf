//! What travels through channels, and where in a channel's stream it stands.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::{Channel, ClientId, Payload, UserId};

/// Text labels of a publication, delivered with it and matched by [`TagFilter`](crate::TagFilter).
pub type Tags = BTreeMap<String, String>;

/// The incarnation of a channel's stream: offsets of different epochs must not be compared. Empty when unknown.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Epoch(Option<Arc<str>>);

impl Epoch {
    /// The epoch that is not known.
    pub const UNKNOWN: Self = Self(None);

    /// The letters of a random epoch.
    const LETTERS: &[u8; 52] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

    /// A fresh epoch: eight random letters (MEM-01).
    ///
    /// # Panics
    ///
    /// When the operating system has no randomness to give, which supported systems never report after boot.
    #[must_use]
    pub fn random() -> Self {
        // 52^8 is less than a 300,000th of 2^64, so the remainder is as good as uniform.
        let mut number = u64::from_le_bytes(crate::id::random_bytes());
        let letters = std::array::from_fn::<u8, 8, _>(|_| {
            let letter = Self::LETTERS[usize::try_from(number % 52).unwrap_or_default()];
            number /= 52;
            letter
        });
        Self::from(std::str::from_utf8(&letters).unwrap_or_default())
    }

    /// The epoch as text, empty when unknown.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    /// Whether the epoch is not known.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        self.0.is_none()
    }
}

impl From<&str> for Epoch {
    fn from(text: &str) -> Self {
        if text.is_empty() { Self(None) } else { Self(Some(Arc::from(text))) }
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// A place in a channel's stream. The first publication of an epoch has offset 1; 0 is before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct StreamPosition {
    /// The number of the last publication before this place.
    pub offset: u64,
    /// The incarnation that the offset belongs to.
    pub epoch: Epoch,
}

/// Who is behind a publication, or present in a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientInfo {
    /// The user; empty when anonymous.
    pub user: UserId,
    /// The connection, or nothing when it is not one of ours.
    pub client: Option<ClientId>,
    /// What authentication attached to the connection.
    pub connection: Payload,
    /// What the subscription's authorisation attached to the channel.
    pub channel: Payload,
}

/// One message of a channel.
///
/// `Default` is an empty publication, meant for struct update syntax.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publication {
    /// The application's data.
    pub data: Payload,
    /// The publishing client; absent when the backend published.
    pub info: Option<Arc<ClientInfo>>,
    /// Its number in the stream, from 1; 0 outside a stream.
    pub offset: u64,
    /// The stream's epoch; carried on the wire only with offset 1 (HID-10).
    pub epoch: Epoch,
    /// Labels for filters and for the receiver.
    pub tags: Option<Arc<Tags>>,
    /// When it was published, milliseconds since 1970 UTC; 0 when unknown. Never sent to clients (HID-11).
    pub time: i64,
    /// The concrete channel, when the subscription is to a pattern.
    pub channel: Option<Channel>,
    /// Whether `data` is a delta against the previous publication the receiver has.
    pub delta: bool,
    /// The key, in keyed channels.
    pub key: Option<Arc<str>>,
    /// Whether the key is removed rather than set.
    pub removed: bool,
    /// The rank among the keys of an ordered keyed channel.
    pub score: i64,
    /// The key's version, in polled channels.
    pub version: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_epoch_is_the_unknown_one() {
        assert_eq!(Epoch::from(""), Epoch::UNKNOWN);
        assert_eq!(Epoch::default(), Epoch::UNKNOWN);
        assert!(Epoch::UNKNOWN.is_unknown());
        assert_eq!(Epoch::UNKNOWN.as_str(), "");
        let epoch = Epoch::from("abcd");
        assert!(!epoch.is_unknown());
        assert_eq!((epoch.as_str(), format!("{epoch:?}")), ("abcd", r#""abcd""#.to_owned()));
    }

    #[test]
    fn epochs_are_equal_when_their_texts_are() {
        assert_eq!(Epoch::from("abcd"), Epoch::from("abcd"));
        assert_ne!(Epoch::from("abcd"), Epoch::from("abce"));
        let epoch = Epoch::from("abcd");
        assert_eq!(epoch.clone().as_str().as_ptr(), epoch.as_str().as_ptr());
    }

    #[test]
    fn random_epochs_are_eight_letters() {
        let epochs: std::collections::HashSet<_> = (0..100).map(|_| Epoch::random()).collect();
        assert_eq!(epochs.len(), 100);
        for epoch in epochs {
            assert_eq!(epoch.as_str().len(), 8);
            assert!(epoch.as_str().bytes().all(|letter| letter.is_ascii_alphabetic()));
        }
    }

    #[test]
    fn a_stream_begins_before_its_first_publication() {
        assert_eq!(StreamPosition::default(), StreamPosition { offset: 0, epoch: Epoch::UNKNOWN });
    }

    #[test]
    fn an_empty_publication_is_outside_any_stream() {
        let publication = Publication::default();
        assert!(publication.data.is_empty() && publication.info.is_none() && publication.tags.is_none());
        assert_eq!((publication.offset, publication.time), (0, 0));
        assert!(publication.epoch.is_unknown() && !publication.delta && !publication.removed);
    }

    #[test]
    fn debug_output_does_not_show_the_data() {
        let publication = Publication { data: Payload::from("secret"), ..Publication::default() };
        assert!(!format!("{publication:?}").contains("secret"));
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn positions_are_small() {
        assert!(size_of::<Epoch>() <= 16);
        assert!(size_of::<StreamPosition>() <= 24);
        assert!(size_of::<Publication>() <= 144, "a publication takes {} bytes", size_of::<Publication>());
    }
}
