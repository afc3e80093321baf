//! The names of subjects (NATS-02, NATS-03, CH-07).

use crate::config::{NatsConfig, RawMode};

/// Between channels and subjects.
#[derive(Debug)]
pub(crate) struct Subjects {
    prefix: String,
    replacements: Replacements,
    allow_wildcards: bool,
}

/// Why a channel cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Impossible(pub(crate) &'static str);

/// Whether a channel names several (NATS-03).
pub(crate) fn is_pattern(channel: &str) -> bool {
    channel.contains(['*', '>'])
}

impl Subjects {
    pub(crate) fn new(config: &NatsConfig) -> Self {
        let (prefix, replacements) = match &config.raw {
            None => (format!("{}.client.", config.prefix), Replacements::default()),
            Some(RawMode { prefix, replacements }) => (prefix.clone(), Replacements::new(replacements)),
        };
        Self { prefix, replacements, allow_wildcards: config.allow_wildcards }
    }

    /// The subject to publish to.
    pub(crate) fn to_publish(&self, channel: &str) -> Result<String, Impossible> {
        if is_pattern(channel) {
            return Err(Impossible("a channel with * or > cannot be published to"));
        }
        self.subject(channel)
    }

    /// The subject to subscribe to.
    pub(crate) fn to_subscribe(&self, channel: &str) -> Result<String, Impossible> {
        if is_pattern(channel) && !self.allow_wildcards {
            return Err(Impossible("channels with * or > are not allowed"));
        }
        self.subject(channel)
    }

    /// A channel's name is that of the subject; dots make levels. What would be none, or would say something else to the
    /// server, is no channel here.
    fn subject(&self, channel: &str) -> Result<String, Impossible> {
        let subject = format!("{}{}", self.prefix, self.replacements.replace(channel));
        if subject.bytes().any(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control()) {
            return Err(Impossible("a channel with white space cannot be a subject"));
        }
        if subject.split('.').any(str::is_empty) {
            return Err(Impossible("a channel with an empty part between dots cannot be a subject"));
        }
        Ok(subject)
    }

    /// The channel of a subject that a pattern was subscribed by.
    pub(crate) fn channel_of(&self, subject: &str) -> Option<String> {
        Some(self.replacements.restore(subject.strip_prefix(self.prefix.as_str())?))
    }
}

/// Texts that stand for others; where several could, the longest.
#[derive(Debug, Default)]
struct Replacements {
    there: Vec<(String, String)>,
    back: Vec<(String, String)>,
}

impl Replacements {
    fn new(pairs: &[(String, String)]) -> Self {
        let sorted = |pairs: Vec<(String, String)>| {
            let mut pairs: Vec<_> = pairs.into_iter().filter(|(from, _)| !from.is_empty()).collect();
            pairs.sort_by(|(one, _), (other, _)| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
            pairs
        };
        let back = pairs.iter().map(|(from, to)| (to.clone(), from.clone())).collect();
        Self { there: sorted(pairs.to_vec()), back: sorted(back) }
    }

    fn replace(&self, text: &str) -> String {
        replace(text, &self.there)
    }

    fn restore(&self, text: &str) -> String {
        replace(text, &self.back)
    }
}

fn replace(mut text: &str, pairs: &[(String, String)]) -> String {
    let mut replaced = String::with_capacity(text.len());
    while let Some(first) = text.chars().next() {
        let pair = pairs.iter().find_map(|(from, to)| Some((text.strip_prefix(from.as_str())?, to)));
        if let Some((rest, to)) = pair {
            replaced.push_str(to);
            text = rest;
        } else {
            replaced.push(first);
            text = &text[first.len_utf8()..];
        }
    }
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subjects(change: impl FnOnce(&mut NatsConfig)) -> Subjects {
        let mut config = NatsConfig::at("nats://localhost").expect("an address");
        change(&mut config);
        Subjects::new(&config)
    }

    fn raw(prefix: &str, pairs: &[(&str, &str)]) -> Subjects {
        let pairs = pairs.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
        let raw = RawMode { prefix: prefix.to_owned(), replacements: pairs };
        subjects(|config| {
            config.raw = Some(raw);
            config.allow_wildcards = true;
        })
    }

    /// NATS-02.
    #[test]
    fn a_channel_is_a_subject_below_the_prefix() {
        let subjects = subjects(|config| "app".clone_into(&mut config.prefix));
        for channel in ["news", "news.sport", "a:b#1", "\u{e9}"] {
            let subject = format!("app.client.{channel}");
            assert_eq!(subjects.to_publish(channel), Ok(subject.clone()));
            assert_eq!(subjects.to_subscribe(channel), Ok(subject.clone()));
            assert_eq!(subjects.channel_of(&subject).as_deref(), Some(channel));
        }
        assert_eq!(subjects.channel_of("other"), None);
    }

    /// NATS-03, CH-07.
    #[test]
    fn wildcards_are_for_subscriptions_and_only_where_they_are_allowed() {
        let (strict, loose) = (subjects(|_| {}), subjects(|config| config.allow_wildcards = true));
        for channel in ["a.*", "a.>", "a*", "a>b"] {
            assert!(strict.to_subscribe(channel).is_err());
            assert_eq!(loose.to_subscribe(channel), Ok(format!("centrifugo.client.{channel}")));
            assert!(loose.to_publish(channel).is_err() && strict.to_publish(channel).is_err());
        }
    }

    #[test]
    fn what_cannot_be_a_subject_is_refused() {
        let subjects = subjects(|config| config.allow_wildcards = true);
        for channel in ["", "a b", "a\r\nPUB x 0", "a\tb", ".a", "a.", "a..b", "a\u{0}"] {
            assert!(
                subjects.to_publish(channel).is_err() && subjects.to_subscribe(channel).is_err(),
                "{channel:?}"
            );
        }
    }

    /// NATS-05.
    #[test]
    fn raw_subjects_have_their_own_prefix_and_replacements_both_ways() {
        let subjects = raw("raw.", &[(":", "."), ("::", "/"), ("", "x"), ("#", "at-")]);
        for (channel, subject) in
            [("a:b", "raw.a.b"), ("a::b", "raw.a/b"), ("a#1", "raw.aat-1"), ("a", "raw.a")]
        {
            assert_eq!(subjects.to_publish(channel).as_deref(), Ok(subject));
            assert_eq!(subjects.channel_of(subject).as_deref(), Some(channel));
        }
        let bare = raw("", &[]);
        assert_eq!(bare.to_subscribe("any.>").as_deref(), Ok("any.>"));
        assert!(raw("", &[(":", " ")]).to_publish("a:b").is_err());
    }
}
