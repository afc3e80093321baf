//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::PathBuf;

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
    /// Centrifugo had it once, and this is what became of it.
    Removed(&'static str),
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
            Problem::Removed(what) => write!(f, "{path}: no such option{source}: {what}"),
            Problem::NotImplemented => {
                write!(f, "{path}: an option of Centrifugo that is not implemented yet{source}")
            }
            Problem::Value(what) => write!(f, "{path}: {what}{source}"),
        }
    }
}

impl std::error::Error for ConfigError {}
