//! The command line (CLI-01 to CLI-12).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use tourbillon_load::command::{Bench, bench};

use crate::config::{ConfigError, Given, Loaded, Options, Problem, Settings, Source, dotenv, load};
use crate::configs::{ConfigDoc, DefaultConfig, DefaultEnv, generate_config};
use crate::flags::Flags;
use crate::lines;
use crate::pages::ServeFiles;
use crate::tools::{CheckToken, Explain, GenSubToken, GenToken};

/// Scalable real-time messaging server, compatible with Centrifugo.
#[derive(Debug, Parser)]
#[command(name = "tourbillon", version, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do; without it, serve.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to serve.
    #[command(flatten)]
    pub serve: Serve,
}

/// What to do other than serve.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the version.
    Version,
    /// Check a configuration file: silent when it is fine.
    Checkconfig {
        /// The configuration file.
        #[arg(short, long, default_value = "config.json")]
        config: PathBuf,
        /// Options without a meaning are errors, which they are anyway.
        #[arg(short, long, conflicts_with = "allow_unknown_options")]
        strict: bool,
        /// Options without a meaning are no errors.
        #[arg(long)]
        allow_unknown_options: bool,
    },
    /// Make a connection token for tests and tools.
    Gentoken(GenToken),
    /// Make a subscription token for tests and tools.
    Gensubtoken(GenSubToken),
    /// Check a connection token and show what it claims.
    Checktoken(CheckToken),
    /// Check a subscription token and show what it claims.
    Checksubtoken(CheckToken),
    /// Show by which rules somebody may do something in a channel, or may not.
    Explain(Explain),
    /// Write a configuration file with fresh keys.
    Genconfig {
        /// The file to be written: .json, .yaml, .yml or .toml.
        #[arg(short, long, default_value = "config.json")]
        config: PathBuf,
    },
    /// Write a configuration file with every option and its default.
    Defaultconfig(DefaultConfig),
    /// Print a variable for every option, with its default.
    Defaultenv(DefaultEnv),
    /// Show what every option means.
    Configdoc(ConfigDoc),
    /// Serve the files of a directory, while developing.
    Serve(ServeFiles),
    /// Load a server, this one or another of the protocol, and tell what it takes.
    #[command(subcommand)]
    Bench(Bench),
}

/// Flags of the server. Those with dots are options of the configuration, and win over file and environment.
#[derive(Clone, Debug, Default, Args)]
pub struct Serve {
    /// The configuration file: .json, .yaml, .yml or .toml.
    #[arg(short, long)]
    pub config: Option<PathBuf>,
    /// Development mode: on loopback, with fresh keys, a printed snippet and a playground.
    #[arg(long)]
    pub dev: bool,
    /// Warn of options without a meaning instead of refusing them.
    #[arg(long)]
    pub allow_unknown_options: bool,
    /// Options.
    #[command(flatten)]
    pub options: Flags,
}

impl Serve {
    /// Loads the options that these flags, the environment and the file give.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them.
    pub fn load(&self) -> Result<Loaded, Vec<ConfigError>> {
        load(&Given {
            file: self.config.clone(),
            variables: environment()?,
            flags: self.options.given().to_vec(),
            lenient: self.allow_unknown_options,
        })
    }
}

impl Command {
    /// Does it, and gives what there is to be printed. `unix_seconds` is now.
    ///
    /// # Errors
    ///
    /// What went wrong, as a text.
    pub fn run(&self, unix_seconds: i64) -> Result<String, String> {
        match self {
            Self::Version => Ok(format!("Tourbillon v{}\n", env!("CARGO_PKG_VERSION"))),
            Self::Checkconfig { config, allow_unknown_options, .. } => {
                check_config(config, *allow_unknown_options).map_err(|errors| lines(&errors))?;
                Ok(String::new())
            }
            Self::Genconfig { config } => generate_config(config).map(|()| String::new()),
            Self::Defaultconfig(command) => command.run(),
            Self::Defaultenv(command) => command.run(),
            Self::Configdoc(command) => command.run(),
            Self::Gentoken(tool) => tool.run(unix_seconds),
            Self::Gensubtoken(tool) => tool.run(unix_seconds),
            Self::Checktoken(tool) => tool.run(unix_seconds),
            Self::Checksubtoken(tool) => tool.run_subscription(unix_seconds),
            Self::Explain(tool) => tool.run(unix_seconds),
            Self::Serve(command) => command.run(),
            Self::Bench(load) => bench(load).map(|report| format!("{report}\n")),
        }
    }
}

/// The process's variables, and those of `.env` in the working directory that are not set (CONF-05).
pub(crate) fn environment() -> Result<BTreeMap<String, String>, Vec<ConfigError>> {
    let file = match std::fs::read_to_string(".env") {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        read => read.map_err(|error| error.to_string()),
    };
    let mut variables = file.and_then(|text| dotenv::parse(&text)).map_err(|problem| {
        let (source, problem) = (Source::File(".env".into()), Problem::File(problem));
        vec![ConfigError { path: String::new(), source, problem }]
    })?;
    variables.extend(
        std::env::vars_os()
            .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?))),
    );
    Ok(variables)
}

/// Checks a file as the server would (CLI-04). `lenient`: options without a meaning are no errors.
///
/// # Errors
///
/// Everything that is wrong with it.
pub fn check_config(file: &Path, lenient: bool) -> Result<(), Vec<ConfigError>> {
    Settings::new(&load_file(file, lenient)?)?;
    Ok(())
}

/// The options of a file and the environment, for commands that take no others.
pub(crate) fn load_file(file: &Path, lenient: bool) -> Result<Options, Vec<ConfigError>> {
    let variables = environment()?;
    let given = Given { file: Some(file.to_owned()), variables, lenient, ..Given::default() };
    Ok(load(&given)?.options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;

        Cli::command().debug_assert();
    }
}
