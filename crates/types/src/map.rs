//! Keyed channels: what they keep, and how they are asked for it (features MAP).
//!
//! A keyed channel holds one value for each of its keys, its *state*. Changes of it are publications with a
//! [key](crate::Publication::key): a value, or the [removal](crate::Publication::removed) of one. Where the channel has
//! a stream, changes have offsets and can be caught up with.

use std::sync::Arc;
use std::time::Duration;

use crate::{Publication, StreamPosition};

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
}
