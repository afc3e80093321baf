//! What must hold for any channel name. The fuzz target calls this, and so does an ordinary test with the seeds of its
//! corpus.

use crate::{
    Attributes, Caps, ChannelConfig, NamespaceConfig, Namespaces, NamespacesConfig, Patterns, SubscribeQuery,
    TokenCheck,
};
use tourbillon_auth::{Capability, Matching};
use tourbillon_types::Permissions;

/// Any bytes as marks, a line feed, and a channel: nothing panics, every name comes apart into parts of itself, and no
/// channel that is refused by its name or namespace is allowed.
pub fn channel(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (marks, channel) = text.split_once('\n').unwrap_or(("$:#,", &text));
    let mark = |at: usize| marks.chars().nth(at).map(String::from).unwrap_or_default();
    let open = ChannelConfig {
        allow_subscribe_for_client: true,
        allow_subscribe_for_anonymous: true,
        allow_user_limited_channels: true,
        ..ChannelConfig::default()
    };
    let namespace = |name: &str, pattern: &str| NamespaceConfig {
        name: name.to_owned(),
        pattern: pattern.to_owned(),
        channel: open.clone(),
    };
    let config = NamespacesConfig {
        private_prefix: mark(0),
        namespace_boundary: mark(1),
        user_boundary: mark(2),
        user_separator: mark(3),
        patterns: true,
        namespaces: vec![
            namespace("aa", ""),
            namespace("path", "/a/:b"),
            namespace("deep", "/:a/x_:b/c"),
            namespace("fixed", "/a/a"),
        ],
        without_namespace: open.clone(),
        ..NamespacesConfig::default()
    };
    let Ok(namespaces) = Namespaces::new(&config) else { return };
    let (name, rules) = namespaces.resolve(channel);
    assert!(channel.ends_with(name.rest), "the rest is not of the name");
    assert!(name.users.is_none_or(|users| channel.ends_with(users)), "users are not of the name");
    assert!(!name.private || channel.starts_with(&config.private_prefix), "a prefix that is not there");
    for (_, value) in namespaces.variables(channel) {
        assert!(!value.is_empty() && !value.contains('/') && channel.contains(value), "a wrong variable");
    }
    for user in ["", "a", channel] {
        for token in [TokenCheck::Absent, TokenCheck::Expired] {
            let attributes = Attributes::default();
            let decision =
                namespaces.check_subscribe(&SubscribeQuery { channel, user, attributes, kind: 0, token });
            assert!(!decision.steps().is_empty(), "a decision without a rule");
            if decision.is_allowed() {
                assert!(rules.is_some() && channel.is_ascii() && !name.private, "an open door");
                assert!(token == TokenCheck::Absent, "an expired token");
            }
        }
    }
    let mut all = Capability::default();
    all.matching = Matching::Wildcard;
    all.allow = Permissions::SUBSCRIBE;
    all.channels = vec![marks.to_owned()];
    if let Ok(caps) = Caps::new(&[all], &Patterns::default()) {
        assert!(caps.allow(marks, Permissions::SUBSCRIBE), "a pattern matches itself");
        assert!(!caps.allow(channel, Permissions::PUBLISH), "nobody allowed that");
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::channel;

    #[test]
    fn the_seeds_hold() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/channels");
        let mut seeds = 0;
        for entry in std::fs::read_dir(corpus).expect("the corpus") {
            channel(&std::fs::read(entry.expect("an entry").path()).expect("a seed"));
            seeds += 1;
        }
        assert!(seeds >= 10, "{seeds}");
    }

    proptest! {
        #[test]
        fn any_bytes_hold(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            channel(&bytes);
        }

        #[test]
        fn any_marks_hold(text in "[$:#,/a-b\u{fc}]{0,24}", other in "[$:#,/a]{0,6}") {
            channel(format!("{other}\n{text}").as_bytes());
        }
    }
}
