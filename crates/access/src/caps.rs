//! What a connection's token lets it do (PRO-40).

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tourbillon_auth::{Capability, Matching, Pattern, PatternError};
use tourbillon_node::Rights;
use tourbillon_types::Permissions;

/// The capabilities of a connection. They grant and never take away: what may be done in a channel is the union of all
/// elements that match it.
#[derive(Clone, Debug, Default)]
pub struct Caps(Vec<(Matcher, Permissions)>);

#[derive(Clone, Debug)]
enum Matcher {
    Exact(Box<str>),
    Wildcard(Box<str>),
    Regex(Arc<Pattern>),
}

impl Matcher {
    fn matches(&self, channel: &str) -> bool {
        match self {
            Self::Exact(name) => **name == *channel,
            Self::Wildcard(pattern) => is_match(pattern, channel),
            Self::Regex(pattern) => pattern.is_match(channel),
        }
    }
}

/// Whether a text matches a pattern in which `*` stands for any text. Takes time proportional to both lengths.
fn is_match(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut rest = rest;
    // The earliest place for each part is as good as any.
    while let Some((part, after)) = rest.split_once('*') {
        let Some((_, behind)) = text.split_once(part) else { return false };
        (text, rest) = (behind, after);
    }
    text.ends_with(rest)
}

impl Caps {
    /// The capabilities of a token.
    ///
    /// # Errors
    ///
    /// A regular expression does not compile.
    pub fn new(claims: &[Capability], patterns: &Patterns) -> Result<Self, PatternError> {
        let mut all = Vec::new();
        for Capability { channels, matching, allow, .. } in claims {
            for channel in channels {
                let matcher = match matching {
                    Matching::Exact => Matcher::Exact(channel.as_str().into()),
                    Matching::Wildcard => Matcher::Wildcard(channel.as_str().into()),
                    Matching::Regex => Matcher::Regex(patterns.get(channel)?),
                };
                all.push((matcher, *allow));
            }
        }
        Ok(Self(all))
    }

    /// Whether they let the connection do this in a channel.
    #[must_use]
    pub fn allow(&self, channel: &str, wanted: Permissions) -> bool {
        self.0.iter().any(|(matcher, allow)| allow.has(wanted) && matcher.matches(channel))
    }
}

impl Rights for Caps {
    fn holds(&self, channel: &str) -> bool {
        self.allow(channel, Permissions::SUBSCRIBE)
    }
}

/// Regular expressions in use, so that connections with the same one share it. Clones share the place.
#[derive(Clone, Debug, Default)]
pub struct Patterns(Arc<Mutex<Shelf>>);

#[derive(Debug, Default)]
struct Shelf {
    patterns: HashMap<Box<str>, Weak<Pattern>>,
    /// How many there may be before those that nobody uses are looked for.
    limit: usize,
}

impl Patterns {
    fn get(&self, source: &str) -> Result<Arc<Pattern>, PatternError> {
        let shelf = || self.0.lock();
        if let Some(pattern) = shelf().patterns.get(source).and_then(Weak::upgrade) {
            return Ok(pattern);
        }
        // Not under the lock: it takes a while.
        let pattern = Arc::new(Pattern::new(source)?);
        let mut shelf = shelf();
        if shelf.patterns.len() >= shelf.limit {
            shelf.patterns.retain(|_, pattern| pattern.strong_count() > 0);
            shelf.limit = (2 * shelf.patterns.len()).max(64);
        }
        shelf.patterns.insert(source.into(), Arc::downgrade(&pattern));
        Ok(pattern)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, matching, others) in [
            ("news", &["news"][..], &["news2", "", "new"][..]),
            ("news:*", &["news:", "news:a:b"], &["news", "xnews:a"]),
            ("*", &["", "anything"], &[]),
            ("a*b*c", &["abc", "axbxc", "abcbc"], &["ab", "acb", "abcd"]),
            ("*b", &["b", "abb"], &["ba", ""]),
            ("a*a", &["aa", "aba"], &["a", "ab"]),
            ("a**b", &["ab", "axb"], &["a"]),
            ("ü*", &["über"], &["u"]),
        ] {
            assert!(matching.iter().all(|text| is_match(pattern, text)), "{pattern}");
            assert!(!others.iter().any(|text| is_match(pattern, text)), "{pattern}");
        }
    }

    #[test]
    fn expressions_are_shared_while_they_are_used() {
        let patterns = Patterns::default();
        let first = patterns.get("^a").expect("compiles");
        assert!(Arc::ptr_eq(&first, &patterns.get("^a").expect("compiles")));
        for n in 0..1000 {
            patterns.get(&format!("^{n}")).expect("compiles");
        }
        assert!(patterns.0.lock().patterns.len() <= 65);
        assert!(Arc::ptr_eq(&first, &patterns.get("^a").expect("compiles")));
        assert!(patterns.get("(").is_err());
    }
}
