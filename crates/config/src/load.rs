//! Reading and merging the sources, and refusing what is not an option.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value};
use serde_path_to_error::{Path, Segment};

use crate::duration::GoDuration;
use crate::env::{self, Meaning};
use crate::model::Options;
use crate::schema::{is_zero, lists, ours, unknown};
use crate::sieve::Sieve;
use crate::{idle, texts, tree};

pub use tourbillon_config_syntax::mistake::{ConfigError, Problem, Source};
pub(crate) use tourbillon_config_syntax::values::pointer;

/// What was loaded.
#[derive(Debug)]
pub struct Loaded {
    /// The options, merged.
    pub options: Options,
    /// What the operator should know of.
    pub warnings: Vec<String>,
}

/// What is given besides the file.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The file; `None` for the default one, which may be missing.
    pub file: Option<PathBuf>,
    /// Environment variables.
    pub variables: BTreeMap<String, String>,
    /// Flags: paths of options and their texts.
    pub flags: Vec<(String, String)>,
    /// Options without a meaning are warnings rather than errors.
    pub lenient: bool,
}

/// The file that is read when none is named.
const DEFAULT_FILE: &str = "config.json";

/// Loads the options.
///
/// # Errors
///
/// Everything that is wrong, not only the first.
pub fn load(given: &Given) -> Result<Loaded, Vec<ConfigError>> {
    let mut warnings = Vec::new();
    let (path, tree) = read_file(given, &mut warnings).map_err(|error| vec![error])?;
    let (mut loaded, _) = merge(given, path, tree)?;
    warnings.append(&mut loaded.warnings);
    Ok(Loaded { warnings, ..loaded })
}

/// The same without a file where none is named; and what was set, without the variables in texts.
pub(crate) fn load_named(given: &Given) -> Result<(Options, Value), Vec<ConfigError>> {
    let (path, tree) = match &given.file {
        Some(_) => read_file(given, &mut Vec::new()).map_err(|error| vec![error])?,
        None => (PathBuf::new(), Value::Object(Map::new())),
    };
    merge(given, path, tree).map(|(loaded, set)| (loaded.options, set))
}

/// Puts the other sources over the options of a file. Gives what was set, too, without the variables in texts.
fn merge(given: &Given, path: PathBuf, mut tree: Value) -> Result<(Loaded, Value), Vec<ConfigError>> {
    let mut errors = Vec::new();
    let mut warnings = Vec::new();
    let mut sieve = Sieve { source: Source::File(path), original: tree.clone(), ..Sieve::default() };
    if let Value::Object(members) = &mut tree {
        sieve.sift(members, "");
    }
    apply_variables(given, &mut tree, &mut sieve, &mut errors);
    let Sieve { strangers, mut mistakes, mut notes, .. } = sieve;
    errors.append(&mut mistakes);
    warnings.append(&mut notes);
    apply_flags(given, &mut tree, &mut errors);
    for error in strangers {
        if given.lenient {
            warnings.push(format!("{error}: ignored"));
        } else {
            errors.push(error);
        }
    }
    normalise(&mut tree);
    let set = tree.clone();
    texts::expand(&mut tree, &given.variables, &mut errors);
    match deserialise(tree, &mut errors) {
        Some(options) if errors.is_empty() => {
            warnings.append(&mut idle::warnings(&set, &serde_json::to_value(&options).unwrap_or_default()));
            Ok((Loaded { options, warnings }, set))
        }
        _ => Err(errors),
    }
}

/// Reads the options of a tree. What is wrong is taken out of it until the rest is sound.
fn deserialise(mut tree: Value, errors: &mut Vec<ConfigError>) -> Option<Options> {
    loop {
        let error = match serde_path_to_error::deserialize(&tree) {
            Ok(options) => return Some(options),
            Err(error) => error,
        };
        let path = error.path().clone();
        errors.push(ConfigError {
            path: path.to_string(),
            source: Source::Merged,
            problem: Problem::Value(error.into_inner().to_string()),
        });
        if !take_out(&mut tree, &path) {
            return None;
        }
    }
}

/// Takes out the innermost member of an object on a path, and so the whole of a list. Whether it was there.
fn take_out(tree: &mut Value, path: &Path) -> bool {
    let segments: Vec<&Segment> = path.iter().collect();
    let is_member = |segment: &&Segment| matches!(segment, Segment::Map { .. });
    let Some(last) = segments.iter().rposition(is_member) else { return false };
    let mut place = tree;
    for (at, segment) in segments.iter().enumerate().take(last + 1) {
        let next = match (segment, place) {
            (Segment::Map { key }, Value::Object(members)) if at == last => {
                return members.remove(key).is_some();
            }
            (Segment::Map { key }, Value::Object(members)) => members.get_mut(key),
            (Segment::Seq { index }, Value::Array(list)) => list.get_mut(*index),
            _ => None,
        };
        let Some(next) = next else { return false };
        place = next;
    }
    false
}

fn read_file(given: &Given, warnings: &mut Vec<String>) -> Result<(PathBuf, Value), ConfigError> {
    let path = given.file.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
    let wrong = |problem: String| ConfigError {
        path: String::new(),
        source: Source::File(path.clone()),
        problem: Problem::File(problem),
    };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if given.file.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            warnings.push(format!(
                "no configuration file: {DEFAULT_FILE} is not here; defaults, environment and flags count"
            ));
            return Ok((path, Value::Object(Map::new())));
        }
        Err(error) => return Err(wrong(error.to_string())),
    };
    match tree::parse(&path, &text).map_err(&wrong)? {
        tree @ Value::Object(_) => Ok((path, tree)),
        Value::Null => Ok((path, Value::Object(Map::new()))),
        _ => Err(wrong("the top level must be an object".to_owned())),
    }
}

/// Puts the options that variables set into `tree`, and judges the others like those of the file.
fn apply_variables(given: &Given, tree: &mut Value, sieve: &mut Sieve, errors: &mut Vec<ConfigError>) {
    // What a flag sets is not even looked at in the environment (CONF-02).
    let flagged = |path: &str| given.flags.iter().any(|(option, _)| option == path);
    let (rest, whole) = env::apply(tree, &given.variables, &flagged, errors);
    for (list, variable) in whole {
        if let Some(elements) = tree.pointer_mut(&pointer(list.path)) {
            sieve.source = Source::Environment(variable.clone());
            sieve.sift_list(list, elements);
        }
    }
    let rest: Vec<_> = rest.into_iter().map(|left| (left.0, env::apply_rest(tree, left, errors))).collect();
    for switch in ours().keys().filter(|path| path.ends_with(".enabled")) {
        if let Some(value) = tree.pointer(&pointer(switch)).cloned() {
            env::insert(&mut sieve.original, switch, value);
        }
    }
    for (_, meaning) in &rest {
        if let Meaning::Foreign(plain, path, value) = meaning
            && plain == path
        {
            env::insert(&mut sieve.original, path, value.clone());
        }
    }
    for (variable, meaning) in rest {
        sieve.source = Source::Environment(variable.clone());
        match meaning {
            Meaning::Done => {}
            Meaning::Foreign(plain, path, value) => sieve.judge(&plain, &path, &value),
            Meaning::Unknown(nearest) => sieve.refuse(variable, unknown(variable, nearest)),
        }
    }
}

fn apply_flags(given: &Given, tree: &mut Value, errors: &mut Vec<ConfigError>) {
    for (option, text) in &given.flags {
        let default = ours().get(option).unwrap_or(&Value::Null);
        match env::parse(default, text, false) {
            Ok(value) => env::insert(tree, option, value),
            Err(problem) => errors.push(ConfigError {
                path: format!("--{option}"),
                source: Source::Merged,
                problem: Problem::Value(problem),
            }),
        }
    }
}

/// Brings values into the form that the model takes: the same as none becomes the default (CONF-09), and texts
/// of numbers and truth values are read, and whole numbers where texts belong, as Centrifugo does.
fn normalise(tree: &mut Value) {
    normalise_options(tree, ours());
    for list in lists() {
        let elements = tree.pointer_mut(&pointer(list.path)).and_then(Value::as_array_mut);
        elements.into_iter().flatten().for_each(|element| normalise_options(element, list.options));
    }
}

fn normalise_options(tree: &mut Value, options: &BTreeMap<String, Value>) {
    for (path, default) in options {
        let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
        if let Some(Value::Object(members)) = tree.pointer_mut(&pointer(parent)) {
            normalise_member(members, name, default);
        }
    }
}

fn normalise_member(members: &mut Map<String, Value>, name: &str, default: &Value) {
    let Some(value) = members.get_mut(name) else { return };
    if is_none(default, value) {
        members.remove(name);
        return;
    }
    match (default, &*value) {
        // A fraction has many texts, and this might be another than the one that was written.
        (Value::String(text), Value::Number(number))
            if !number.is_f64() && GoDuration::parse(text).is_none() =>
        {
            *value = Value::from(number.to_string());
        }
        (Value::Number(_) | Value::Bool(_), Value::String(text)) => {
            if let Ok(read) = env::parse(default, text, false) {
                *value = read;
            }
        }
        _ => {}
    }
    if is_none(default, value) {
        members.remove(name);
    }
}

/// Whether a value of an option with this default is the same as none (CONF-09).
fn is_none(default: &Value, value: &Value) -> bool {
    match (default, value) {
        (_, Value::Null) => true,
        (_, Value::String(text)) if text.is_empty() => true,
        (Value::String(default), Value::String(_) | Value::Number(_)) => {
            GoDuration::parse(default).is_some() && is_zero(value)
        }
        (Value::Number(_), Value::Number(_))
        | (Value::Bool(_), Value::Bool(_))
        | (Value::Array(_), Value::Array(_)) => is_zero(value),
        _ => false,
    }
}
