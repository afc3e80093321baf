//! What a channel's name says.

use crate::NamespacesConfig;

/// The marks in channel names that have a meaning. An empty mark has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grammar {
    private_prefix: Box<str>,
    namespace_boundary: Box<str>,
    user_boundary: Box<str>,
    user_separator: Box<str>,
}

/// A channel's name, taken apart. Nothing is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a> {
    /// The namespace's name; empty for channels without one.
    pub namespace: &'a str,
    /// What follows the namespace boundary, or the whole name where there is none (HID-59).
    pub rest: &'a str,
    /// Whether it has the private prefix (CH-04).
    pub private: bool,
    /// What follows the last user boundary, if there is one (CH-05, HID-57).
    pub users: Option<&'a str>,
}

impl Grammar {
    /// The marks of a configuration.
    #[must_use]
    pub fn new(config: &NamespacesConfig) -> Self {
        Self {
            private_prefix: config.private_prefix.as_str().into(),
            namespace_boundary: config.namespace_boundary.as_str().into(),
            user_boundary: config.user_boundary.as_str().into(),
            user_separator: config.user_separator.as_str().into(),
        }
    }

    /// Takes a name apart. Every text is a name.
    ///
    /// The private prefix is taken off before the namespace is looked for (HID-58); the first boundary ends the
    /// namespace (CH-03).
    #[must_use]
    pub fn parse<'a>(&self, channel: &'a str) -> Name<'a> {
        let unprefixed = present(&self.private_prefix).and_then(|prefix| channel.strip_prefix(prefix));
        let (namespace, rest) = present(&self.namespace_boundary)
            .and_then(|boundary| split_once(unprefixed.unwrap_or(channel), boundary))
            .unwrap_or(("", channel));
        let users = present(&self.user_boundary).and_then(|boundary| after_last(channel, boundary));
        Name { namespace, rest, private: unprefixed.is_some(), users }
    }

    /// The name of the channel that is a user's own, in this namespace or, with an empty name, in none (HID-57).
    #[must_use]
    pub fn personal_channel(&self, namespace: &str, user: &str) -> String {
        let boundary = if namespace.is_empty() { "" } else { &self.namespace_boundary };
        format!("{namespace}{boundary}{}{user}", self.user_boundary)
    }

    /// The name without the private prefix.
    #[must_use]
    pub fn without_prefix<'a>(&self, channel: &'a str) -> &'a str {
        present(&self.private_prefix).and_then(|prefix| channel.strip_prefix(prefix)).unwrap_or(channel)
    }

    /// Whether a list of users, as [`Name::users`], has this one. The user without a name is in no list.
    #[must_use]
    pub fn lists(&self, users: &str, user: &str) -> bool {
        if user.is_empty() {
            return false;
        }
        match present(&self.user_separator) {
            None => users == user,
            Some(separator) => users.split(separator).any(|listed| listed == user),
        }
    }
}

/// What is before the first mark and behind it. Names are short and marks are single characters, as a rule: to get ready
/// for a longer search would take several times as long as this takes.
fn split_once<'a>(name: &'a str, mark: &str) -> Option<(&'a str, &'a str)> {
    let [mark] = mark.as_bytes() else { return name.split_once(mark) };
    let at = name.bytes().position(|byte| byte == *mark)?;
    Some((name.get(..at)?, name.get(at + 1..)?))
}

/// What is behind the last mark.
fn after_last<'a>(name: &'a str, mark: &str) -> Option<&'a str> {
    let [mark] = mark.as_bytes() else { return name.rsplit_once(mark).map(|(_, rest)| rest) };
    let at = name.bytes().rposition(|byte| byte == *mark)?;
    name.get(at + 1..)
}

fn present(mark: &str) -> Option<&str> {
    (!mark.is_empty()).then_some(mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_as_any_text_is() {
        for name in ["", ":", "a", "a:", ":b", "a:b:c", "a::b::c", "\u{e9}:\u{e9}", "a\u{e9}b"] {
            for mark in [":", "::", "\u{e9}", "b"] {
                assert_eq!(split_once(name, mark), name.split_once(mark), "{name} {mark}");
                let last = name.rsplit_once(mark).map(|(_, rest)| rest);
                assert_eq!(after_last(name, mark), last, "{name} {mark}");
            }
        }
    }
}
