//! Every option with what it is set to: as a file, or as variables (CLI-05, CLI-06).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::check::Settings;
use crate::dotenv::quoted;
use crate::env::env_name;
use crate::load::{ConfigError, Given, load_named, pointer};
use crate::schema::{List, is_extension, list, ours};
use crate::texts;

/// All options: what is set, and the defaults of the others. Secrets are among it.
#[derive(Clone)]
pub struct Complete {
    options: Value,
    /// What the file alone sets.
    set: Value,
}

impl std::fmt::Debug for Complete {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Complete").finish_non_exhaustive()
    }
}

/// All options with what file, variables and flags set. Without a file in `given`, none is read. Variables in texts stay
/// as they are written.
///
/// # Errors
///
/// Everything that is wrong with them.
pub fn complete(given: &Given) -> Result<Complete, Vec<ConfigError>> {
    let (options, over) = load_named(given)?;
    Settings::new(&options)?;
    let of_file = Given { file: given.file.clone(), lenient: given.lenient, ..Given::default() };
    // Texts of the file may need variables that are not there now.
    let set = load_named(&of_file).map_or_else(|_| over.clone(), |(_, set)| set);
    let mut options = serde_json::to_value(options).unwrap_or_default();
    for path in ours().keys().filter(|path| texts::is_map(path)) {
        if let Some(value) = options.pointer_mut(&pointer(path)) {
            *value = Value::Object(Map::new());
        }
    }
    lay_over(&mut options, over);
    Ok(Complete { options, set })
}

/// Puts what was set over what was made of it, in which secrets are hidden.
fn lay_over(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(members), Value::Object(over)) => {
            for (name, value) in over {
                lay_over(members.entry(name).or_insert(Value::Null), value);
            }
        }
        (Value::Array(elements), Value::Array(over))
            if elements.len() == over.len() && over.iter().all(Value::is_object) =>
        {
            for (element, over) in elements.iter_mut().zip(over) {
                lay_over(element, over);
            }
        }
        (under, over) => *under = over,
    }
}

impl Complete {
    /// The options as a configuration file has them.
    #[must_use]
    pub const fn options(&self) -> &Value {
        &self.options
    }

    /// The options as a `.env` file has them: a variable a line, in the order of their names. `set_only`: none but those
    /// that the file sets to something else than nothing.
    #[must_use]
    pub fn variables(&self, set_only: bool) -> String {
        let mut lines = BTreeMap::new();
        let is_wanted = |place: &str| !set_only || self.set.pointer(place).is_some();
        for path in ours().keys() {
            let place = pointer(path);
            let Some(value) = self.options.pointer(&place).filter(|_| is_wanted(&place)) else { continue };
            let names = list(path)
                .zip(value.as_array())
                .and_then(|(list, elements)| self.elements(list, elements, &is_wanted, &mut lines));
            lines.insert(variable(is_extension(path), &env_name(path)), names.unwrap_or_else(|| text(value)));
        }
        lines.into_iter().map(|(name, text)| format!("{name}={text}\n")).collect()
    }

    /// Puts down the options of a list's elements, and gives their names. `None`: they have no variables of their own.
    fn elements(
        &self,
        list: &List,
        elements: &[Value],
        is_wanted: &dyn Fn(&str) -> bool,
        lines: &mut BTreeMap<String, String>,
    ) -> Option<String> {
        let names: Option<Vec<&str>> =
            elements.iter().map(|element| element.get("name").and_then(Value::as_str)).collect();
        let names = names?;
        let in_variables: Vec<String> = names.iter().map(|name| env_name(name).replace('-', "_")).collect();
        if in_variables.iter().collect::<BTreeSet<_>>().len() < names.len() {
            return None;
        }
        for (at, (element, name)) in elements.iter().zip(&in_variables).enumerate() {
            for option in list.options.keys().filter(|option| *option != "name") {
                let place = pointer(option);
                let Some(value) = element.pointer(&place) else { continue };
                if is_wanted(&format!("{}/{at}{place}", pointer(list.path))) {
                    let of = format!("{}_{name}_{}", env_name(list.path), env_name(option));
                    let extension = is_extension(&format!("{}[].{option}", list.path));
                    lines.insert(variable(extension, &of), text(value));
                }
            }
        }
        Some(quoted(&names.join(" ")))
    }
}

fn variable(extension: bool, name: &str) -> String {
    format!("{}_{name}", if extension { "TOURBILLON" } else { "CENTRIFUGO" })
}

/// A value as it is written behind the sign.
fn text(value: &Value) -> String {
    match value {
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Null => quoted(""),
        Value::String(text) => quoted(text),
        Value::Object(members) if members.is_empty() => quoted(""),
        Value::Array(list) => {
            let texts: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
            quoted(&texts.map_or_else(|| value.to_string(), |texts| texts.join(" ")))
        }
        Value::Object(_) => quoted(&value.to_string()),
    }
}
