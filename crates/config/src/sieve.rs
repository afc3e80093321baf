//! Telling our options from Centrifugo's other ones and from what is none.

use serde_json::{Map, Value};

use crate::env::is_true;
use crate::load::{ConfigError, Problem, Source};
use crate::schema::{
    List, is_default, is_known, is_leaf, join, list, nearest, ours, switch_of, unknown, without_effect,
};

/// Takes out of a file's options whatever is none of ours, and says what is wrong with it.
#[derive(Default)]
pub(crate) struct Sieve {
    /// What the options are of.
    pub(crate) source: Source,
    /// The file as it was, to look up which features are switched on.
    pub(crate) original: Value,
    /// What has no meaning, or none yet.
    pub(crate) strangers: Vec<ConfigError>,
    /// What is of the wrong shape: no leniency makes sense of it.
    pub(crate) mistakes: Vec<ConfigError>,
    /// What the operator should know of.
    pub(crate) notes: Vec<String>,
}

impl Sieve {
    pub(crate) fn sift(&mut self, members: &mut Map<String, Value>, path: &str) {
        let mut foreign = Vec::new();
        for (name, value) in members.iter_mut() {
            let path = join(path, name);
            if self.has_dots(name, &path) {
                foreign.push(name.clone());
                continue;
            }
            if ours().contains_key(&path) {
                if let Some(list) = list(&path) {
                    self.sift_list(list, value);
                }
                continue;
            }
            let below = format!("{path}.");
            match value {
                Value::Object(members) if ours().keys().any(|option| option.starts_with(&below)) => {
                    self.sift(members, &path);
                }
                Value::Null if is_known(&path) => foreign.push(name.clone()),
                _ if ours().keys().any(|option| option.starts_with(&below)) => {
                    foreign.push(name.clone());
                    self.misshapen(&path, "must be an object");
                }
                other => {
                    self.judge(&path, &path, other);
                    foreign.push(name.clone());
                }
            }
        }
        for name in foreign {
            members.remove(&name);
        }
    }

    /// Does the same for the elements of a list.
    pub(crate) fn sift_list(&mut self, list: &List, elements: &mut Value) {
        let Value::Array(elements) = elements else { return };
        for (at, element) in elements.iter_mut().enumerate() {
            let Value::Object(members) = element else { continue };
            self.sift_element(list, members, &format!("{}[{at}]", list.path), "");
        }
    }

    /// `path` is the element's, `group` what of it the members are.
    fn sift_element(&mut self, list: &List, members: &mut Map<String, Value>, path: &str, group: &str) {
        members.retain(|name, value| {
            let option = join(group, name);
            let full = format!("{path}.{option}");
            if self.has_dots(name, &full) {
                return false;
            }
            if list.options.contains_key(&option) {
                return true;
            }
            let below = format!("{option}.");
            let is_group = list.options.keys().any(|other| other.starts_with(&below));
            match value {
                Value::Object(members) if is_group => {
                    self.sift_element(list, members, path, &option);
                    return true;
                }
                Value::Null if is_group => {}
                _ if is_group => self.misshapen(&full, "must be an object"),
                other => self.judge(&join(list.path, &option), &full, other),
            }
            false
        });
    }

    /// Says what is wrong with an option that is none of ours. `plain` is its path without indices.
    pub(crate) fn judge(&mut self, plain: &str, path: &str, value: &Value) {
        if let Value::Object(members) = value
            && !members.is_empty()
            && (is_known(plain) || !is_leaf(plain))
        {
            for (name, member) in members {
                self.judge(&join(plain, name), &join(path, name), member);
            }
            return;
        }
        let problem = if !is_known(plain) {
            unknown(plain, nearest(plain))
        } else if is_default(plain, value) {
            return;
        } else if let Some(why) = without_effect(plain) {
            self.notes.push(format!("{path} has no effect: {why}"));
            return;
        } else if self.is_off(plain, path) {
            self.notes.push(format!("{path} has no effect: its feature is off, and not implemented yet"));
            return;
        } else {
            Problem::NotImplemented
        };
        self.refuse(path, problem);
    }

    pub(crate) fn refuse(&mut self, path: &str, problem: Problem) {
        self.strangers.push(ConfigError { path: path.to_owned(), source: self.source.clone(), problem });
    }

    /// Refuses a name that is the path of an option below: it would be another way to say the same.
    fn has_dots(&mut self, name: &str, path: &str) -> bool {
        let dotted = name.contains('.');
        if dotted {
            self.misshapen(path, "options are nested objects: a name has no dots");
        }
        dotted
    }

    fn misshapen(&mut self, path: &str, what: &str) {
        let (source, problem) = (self.source.clone(), Problem::Value(what.to_owned()));
        self.mistakes.push(ConfigError { path: path.to_owned(), source, problem });
    }

    /// Whether an option belongs to a feature that is switched off, so that it means nothing. `full` is its path with indices.
    fn is_off(&self, path: &str, full: &str) -> bool {
        let value_of = |path: &str| self.original.pointer(&format!("/{}", path.replace('.', "/")));
        if path.starts_with("engine.redis.") {
            return value_of("engine.type").and_then(Value::as_str) != Some("redis");
        }
        if let Some((at, option)) = full.strip_prefix("consumers[").and_then(|rest| rest.split_once("].")) {
            let of = |name: &str| self.original.pointer(&format!("/consumers/{at}/{name}"));
            let is_of = |kind: &str| option.strip_prefix(kind).is_some_and(|rest| rest.starts_with('.'));
            return !of("enabled").is_some_and(is_true)
                || !of("type").and_then(Value::as_str).is_some_and(is_of);
        }
        switch_of(path).is_some_and(|switch| !value_of(&switch).is_some_and(is_true))
    }
}
