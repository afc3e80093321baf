//! Channel patterns: namespaces of channels that look like paths (PRO-43).

use std::collections::HashMap;

use crate::config::{ConfigError, ConfigProblem};

/// What a channel that is matched against patterns begins with.
const SLASH: char = '/';
/// What begins a variable in a pattern.
const COLON: char = ':';

/// The longest pattern, in bytes.
const MAX_LENGTH: usize = 255;

/// Patterns by which channels that begin with a slash find their namespace. Looking one up allocates nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routes {
    /// Patterns without variables: they are channels, and win.
    fixed: HashMap<Box<str>, usize, foldhash::fast::RandomState>,
    /// The others, by the number of their segments. No channel matches two of them.
    varying: Vec<Vec<Route>>,
}

/// A pattern, and the namespace that it leads to.
#[derive(Clone, Debug)]
struct Route {
    segments: Vec<Segment>,
    namespace: usize,
    /// As it was written.
    pattern: Box<str>,
}

/// What stands between two slashes: a text, and perhaps a variable for the rest of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Segment {
    text: Box<str>,
    variable: Option<Box<str>>,
}

impl Segment {
    fn parse(segment: &str) -> Result<Self, ConfigProblem> {
        let Some((text, variable)) = segment.split_once(COLON) else {
            return Ok(Self { text: segment.into(), variable: None });
        };
        let mut letters = variable.bytes();
        let first = letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_');
        if !first || !letters.all(|letter| letter.is_ascii_alphanumeric() || letter == b'_') {
            return Err(ConfigProblem::PatternVariable(variable.to_owned()));
        }
        Ok(Self { text: text.into(), variable: Some(variable.into()) })
    }

    /// What the variable stands for, or nothing where there is none; `None` where the segment does not match. A
    /// variable stands for one character at least.
    fn matches<'a>(&self, segment: &'a str) -> Option<&'a str> {
        let rest = segment.strip_prefix(&*self.text)?;
        (rest.is_empty() != self.variable.is_some()).then_some(rest)
    }

    /// Whether there is a text that matches both.
    fn meets(&self, other: &Self) -> bool {
        match (&self.variable, &other.variable) {
            (None, None) => self.text == other.text,
            (Some(_), None) => self.matches(&other.text).is_some(),
            (None, Some(_)) => other.matches(&self.text).is_some(),
            (Some(_), Some(_)) => self.text.starts_with(&*other.text) || other.text.starts_with(&*self.text),
        }
    }
}

impl Route {
    fn matches(&self, channel: &str) -> bool {
        let mut parts = channel.split(SLASH);
        self.segments.iter().all(|segment| parts.next().is_some_and(|part| segment.matches(part).is_some()))
    }

    fn meets(&self, other: &Self) -> bool {
        self.segments.iter().zip(&other.segments).all(|(one, other)| one.meets(other))
    }
}

impl Routes {
    /// Adds a pattern that leads to the namespace of this number.
    ///
    /// # Errors
    ///
    /// It is no pattern, or there is a channel that it and another one match.
    pub(crate) fn add(&mut self, path: &str, pattern: &str, namespace: usize) -> Result<(), ConfigError> {
        let wrong = |problem| ConfigError { path: format!("{path}.pattern"), problem };
        if !pattern.starts_with(SLASH) || !pattern.is_ascii() || pattern.len() > MAX_LENGTH {
            return Err(wrong(ConfigProblem::NotAPattern));
        }
        let segments =
            pattern.split(SLASH).map(Segment::parse).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        let mut variables: Vec<_> =
            segments.iter().filter_map(|segment| segment.variable.as_deref()).collect();
        if variables.is_empty() {
            return match self.fixed.insert(pattern.into(), namespace) {
                None => Ok(()),
                Some(_) => Err(wrong(ConfigProblem::PatternConflict(pattern.to_owned()))),
            };
        }
        variables.sort_unstable();
        let twice = variables.iter().zip(variables.iter().skip(1)).find(|(one, other)| one == other);
        if let Some((twice, _)) = twice {
            return Err(wrong(ConfigProblem::PatternVariableTwice((*twice).to_owned())));
        }
        let count = segments.len();
        if self.varying.len() <= count {
            self.varying.resize_with(count + 1, Vec::new);
        }
        let route = Route { segments, namespace, pattern: pattern.into() };
        let Some(others) = self.varying.get_mut(count) else { return Ok(()) };
        if let Some(other) = others.iter().find(|other| other.meets(&route)) {
            return Err(wrong(ConfigProblem::PatternConflict(other.pattern.to_string())));
        }
        others.push(route);
        Ok(())
    }

    /// The number of the namespace that a channel belongs to.
    pub(crate) fn find(&self, channel: &str) -> Option<usize> {
        self.fixed.get(channel).copied().or_else(|| self.route(channel).map(|route| route.namespace))
    }

    /// What the variables of the channel's pattern stand for, in their order.
    pub(crate) fn variables<'a>(&'a self, channel: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let route = if self.fixed.contains_key(channel) { None } else { self.route(channel) };
        let segments = route.map(|route| route.segments.as_slice()).unwrap_or_default();
        segments.iter().zip(channel.split(SLASH)).filter_map(|(segment, part)| {
            let name = segment.variable.as_deref()?;
            Some((name, segment.matches(part)?))
        })
    }

    fn route(&self, channel: &str) -> Option<&Route> {
        let count = channel.split(SLASH).count();
        self.varying.get(count)?.iter().find(|route| route.matches(channel))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(patterns: &[&str]) -> Result<Routes, ConfigProblem> {
        let mut routes = Routes::default();
        for (at, pattern) in patterns.iter().enumerate() {
            routes.add("ns", pattern, at).map_err(|error| error.problem)?;
        }
        Ok(routes)
    }

    #[test]
    fn channels_find_the_pattern_that_they_match() {
        let routes = routes(&[
            "/users/:name",
            "/news/:type/:subtype",
            "/personal/user_:user",
            "/users/admin",
            "/:tenant/rooms/:room/chat",
            "/",
        ])
        .expect("no conflict");
        for (channel, expected) in [
            ("/users/mary", Some(0)),
            ("/users/admin", Some(3)),
            ("/users/admins", Some(0)),
            ("/users/", None),
            ("/users", None),
            ("/users/mary/profile", None),
            ("/news/sport/football", Some(1)),
            ("/news/sport", None),
            ("/news", None),
            ("/personal/user_mary", Some(2)),
            ("/personal/user_", None),
            ("/personal/mary", None),
            ("/acme/rooms/7/chat", Some(4)),
            ("//rooms/7/chat", None),
            ("/", Some(5)),
            ("", None),
            ("users/mary", None),
        ] {
            assert_eq!(routes.find(channel), expected, "{channel}");
        }
    }

    #[test]
    fn variables_are_told_by_their_names() {
        let routes = routes(&["/:tenant/users/user_:user", "/fixed"]).expect("no conflict");
        let variables = |channel| routes.variables(channel).collect::<Vec<_>>();
        assert_eq!(variables("/a.example/users/user_4"), [("tenant", "a.example"), ("user", "4")]);
        for none in ["/fixed", "/a/users/x", "", "x"] {
            assert_eq!(variables(none), [], "{none}");
        }
    }

    #[test]
    fn patterns_that_could_both_match_are_refused() {
        for pair in [
            ["/users/:name", "/users/:id"],
            ["/users/:name", "/users/user_:id"],
            ["/:a/b", "/a/:b"],
            ["/a/:b", "/:a/:b"],
            ["/same", "/same"],
        ] {
            assert!(
                matches!(routes(&pair), Err(ConfigProblem::PatternConflict(other)) if other == pair[0]),
                "{pair:?}"
            );
        }
        for pair in [
            ["/users/:name", "/users/admin"],
            ["/users/a_:name", "/users/b_:name"],
            ["/a/:b", "/b/:a"],
            ["/a/:b", "/a/:b/c"],
            ["/a/x:b", "/a/x"],
        ] {
            assert!(routes(&pair).is_ok(), "{pair:?}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for wrong in ["users/:name", "", "/ü", &format!("/{}", "a".repeat(255))] {
            assert_eq!(routes(&[wrong]).unwrap_err(), ConfigProblem::NotAPattern, "{wrong}");
        }
        for wrong in ["/:", "/a/:1", "/:a-b", "/:a.json", "/:a:b"] {
            assert!(matches!(routes(&[wrong]), Err(ConfigProblem::PatternVariable(_))), "{wrong}");
        }
        assert_eq!(
            routes(&["/:user/:b/:user"]).unwrap_err(),
            ConfigProblem::PatternVariableTwice("user".to_owned())
        );
    }
}
