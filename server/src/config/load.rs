//! Reading and merging the sources, and refusing what is not an option.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::duration::GoDuration;
use super::env::{self, Meaning};
use super::model::Options;
use super::schema::{
    NAMESPACES, WITHOUT_EFFECT, is_default, is_known, is_zero, join, namespace, nearest, ours, switch_of,
};

/// Where an option was set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// A configuration file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// Several sources together.
    #[default]
    Merged,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, " (in {})", path.display()),
            Self::Environment(variable) => write!(f, " (by {variable})"),
            Self::Merged => Ok(()),
        }
    }
}

/// What is wrong with a configuration, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The full path of the option; empty where it is about a whole file.
    pub path: String,
    /// Where it was set.
    pub source: Source,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with an option.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The file cannot be read, or is not in its format.
    File(String),
    /// There is no such option.
    Unknown {
        /// The name that was meant, perhaps.
        nearest: Option<String>,
    },
    /// Centrifugo has it, and this server does not yet.
    NotImplemented,
    /// The value makes no sense.
    Value(String),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, source, problem } = self;
        match problem {
            Problem::File(what) => write!(f, "configuration file{source}: {what}"),
            Problem::Unknown { nearest: Some(nearest) } => {
                write!(f, "{path}: no such option{source}; did you mean {nearest}?")
            }
            Problem::Unknown { nearest: None } => write!(f, "{path}: no such option{source}"),
            Problem::NotImplemented => {
                write!(f, "{path}: an option of Centrifugo that is not implemented yet{source}")
            }
            Problem::Value(what) => write!(f, "{path}: {what}{source}"),
        }
    }
}

impl std::error::Error for ConfigError {}

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
    let mut errors = Vec::new();
    let mut warnings = Vec::new();
    let (path, mut tree) = read_file(given, &mut warnings).map_err(|error| vec![error])?;
    let mut sieve = Sieve { source: Source::File(path), original: tree.clone(), ..Sieve::default() };
    if let Value::Object(members) = &mut tree {
        sieve.sift(members, "");
    }
    apply_variables(given, &mut tree, &mut sieve, &mut errors);
    let Sieve { strangers, mut mistakes, mut notes, .. } = sieve;
    errors.append(&mut mistakes);
    warnings.append(&mut notes);
    for (option, text) in &given.flags {
        let default = ours().get(option).unwrap_or(&Value::Null);
        match env::parse(default, text, false) {
            Ok(value) => env::insert(&mut tree, option, value),
            Err(problem) => errors.push(ConfigError {
                path: format!("--{option}"),
                source: Source::Merged,
                problem: Problem::Value(problem),
            }),
        }
    }
    for error in strangers {
        if given.lenient {
            warnings.push(format!("{error}: ignored"));
        } else {
            errors.push(error);
        }
    }
    normalise(&mut tree, &mut errors);
    match serde_path_to_error::deserialize(&tree) {
        Ok(options) if errors.is_empty() => return Ok(Loaded { options, warnings }),
        Ok(_) => {}
        Err(error) => errors.push(ConfigError {
            path: error.path().to_string(),
            source: Source::Merged,
            problem: Problem::Value(error.into_inner().to_string()),
        }),
    }
    Err(errors)
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
    let tree = parse(&path, &text).map_err(&wrong)?;
    match tree {
        Value::Object(_) => Ok((path, tree)),
        Value::Null => Ok((path, Value::Object(Map::new()))),
        _ => Err(wrong("the top level must be an object".to_owned())),
    }
}

fn parse(path: &Path, text: &str) -> Result<Value, String> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => serde_json::from_str(text).map_err(|error| error.to_string()),
        Some("yaml" | "yml") => serde_saphyr::from_str(text).map_err(|error| error.to_string()),
        Some("toml") => toml::from_str(text).map_err(|error| error.to_string()),
        _ => Err("the name must end in .json, .yaml, .yml or .toml".to_owned()),
    }
}

/// Puts the options that variables set into `tree`, and judges the others like those of the file.
fn apply_variables(given: &Given, tree: &mut Value, sieve: &mut Sieve, errors: &mut Vec<ConfigError>) {
    let (rest, namespaces) = env::apply(tree, &given.variables, errors);
    if let Some(variable) = namespaces
        && let Some(list) = tree.pointer_mut("/channel/namespaces")
    {
        sieve.source = Source::Environment(variable.clone());
        sieve.sift_namespaces(list);
    }
    let rest: Vec<_> = rest.into_iter().map(|left| (left.0, env::apply_rest(tree, left, errors))).collect();
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
            Meaning::Unknown(nearest) => sieve.refuse(variable, Problem::Unknown { nearest }),
        }
    }
}

/// Takes out of a file's options whatever is none of ours, and says what is wrong with it.
#[derive(Default)]
struct Sieve {
    source: Source,
    /// The file as it was, to look up which features are switched on.
    original: Value,
    strangers: Vec<ConfigError>,
    /// What is wrong with options of ours.
    mistakes: Vec<ConfigError>,
    notes: Vec<String>,
}

impl Sieve {
    fn sift(&mut self, members: &mut Map<String, Value>, path: &str) {
        let mut foreign = Vec::new();
        for (name, value) in members.iter_mut() {
            let path = join(path, name);
            if ours().contains_key(&path) {
                if path == NAMESPACES {
                    self.sift_namespaces(value);
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
                    self.mistakes.push(ConfigError {
                        path,
                        source: self.source.clone(),
                        problem: Problem::Value("must be an object".to_owned()),
                    });
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

    fn sift_namespaces(&mut self, list: &mut Value) {
        let Value::Array(list) = list else { return };
        for (at, element) in list.iter_mut().enumerate() {
            let Value::Object(members) = element else { continue };
            members.retain(|name, value| {
                let ours = namespace().contains_key(name);
                if !ours {
                    self.judge(&join(NAMESPACES, name), &format!("{NAMESPACES}[{at}].{name}"), value);
                }
                ours
            });
        }
    }

    /// Says what is wrong with an option that is none of ours. `plain` is its path without indices.
    fn judge(&mut self, plain: &str, path: &str, value: &Value) {
        if let Value::Object(members) = value
            && !members.is_empty()
            && (is_known(plain) || !super::schema::is_leaf(plain))
        {
            for (name, member) in members {
                self.judge(&join(plain, name), &join(path, name), member);
            }
            return;
        }
        let problem = if !is_known(plain) {
            Problem::Unknown { nearest: nearest(plain) }
        } else if is_default(plain, value) {
            return;
        } else if let Some((_, why)) = WITHOUT_EFFECT.iter().find(|(option, _)| *option == plain) {
            self.notes.push(format!("{path} has no effect: {why}"));
            return;
        } else if self.is_off(plain) {
            self.notes.push(format!("{path} has no effect: its feature is off, and not implemented yet"));
            return;
        } else {
            Problem::NotImplemented
        };
        self.refuse(path, problem);
    }

    fn refuse(&mut self, path: &str, problem: Problem) {
        self.strangers.push(ConfigError { path: path.to_owned(), source: self.source.clone(), problem });
    }

    /// Whether an option belongs to a feature that is switched off, so that it means nothing.
    fn is_off(&self, path: &str) -> bool {
        let value_of = |path: &str| self.original.pointer(&format!("/{}", path.replace('.', "/")));
        if path.starts_with("engine.redis.") {
            return value_of("engine.type").and_then(Value::as_str) != Some("redis");
        }
        switch_of(path).is_some_and(|switch| value_of(&switch).and_then(Value::as_bool) != Some(true))
    }
}

/// Brings values into the form that the model takes: the same as none becomes the default (CONF-09), and texts
/// of numbers and truth values are read, as Centrifugo does.
fn normalise(tree: &mut Value, errors: &mut Vec<ConfigError>) {
    for (path, default) in ours() {
        let Some((parent, name)) = path.rsplit_once('.').or(Some(("", path))) else { continue };
        let parent = if parent.is_empty() { String::new() } else { format!("/{}", parent.replace('.', "/")) };
        if let Some(Value::Object(members)) = tree.pointer_mut(&parent) {
            normalise_member(members, name, default, path == "http_server.internal_port");
        }
    }
    let Some(Value::Array(list)) = tree.pointer_mut("/channel/namespaces") else { return };
    for (at, element) in list.iter_mut().enumerate() {
        let Value::Object(members) = element else { continue };
        for (name, default) in namespace() {
            normalise_member(members, name, default, false);
            // The model's elements are made of two parts, and its errors do not tell which member they are about.
            let expected = match (default, members.get(name)) {
                (_, None)
                | (Value::Bool(_), Some(Value::Bool(_)))
                | (Value::String(_), Some(Value::String(_))) => {
                    continue;
                }
                (Value::Bool(_), Some(_)) => "must be true or false",
                (Value::String(_), Some(_)) => "must be a text",
                _ => continue,
            };
            members.remove(name);
            errors.push(ConfigError {
                path: format!("{NAMESPACES}[{at}].{name}"),
                source: Source::Merged,
                problem: Problem::Value(expected.to_owned()),
            });
        }
    }
}

fn normalise_member(members: &mut Map<String, Value>, name: &str, default: &Value, text_of_number: bool) {
    let Some(value) = members.get_mut(name) else { return };
    if is_none(default, value) {
        members.remove(name);
        return;
    }
    match (default, &*value) {
        (Value::String(_), Value::Number(number)) if text_of_number => {
            *value = Value::from(number.to_string())
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
        (Value::String(default), Value::String(_)) => GoDuration::parse(default).is_some() && is_zero(value),
        (Value::Number(_) | Value::String(_), Value::Number(_))
        | (Value::Bool(_), Value::Bool(_))
        | (Value::Array(_), Value::Array(_)) => is_zero(value),
        _ => false,
    }
}
