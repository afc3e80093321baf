//! Options that are texts by names, such as headers: the forms they come in, and variables in their texts (CONF-04,
//! CONF-06).

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tourbillon_config_syntax::variables::expanded;

use crate::load::{ConfigError, Problem, Source, pointer};
use crate::schema::{lists, ours};

/// What the last names of their paths are.
const NAMES: [&str; 3] = ["static_headers", "static_metadata", "channel_replacements"];

/// Whether an option is texts by names.
pub(crate) fn is_map(path: &str) -> bool {
    path.rsplit('.').next().is_some_and(|name| NAMES.contains(&name))
}

/// Makes objects of all such options and puts variables into their texts. What is wrong with one is told without them.
pub(crate) fn expand(tree: &mut Value, variables: &BTreeMap<String, String>, errors: &mut Vec<ConfigError>) {
    let mut each = |place: &mut Value, option: &str, path: String| {
        let (parent, name) = option.rsplit_once('.').unwrap_or(("", option));
        let Some(Value::Object(members)) = place.pointer_mut(&pointer(parent)) else { return };
        let Some(value) = members.remove(name) else { return };
        match object(value).and_then(|texts| with_variables(texts, variables)) {
            Ok(texts) => {
                members.insert(name.to_owned(), Value::Object(texts));
            }
            Err(problem) => {
                errors.push(ConfigError { path, source: Source::Merged, problem: Problem::Value(problem) });
            }
        }
    };
    for option in ours().keys().filter(|path| is_map(path)) {
        each(tree, option, option.clone());
    }
    for list in lists() {
        let elements = tree.pointer_mut(&pointer(list.path)).and_then(Value::as_array_mut);
        for (at, element) in elements.into_iter().flatten().enumerate() {
            for option in list.options.keys().filter(|path| is_map(path)) {
                each(element, option, format!("{}[{at}].{option}", list.path));
            }
        }
    }
}

/// An object, a list of objects of `key` and `value`, which leaves the case of names alone, or either as JSON in a text.
fn object(value: Value) -> Result<Map<String, Value>, String> {
    let none = || "must be an object of texts".to_owned();
    match value {
        Value::Object(members) if members.values().all(Value::is_string) => Ok(members),
        Value::Array(pairs) => {
            let mut members = Map::new();
            for pair in pairs {
                let (key, text) = (pair.get("key").and_then(Value::as_str), pair.get("value"));
                let (Some(key), Some(text @ Value::String(_))) = (key, text) else { return Err(none()) };
                if members.insert(key.to_owned(), text.clone()).is_some() {
                    return Err(format!("{key:?} is there twice"));
                }
            }
            Ok(members)
        }
        Value::String(text) => match serde_json::from_str(&text) {
            Ok(value @ (Value::Object(_) | Value::Array(_))) => object(value),
            _ => Err(none()),
        },
        _ => Err(none()),
    }
}

fn with_variables(
    mut texts: Map<String, Value>,
    variables: &BTreeMap<String, String>,
) -> Result<Map<String, Value>, String> {
    for value in texts.values_mut() {
        if let Value::String(text) = value {
            *text = expanded(text, variables)?;
        }
    }
    Ok(texts)
}
