//! Claims of others' making, turned into what a connection keeps: `meta_from_claim` and `labels_from_claim`
//! (PRO-44, PRO-45).

use std::borrow::Cow;

use serde_json::value::RawValue;
use tourbillon_types::{Payload, Tags};

use crate::decode::Entries;
use crate::{ConfigError, ConfigProblem, InvalidToken};

/// An entry of `meta_from_claim` or `labels_from_claim`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimMapping {
    /// What it becomes: the name of a member of the meta object, or of a label. Letters, digits and underscores, no
    /// digit first.
    pub key: String,
    /// Where it is: names of members joined by dots, such as `user.role`; numbers count elements of lists. A backslash
    /// takes the next character as it is.
    pub value: String,
}

/// Mappings that can be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mappings(Vec<(Box<str>, Path)>);

/// The names that lead to a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Path(Vec<Box<str>>);

/// What has a meaning in Centrifugo's paths and none here.
const RESERVED: &str = "@#[]{}*?!|";

impl Path {
    fn parse(text: &str) -> Option<Self> {
        let mut names = vec![String::new()];
        let mut chars = text.chars();
        while let Some(next) = chars.next() {
            let name = names.last_mut()?;
            match next {
                '\\' => name.push(chars.next()?),
                '.' => names.push(String::new()),
                reserved if RESERVED.contains(reserved) => return None,
                other => name.push(other),
            }
        }
        let complete = names.iter().all(|name| !name.is_empty());
        complete.then(|| Self(names.into_iter().map(String::into_boxed_str).collect()))
    }

    /// The value at the end of the path, if there is one. Of a member that is there twice two readers could read two
    /// things, so there is none.
    fn find<'a>(&self, claims: &Entries<'a>) -> Option<&'a RawValue> {
        let (first, rest) = self.0.split_first()?;
        rest.iter().try_fold(member(claims, first)?, |value, name| {
            let json = value.get();
            if json.starts_with('[') {
                let at: usize = name.parse().ok()?;
                return serde_json::from_str::<Vec<&RawValue>>(json).ok()?.get(at).copied();
            }
            member(&serde_json::from_str(json).ok()?, name)
        })
    }
}

fn member<'a>(entries: &Entries<'a>, name: &str) -> Option<&'a RawValue> {
    let mut found = entries.0.iter().filter(|(of, _)| of == name).map(|(_, value)| *value);
    let value = found.next()?;
    found.next().is_none().then_some(value)
}

impl Mappings {
    /// Checks an option.
    pub(crate) fn new(option: &'static str, mappings: &[ClaimMapping]) -> Result<Self, ConfigError> {
        let wrong = |problem| ConfigError { option: option.into(), problem };
        let mut checked: Vec<(Box<str>, Path)> = Vec::with_capacity(mappings.len());
        for ClaimMapping { key, value } in mappings {
            let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            let starts = key.bytes().next().is_some_and(|first| !first.is_ascii_digit());
            if !starts || !key.bytes().all(is_letter) {
                return Err(wrong(ConfigProblem::MappingKey(key.clone())));
            }
            if checked.iter().any(|(of, _)| **of == **key) {
                return Err(wrong(ConfigProblem::MappingTwice(key.clone())));
            }
            let path = Path::parse(value).ok_or_else(|| wrong(ConfigProblem::MappingPath(value.clone())))?;
            checked.push((key.as_str().into(), path));
        }
        Ok(Self(checked))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn found<'a>(&self, payload: &'a [u8]) -> Result<Vec<(&str, &'a RawValue)>, InvalidToken> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        let claims: Entries<'a> = serde_json::from_slice(payload).map_err(|_| InvalidToken::NotAnObject)?;
        let found = self.0.iter().filter_map(|(key, path)| Some((&**key, path.find(&claims)?)));
        Ok(found.collect())
    }

    /// The meta object with what is mapped into it, which wins. Claims that are not there are passed over.
    pub(crate) fn extend_meta(&self, meta: Payload, payload: &[u8]) -> Result<Payload, InvalidToken> {
        let found = self.found(payload)?;
        if found.is_empty() {
            return Ok(meta);
        }
        let own: Entries<'_> = if meta.is_empty() {
            Entries(Vec::new())
        } else {
            serde_json::from_slice(meta.bytes()).map_err(|_| InvalidToken::Claim("meta"))?
        };
        let stays = |name: &str| !found.iter().any(|(key, _)| *key == name);
        let kept = own.0.iter().filter(|(name, _)| stays(name)).map(|(name, value)| (&**name, *value));
        let mut json = String::from("{");
        for (name, value) in kept.chain(found.iter().copied()) {
            if json.len() > 1 {
                json.push(',');
            }
            // Into memory, a text cannot fail to be written.
            json.push_str(&serde_json::to_string(name).unwrap_or_default());
            json.push(':');
            json.push_str(value.get());
        }
        json.push('}');
        Ok(Payload::from_json(json.into()))
    }

    /// Adds what is mapped to labels, which wins. Numbers and truth values become text as they are written; what is no
    /// single value is passed over, as what is not there.
    pub(crate) fn extend_labels(&self, labels: &mut Tags, payload: &[u8]) -> Result<(), InvalidToken> {
        for (key, value) in self.found(payload)? {
            let json = value.get();
            let label: Cow<'_, str> = match json.bytes().next() {
                Some(b'"') => {
                    serde_json::from_str(json).map_err(|_| InvalidToken::Claim("labels_from_claim"))?
                }
                Some(b'{' | b'[' | b'n') | None => continue,
                Some(_) => json.into(),
            };
            labels.insert(key.to_owned(), label.into_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIMS: &str = r#"{"sub":"7","user":{"role":"admin","level":5,"tags":["a",{"b":null}]},"a.b":true,
        "twice":1,"twice":2,"*":"star","text":"\"\u00fc"}"#;

    fn mapping(key: &str, value: &str) -> ClaimMapping {
        ClaimMapping { key: key.to_owned(), value: value.to_owned() }
    }

    fn meta(meta: &str, path: &str) -> String {
        let mappings = Mappings::new("meta_from_claim", &[mapping("x", path)]).expect("sound");
        let meta =
            if meta.is_empty() { Payload::empty() } else { Payload::from(meta.to_owned().into_bytes()) };
        let meta = mappings.extend_meta(meta, CLAIMS.as_bytes()).expect("an object");
        String::from_utf8(meta.bytes().to_vec()).expect("text")
    }

    #[test]
    fn paths_lead_to_claims() {
        for (path, expected) in [
            ("sub", r#"{"x":"7"}"#),
            ("user.role", r#"{"x":"admin"}"#),
            ("user.level", r#"{"x":5}"#),
            ("user.tags", r#"{"x":["a",{"b":null}]}"#),
            ("user.tags.0", r#"{"x":"a"}"#),
            ("user.tags.1.b", r#"{"x":null}"#),
            (r"a\.b", r#"{"x":true}"#),
            (r"\*", r#"{"x":"star"}"#),
        ] {
            assert_eq!(meta("", path), expected, "{path}");
        }
        for nothing in
            ["nothing", "user.nothing", "user.role.x", "user.tags.9", "user.tags.x", "a.b", "twice"]
        {
            assert_eq!(meta("", nothing), "", "{nothing}");
        }
        assert_eq!(meta(r#"{"x":1,"y":"z"}"#, "user.level"), r#"{"y":"z","x":5}"#);
    }

    #[test]
    fn labels_are_texts() {
        let paths = [
            ("a", "user.role"),
            ("b", "user.level"),
            ("c", r"a\.b"),
            ("d", "user"),
            ("e", "user.tags.1.b"),
            ("f", "text"),
        ];
        let all: Vec<_> = paths.iter().map(|(key, path)| mapping(key, path)).collect();
        let mappings = Mappings::new("labels_from_claim", &all).expect("sound");
        let mut labels = Tags::from([("a".to_owned(), "own".to_owned()), ("z".to_owned(), "own".to_owned())]);
        mappings.extend_labels(&mut labels, CLAIMS.as_bytes()).expect("an object");
        let labels: Vec<_> = labels.iter().map(|(key, label)| (key.as_str(), label.as_str())).collect();
        assert_eq!(labels, [("a", "admin"), ("b", "5"), ("c", "true"), ("f", "\"ü"), ("z", "own")]);
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        let problem = |key: &str, path: &str| {
            Mappings::new("meta_from_claim", &[mapping(key, path)]).unwrap_err().problem
        };
        for key in ["", "1a", "a-b", "a b", "ü"] {
            assert_eq!(problem(key, "sub"), ConfigProblem::MappingKey(key.to_owned()));
        }
        for path in ["", ".", "a.", ".a", "a..b", "a.#", "a[0]", "a*", "@this", "a|b", r"a\"] {
            assert_eq!(problem("a", path), ConfigProblem::MappingPath(path.to_owned()));
        }
        let twice = Mappings::new("meta_from_claim", &[mapping("a", "b"), mapping("a", "c")]).unwrap_err();
        assert_eq!(twice.problem, ConfigProblem::MappingTwice("a".to_owned()));
    }
}
