//! Values of options, as texts have them and in trees.

use serde_json::Value;

/// A text as the type that it looks like: those of Centrifugo's other options are not known.
#[must_use]
pub fn foreign_value(text: &str) -> Value {
    match text {
        "f" | "F" | "FALSE" | "False" => Value::Bool(false),
        _ => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
    }
}

/// Reads a text as the type that the default has.
///
/// # Errors
///
/// Why it cannot be read so.
pub fn parse(default: &Value, text: &str, objects: bool) -> Result<Value, String> {
    match default {
        Value::Bool(_) => match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            _ => Err(format!("{text:?} is neither true nor false")),
        },
        Value::Number(_) => {
            integer(text).map(Value::from).ok_or_else(|| format!("{text:?} is not a whole number"))
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

/// Whether a value switches something on.
#[must_use]
pub fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(on) => *on,
        Value::String(text) => parse(&Value::Bool(false), text, false) == Ok(Value::Bool(true)),
        _ => false,
    }
}

/// A whole number as Go reads it: with a sign, and in another base after `0x`, `0o`, `0`, `0b`.
fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = [("0x", 16), ("0o", 8), ("0b", 2), ("0", 8)]
        .into_iter()
        .find_map(|(prefix, radix)| {
            Some((radix, lower.strip_prefix(prefix).filter(|rest| !rest.is_empty())?))
        })
        .unwrap_or((10, &lower));
    if !digits.starts_with(|first: char| first.is_ascii_hexdigit()) {
        return None;
    }
    i64::from_str_radix(&format!("{sign}{digits}"), radix).ok()
}

/// Puts a value at a path, making the objects on the way.
pub fn insert(tree: &mut Value, path: &str, value: Value) {
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

/// The place of an option in a tree; empty for the tree itself.
#[must_use]
pub fn pointer(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("/{}", path.replace('.', "/")) }
}

/// The name of an option's variable, without a prefix.
#[must_use]
pub fn env_name(path: &str) -> String {
    path.replace('.', "_").to_uppercase()
}

/// What Kubernetes sets for a service of that name, and variables for expansion, are nobody's options.
#[must_use]
pub fn is_foreign(name: &str) -> bool {
    let name = format!("_{name}_");
    name.contains("_SERVICE_") || name.contains("_PORT_") || name.starts_with("_VAR_")
}
