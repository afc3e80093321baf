//! Options from environment variables (CONF-03, CONF-04).

use std::collections::BTreeMap;

use serde_json::Value;

use super::load::{ConfigError, Problem, Source};
use super::schema::{NAMESPACES, all_known, join, namespace, ours};

/// Both names of a variable work; ours wins.
const PREFIXES: [&str; 2] = ["CENTRIFUGO_", "TOURBILLON_"];

/// Puts the options that variables set into `tree`. Gives the variables that name no option.
pub(super) fn apply(
    tree: &mut Value,
    variables: &BTreeMap<String, String>,
    errors: &mut Vec<ConfigError>,
) -> Vec<String> {
    let mut unknown = Vec::new();
    for prefix in PREFIXES {
        // Whole options first, so that one of a namespace can change a list given as a whole.
        let mut rest = Vec::new();
        for (variable, text) in variables {
            let Some(name) = variable.strip_prefix(prefix) else { continue };
            match ours().iter().find(|(path, _)| env_name(path) == name) {
                Some((path, default)) => set(tree, path, default, variable, text, errors),
                None => rest.push((variable, name, text)),
            }
        }
        for (variable, name, text) in rest {
            if !apply_namespace(tree, name, variable, text, errors) && !is_foreign(name) {
                unknown.push(variable.clone());
            }
        }
    }
    unknown
}

/// The option that an unknown variable would set in Centrifugo.
pub(super) fn known_option(variable: &str) -> Option<&'static str> {
    let name = PREFIXES.iter().find_map(|prefix| variable.strip_prefix(prefix))?;
    all_known().find(|path| env_name(path) == name)
}

fn env_name(path: &str) -> String {
    path.replace('.', "_").to_uppercase()
}

/// What Kubernetes sets for a service of that name, and variables for expansion, are nobody's options.
fn is_foreign(name: &str) -> bool {
    let service =
        name.contains("SERVICE_") || name.starts_with("PORT_") || name.contains("_PORT_") || name == "PORT";
    service || name.ends_with("_PORT") || name.starts_with("VAR_")
}

fn set(
    tree: &mut Value,
    path: &str,
    default: &Value,
    variable: &str,
    text: &str,
    errors: &mut Vec<ConfigError>,
) {
    // Empty is the same as not set.
    if text.is_empty() {
        return;
    }
    match parse(default, text, path == NAMESPACES) {
        Ok(value) => insert(tree, path, value),
        Err(problem) => errors.push(ConfigError {
            path: path.to_owned(),
            source: Source::Environment(variable.to_owned()),
            problem: Problem::Value(problem),
        }),
    }
}

/// Reads a text as the type that the default has.
pub(super) fn parse(default: &Value, text: &str, objects: bool) -> Result<Value, String> {
    match default {
        Value::Bool(_) => match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            _ => Err(format!("{text:?} is neither true nor false")),
        },
        Value::Number(_) => {
            let number = match text.strip_prefix("0x") {
                Some(hex) => i64::from_str_radix(hex, 16).ok(),
                None => text.parse().ok(),
            };
            number.map(Value::from).ok_or_else(|| format!("{text:?} is not a whole number"))
        }
        Value::Array(_) if objects => {
            let list: Value =
                serde_json::from_str(text).map_err(|error| format!("not a JSON list: {error}"))?;
            if list.is_array() { Ok(list) } else { Err("not a JSON list".to_owned()) }
        }
        Value::Array(_) => Ok(text.split(' ').filter(|entry| !entry.is_empty()).map(Value::from).collect()),
        Value::Null | Value::String(_) | Value::Object(_) => Ok(Value::from(text)),
    }
}

/// Puts a value at a path, making the objects on the way.
pub(super) fn insert(tree: &mut Value, path: &str, value: Value) {
    let mut place = tree;
    for name in path.split('.') {
        if !place.is_object() {
            *place = Value::Object(serde_json::Map::new());
        }
        let Value::Object(members) = place else { return };
        place = members.entry(name).or_insert(Value::Null);
    }
    *place = value;
}

/// An option of an existing namespace: `CHANNEL_NAMESPACES_<NAME>_<OPTION>`.
fn apply_namespace(
    tree: &mut Value,
    name: &str,
    variable: &str,
    text: &str,
    errors: &mut Vec<ConfigError>,
) -> bool {
    let Some(name) = name.strip_prefix("CHANNEL_NAMESPACES_") else { return false };
    let Some(Value::Array(list)) = tree.pointer_mut("/channel/namespaces") else { return false };
    for (at, element) in list.iter_mut().enumerate() {
        let of = element.get("name").and_then(Value::as_str).unwrap_or_default();
        let of = of.replace(['.', '-'], "_").to_uppercase();
        let Some(option) = name.strip_prefix(&of).and_then(|rest| rest.strip_prefix('_')) else { continue };
        let Some((key, default)) = namespace().iter().find(|(key, _)| env_name(key) == option) else {
            continue;
        };
        match parse(default, text, false) {
            Ok(value) => insert(element, key, value),
            Err(problem) => errors.push(ConfigError {
                path: join(&format!("{NAMESPACES}[{at}]"), key),
                source: Source::Environment(variable.to_owned()),
                problem: Problem::Value(problem),
            }),
        }
        return true;
    }
    false
}
