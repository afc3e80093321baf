//! Keyed channels: what they keep, and how they are asked for it (features MAP).
//!
//! A keyed channel holds one value for each of its keys, its *state*. Changes of it are publications with a
//! [key](crate::Publication::key): a value, or the [removal](crate::Publication::removed) of one. Where the channel has
//! a stream, changes have offsets and can be caught up with.

use std::sync::Arc;
use std::time::Duration;

use crate::{Channel, Publication, StreamPosition};

/// The stream of changes that a keyed channel keeps (MAP-03).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapStream {
    /// The most changes kept; at least 1.
    pub size: usize,
    /// How long after the last change the stream is kept.
    pub ttl: Duration,
}

impl Default for MapStream {
    /// 100 changes for a minute.
    fn default() -> Self {
        Self { size: 100, ttl: Duration::from_secs(60) }
    }
}

/// What a keyed channel keeps, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapPolicy {
    /// How long a key is kept after it was last set; `None`: until it is removed.
    pub key_ttl: Option<Duration>,
    /// The stream of changes; `None` keeps none: there are no positions then, and who was away reads the state again.
    pub stream: Option<MapStream>,
    /// How long epoch, offset and whatever goes with them are kept after the last use; `None`: for ever. When they are
    /// gone, so is the state: the channel begins anew.
    pub meta_ttl: Option<Duration>,
}

impl MapPolicy {
    /// Keys that end by themselves, and no stream (`ephemeral`).
    #[must_use]
    pub const fn ephemeral(key_ttl: Duration) -> Self {
        Self { key_ttl: Some(key_ttl), stream: None, meta_ttl: Some(key_ttl) }
    }

    /// Keys that end by themselves, and a stream (`recoverable`). Positions are kept for ten times as long as the stream,
    /// and not for less than a key (MAP-04).
    #[must_use]
    pub fn recoverable(key_ttl: Duration, stream: MapStream) -> Self {
        let meta_ttl = stream.ttl.saturating_mul(10).max(key_ttl);
        Self { key_ttl: Some(key_ttl), stream: Some(stream), meta_ttl: Some(meta_ttl) }
    }

    /// Keys that stay until they are removed, and a stream (`persistent`).
    #[must_use]
    pub const fn persistent(stream: MapStream) -> Self {
        Self { key_ttl: None, stream: Some(stream), meta_ttl: None }
    }

    /// Whether changes have positions.
    #[must_use]
    pub const fn is_positioned(&self) -> bool {
        self.stream.is_some()
    }
}

/// On which condition a key is set (API-34).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KeyMode {
    /// Always.
    #[default]
    Replace,
    /// Only if it is not there (`if_new`).
    IfNew,
    /// Only if it is there (`if_exists`).
    IfExists,
}

/// A question to a keyed channel's state. `Default` asks for all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapQuery {
    /// Where the page before ended ([`MapPage::cursor`]); empty for the first one.
    pub cursor: String,
    /// The most entries wanted; 0 asks for the position only, `None` for all there are.
    pub limit: Option<usize>,
    /// Only the entry of this key. Then there are no pages.
    pub key: Option<Arc<str>>,
    /// In ascending order, for stores whose entries have one; those of others have the order of their pages.
    pub ascending: bool,
}

impl MapQuery {
    /// Asks where the channel stands and for nothing else.
    #[must_use]
    pub fn position() -> Self {
        Self { limit: Some(0), ..Self::default() }
    }

    /// Asks for one entry.
    #[must_use]
    pub fn of_key(key: impl Into<Arc<str>>) -> Self {
        Self { key: Some(key.into()), ..Self::default() }
    }

    /// Asks for a page of at most so many entries, after the one that ended there.
    #[must_use]
    pub fn page(cursor: impl Into<String>, limit: usize) -> Self {
        Self { cursor: cursor.into(), limit: Some(limit), ..Self::default() }
    }
}

/// A part of a keyed channel's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapPage {
    /// The entries: each with its key, and with the offset at which it was set.
    pub entries: Vec<Arc<Publication>>,
    /// Where the channel stood when they were read. Without a stream the offset is 0.
    pub position: StreamPosition,
    /// Where to go on; empty when this was the end.
    pub cursor: String,
}

/// How many entries a page has that a client asks for (MAP-10, HID-40).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSizes {
    /// Where the client does not say.
    pub default: usize,
    /// At least.
    pub min: usize,
    /// At most; above `min`, it counts.
    pub max: usize,
}

impl Default for PageSizes {
    fn default() -> Self {
        Self { default: 100, min: 100, max: 1000 }
    }
}

impl PageSizes {
    /// The size of a page for which a client asks for `limit` entries; nothing, or less, is no wish.
    #[must_use]
    pub fn of(&self, limit: i32) -> usize {
        let wanted = usize::try_from(limit).ok().filter(|wanted| *wanted > 0);
        wanted.unwrap_or(self.default).max(self.min).min(self.max).max(1)
    }
}

/// Keyed channels in which a subscription shows itself (OPT-25, MAP-13). By default in none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapPresence {
    /// In this one under its client's id, until it ends.
    pub clients: Option<Channel>,
    /// In this one under its user's id. The key stays until it ends by itself: the user may be there otherwise (HID-43).
    pub users: Option<Channel>,
}

impl MapPresence {
    /// Whether there is none.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.clients.is_none() && self.users.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_outlive_stream_and_keys() {
        let stream = MapStream::default();
        assert_eq!((stream.size, stream.ttl), (100, Duration::from_secs(60)));
        let short = MapPolicy::recoverable(Duration::from_secs(30), stream);
        assert_eq!(short.meta_ttl, Some(Duration::from_secs(600)));
        let long = MapPolicy::recoverable(Duration::from_secs(3600), stream);
        assert_eq!(long.meta_ttl, Some(Duration::from_secs(3600)));
        assert!(long.is_positioned() && MapPolicy::persistent(stream).is_positioned());
        assert!(!MapPolicy::ephemeral(Duration::from_secs(1)).is_positioned());
    }

    #[test]
    fn map_10_hid_40_pages_are_neither_small_nor_large() {
        let pages = PageSizes::default();
        let sizes = [(0, 100), (-5, 100), (1, 100), (100, 100), (101, 101), (1000, 1000), (i32::MAX, 1000)];
        for (asked, size) in sizes {
            assert_eq!(pages.of(asked), size, "{asked}");
        }
        let small = PageSizes { default: 3, min: 1, max: 5 };
        assert_eq!([0, 1, 4, 6].map(|asked| small.of(asked)), [3, 1, 4, 5]);
        assert_eq!(PageSizes { default: 0, min: 0, max: 0 }.of(0), 1, "a page without entries leads nowhere");
    }
}
