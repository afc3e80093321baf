//! Options from environment variables (CONF-03, CONF-04).

use std::collections::BTreeMap;

use serde_json::{Value, json};

pub(crate) use tourbillon_config_syntax::values::{env_name, insert, is_true, parse};
use tourbillon_config_syntax::values::{foreign_value, is_foreign};

use crate::load::{ConfigError, Problem, Source, pointer};
use crate::schema::{List, all_known, join, list, lists, moved, nearest_of, ours};

/// Both names of a variable work; ours wins.
const PREFIXES: [&str; 2] = ["CENTRIFUGO_", "TOURBILLON_"];

/// A variable with one of our prefixes: its whole name, the name without the prefix, and its text.
pub(crate) type Variable<'a> = (&'a String, &'a str, &'a String);

/// Puts the options that variables set as a whole into `tree`. Gives the variables that are left, and those that set
/// lists whose elements have names. Options that `flagged` tells of are passed over.
pub(crate) fn apply<'a>(
    tree: &mut Value,
    variables: &'a BTreeMap<String, String>,
    flagged: &dyn Fn(&str) -> bool,
    errors: &mut Vec<ConfigError>,
) -> (Vec<Variable<'a>>, Vec<(&'static List, &'a String)>) {
    let mut rest = Vec::new();
    let mut whole: Vec<(&List, _)> = Vec::new();
    for prefix in PREFIXES {
        for (variable, text) in variables {
            // Empty is the same as not set.
            let Some(name) = variable.strip_prefix(prefix).filter(|_| !text.is_empty()) else { continue };
            let Some((path, default)) = ours().iter().find(|(path, _)| env_name(path) == name) else {
                rest.push((variable, name, text));
                continue;
            };
            if flagged(path) {
                continue;
            }
            // Names alone mean elements that may be there already.
            let names = list(path).filter(|_| !text.starts_with('['));
            let value = match names {
                Some(list) => Ok(with_elements(tree.pointer(&pointer(list.path)), text)),
                None => parse(default, text, has_objects(path)),
            };
            match value {
                Ok(value) => insert(tree, path, value),
                Err(problem) => {
                    errors.push(wrong(path.clone(), variable, problem));
                    continue;
                }
            }
            if names.is_some() {
                continue;
            }
            if let Some(list) = list(path) {
                whole.retain(|(other, _)| other.path != list.path);
                whole.push((list, variable));
            }
        }
    }
    (rest, whole)
}

/// The elements of a list, and one more for each of these names that none of them has.
fn with_elements(elements: Option<&Value>, names: &str) -> Value {
    let mut elements = elements.and_then(Value::as_array).cloned().unwrap_or_default();
    for name in names.split(' ').filter(|name| !name.is_empty()) {
        if !elements.iter().any(|element| element.get("name").and_then(Value::as_str) == Some(name)) {
            elements.push(json!({ "name": name }));
        }
    }
    elements.into()
}

/// Whether the elements of a list are objects.
fn has_objects(path: &str) -> bool {
    let ends = [
        ".transforms",
        "_transforms",
        ".buckets",
        ".namespace_overrides",
        ".method_overrides",
        ".providers",
        "_from_claim",
    ];
    list(path).is_some() || ends.iter().any(|end| path.ends_with(end))
}

/// What a variable that is left stands for.
#[derive(Debug)]
pub(crate) enum Meaning {
    /// It is taken care of, or nobody's option.
    Done,
    /// An option of Centrifugo that is none of ours: its path without and with indices, and its value.
    Foreign(String, String, Value),
    /// No option.
    Unknown(Option<String>),
}

/// Puts an option of a namespace into `tree`, or says what else the variable is.
pub(crate) fn apply_rest(
    tree: &mut Value,
    (variable, name, text): Variable<'_>,
    errors: &mut Vec<ConfigError>,
) -> Meaning {
    for list in lists() {
        if let Some(meaning) = apply_element(list, tree, (variable, name, text), errors) {
            return meaning;
        }
    }
    if let Some(path) = all_known().find(|path| env_name(path) == name) {
        return Meaning::Foreign(path.to_owned(), path.to_owned(), foreign_value(text));
    }
    if is_foreign(name) { Meaning::Done } else { Meaning::Unknown(nearest_variable(variable, name)) }
}

/// The variable that was meant, perhaps.
fn nearest_variable(variable: &str, name: &str) -> Option<String> {
    let names: Vec<String> = ours().keys().map(String::as_str).chain(all_known()).map(env_name).collect();
    let prefix = variable.strip_suffix(name)?;
    let meant = moved(&name.to_lowercase()).map(env_name);
    let nearest = || nearest_of(name, names.iter().map(String::as_str)).map(str::to_owned);
    meant.or_else(nearest).map(|name| format!("{prefix}{name}"))
}

fn wrong(path: String, variable: &str, problem: String) -> ConfigError {
    ConfigError { path, source: Source::Environment(variable.to_owned()), problem: Problem::Value(problem) }
}

/// An option of an existing element, such as `CHANNEL_NAMESPACES_<NAME>_<OPTION>`. `None`: it is none.
fn apply_element(
    list: &List,
    tree: &mut Value,
    (variable, name, text): Variable<'_>,
    errors: &mut Vec<ConfigError>,
) -> Option<Meaning> {
    let name = name.strip_prefix(&env_name(list.path))?.strip_prefix('_')?;
    let place = format!("/{}", list.path.replace('.', "/"));
    let Some(Value::Array(elements)) = tree.pointer_mut(&place) else { return None };
    let mut meaning = None;
    for (at, element) in elements.iter_mut().enumerate() {
        let of = element.get("name").and_then(Value::as_str).unwrap_or_default();
        let of = of.replace(['.', '-'], "_").to_uppercase();
        let Some(option) = name.strip_prefix(&of).and_then(|rest| rest.strip_prefix('_')) else { continue };
        let indexed = |key: &str| join(&format!("{}[{at}]", list.path), key);
        if let Some((key, default)) = list.options.iter().find(|(key, _)| env_name(key) == option) {
            match parse(default, text, has_objects(key)) {
                Ok(value) => insert(element, key, value),
                Err(problem) => errors.push(wrong(indexed(key), variable, problem)),
            }
            meaning = Some(Meaning::Done);
        } else if meaning.is_none() {
            let below = format!("{}.", list.path);
            let mut keys = all_known().filter_map(|path| path.strip_prefix(&below));
            let key = keys.find(|key| env_name(key) == option);
            meaning =
                key.map(|key| Meaning::Foreign(join(list.path, key), indexed(key), foreign_value(text)));
        }
    }
    meaning
}
