//! Which channels nodes have subscribers of (API-31).

use std::fmt;

use bytes::Bytes;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use prost::Message as _;
use tourbillon_types::Channel;

use crate::control;

/// The question which channels with subscribers match a pattern.
pub const CHANNELS: &str = "channels";

/// The longest pattern, in bytes.
const PATTERN: usize = 4096;

/// So many bytes of names, about, are one part of an answer: less than what any way between nodes has to carry.
const PART: usize = 256 * 1024;

/// Which channels are meant: a pattern with `*`, which stands for dots and slashes, too, `?`, `[a-z]` and `{a,b}`.
#[derive(Clone)]
pub struct ChannelPattern {
    text: String,
    /// A set of one: unlike a matcher's, its compilation may fail.
    set: GlobSet,
}

/// Why a pattern is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// It is longer than 4,096 bytes.
    #[error("pattern is too long")]
    Long,
    /// It cannot be read.
    #[error("pattern is malformed")]
    Malformed,
}

impl ChannelPattern {
    /// A pattern; the empty one means all channels.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let text = if text.is_empty() { "*" } else { text };
        if text.len() > PATTERN {
            return Err(PatternError::Long);
        }
        let glob = GlobBuilder::new(text).literal_separator(false).build();
        let set = glob.and_then(|glob| GlobSetBuilder::new().add(glob).build());
        let set = set.map_err(|_| PatternError::Malformed)?;
        Ok(Self { text: text.to_owned(), set })
    }

    /// Whether a channel is meant.
    #[must_use]
    pub fn matches(&self, channel: &str) -> bool {
        self.set.is_match(channel)
    }

    /// The data of the question.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        control::Channels { pattern: self.text.clone() }.encode_to_vec().into()
    }

    /// Reads such data; `None` if it is none.
    #[must_use]
    pub fn decode(bytes: Bytes) -> Option<Self> {
        Self::new(&control::Channels::decode(bytes).ok()?.pattern).ok()
    }
}

impl fmt::Debug for ChannelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChannelPattern").field(&self.text).finish()
    }
}

/// The data of an answer: channels with their numbers of subscribers, in parts that can be sent. There is at least one.
#[must_use]
pub fn encode_channels(channels: &[(Channel, usize)]) -> Vec<Bytes> {
    let (mut parts, mut part, mut size) = (Vec::new(), control::ChannelList::default(), 0);
    for (name, subscribers) in channels {
        let subscribers = u64::try_from(*subscribers).unwrap_or(u64::MAX);
        size += name.len() + 16;
        part.channels.push(control::ChannelCount { name: name.as_str().to_owned(), subscribers });
        if size >= PART {
            parts.push(std::mem::take(&mut part).encode_to_vec().into());
            size = 0;
        }
    }
    if size > 0 || parts.is_empty() {
        parts.push(part.encode_to_vec().into());
    }
    parts
}

/// Reads a part of such data; `None` if it is none.
#[must_use]
pub fn decode_channels(bytes: Bytes) -> Option<Vec<(Channel, usize)>> {
    let list = control::ChannelList::decode(bytes).ok()?;
    let sized = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    Some(list.channels.into_iter().map(|one| (Channel::from(one.name), sized(one.subscribers))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_the_api() {
        let matches = |pattern: &str, name: &str| ChannelPattern::new(pattern).expect("sound").matches(name);
        assert!(matches("", "any:thing") && matches("news:*", "news:a/b.c") && matches("{a,b}?", "b1"));
        assert!(!matches("news:*", "old:1") && !matches("[a-c]", "d"));
        assert_eq!(ChannelPattern::new(&"x".repeat(PATTERN + 1)).err(), Some(PatternError::Long));
        assert_eq!(ChannelPattern::new("[").err(), Some(PatternError::Malformed));
        let asked = ChannelPattern::decode(ChannelPattern::new("a?").expect("sound").encode());
        assert!(asked.is_some_and(|asked| asked.matches("ab") && !asked.matches("abc")));
    }

    #[test]
    fn many_channels_are_told_in_parts() {
        let channels: Vec<_> =
            (0..30_000).map(|number| (Channel::from(format!("channel-{number}")), number)).collect();
        let parts = encode_channels(&channels);
        assert!(parts.len() > 1 && parts.iter().all(|part| part.len() < 1 << 20));
        let heard: Vec<_> = parts.into_iter().flat_map(|part| decode_channels(part).expect("read")).collect();
        assert_eq!(heard, channels);
        assert_eq!(encode_channels(&[]).len(), 1, "that there are none is told, too");
        assert!(decode_channels(Bytes::from_static(b"\xff")).is_none());
    }
}
