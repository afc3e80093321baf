//! The command line (CLI-01 to CLI-12).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use serde_json::json;
use tourbillon_load::command::Bench;

use crate::config::{ConfigError, Given, Loaded, Options, Problem, Settings, Source, dotenv, load};
use crate::dev::fresh_secret;
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
    /// Load a server, this one or another of the protocol, and tell what it takes.
    #[command(subcommand)]
    Bench(Bench),
}

/// What switches take after `=`; nothing is the same as `true`.
const SWITCH: &str = "true|false";

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
    /// The address to listen on.
    #[arg(short = 'a', long = "http_server.address", value_name = "ADDRESS")]
    pub address: Option<String>,
    /// The port to listen on.
    #[arg(short = 'p', long = "http_server.port", value_name = "PORT")]
    pub port: Option<String>,
    /// The address for API and health.
    #[arg(long = "http_server.internal_address", value_name = "ADDRESS")]
    pub internal_address: Option<String>,
    /// The port for API and health.
    #[arg(long = "http_server.internal_port", value_name = "PORT")]
    pub internal_port: Option<String>,
    /// Where to write the process id.
    #[arg(long = "pid_file", value_name = "FILE")]
    pub pid_file: Option<String>,
    /// The engine.
    #[arg(long = "engine.type", value_name = "TYPE")]
    pub engine: Option<String>,
    /// none, trace, debug, info, warn, error or fatal.
    #[arg(long = "log.level", value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// A file for the log.
    #[arg(long = "log.file", value_name = "FILE")]
    pub log_file: Option<String>,
    /// Everybody may connect, subscribe and publish.
    #[arg(long = "client.insecure", value_name = SWITCH, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub client_insecure: Option<String>,
    /// The API takes requests without a key.
    #[arg(long = "http_api.insecure", value_name = SWITCH, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub api_insecure: Option<String>,
    /// The API is on the external port too.
    #[arg(long = "http_api.external", value_name = SWITCH, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub api_external: Option<String>,
    /// Switches the health endpoint on.
    #[arg(long = "health.enabled", value_name = SWITCH, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub health: Option<String>,
}

impl Serve {
    /// The options that flags set.
    fn flags(&self) -> Vec<(String, String)> {
        let texts = [
            ("http_server.address", &self.address),
            ("http_server.port", &self.port),
            ("http_server.internal_address", &self.internal_address),
            ("http_server.internal_port", &self.internal_port),
            ("pid_file", &self.pid_file),
            ("engine.type", &self.engine),
            ("log.level", &self.log_level),
            ("log.file", &self.log_file),
            ("client.insecure", &self.client_insecure),
            ("http_api.insecure", &self.api_insecure),
            ("http_api.external", &self.api_external),
            ("health.enabled", &self.health),
        ];
        texts.into_iter().filter_map(|(path, text)| Some((path.to_owned(), text.clone()?))).collect()
    }

    /// Loads the options that these flags, the environment and the file give.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them.
    pub fn load(&self) -> Result<Loaded, Vec<ConfigError>> {
        load(&Given {
            file: self.config.clone(),
            variables: environment()?,
            flags: self.flags(),
            lenient: self.allow_unknown_options,
        })
    }
}

/// The process's variables, and those of `.env` in the working directory that are not set (CONF-05).
fn environment() -> Result<BTreeMap<String, String>, Vec<ConfigError>> {
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

/// Writes a configuration file with fresh keys (CLI-03) and reads it back. An existing file is left alone.
///
/// # Errors
///
/// What is in the way, as a text.
pub fn generate_config(file: &Path) -> Result<(), String> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;

    let secret = || fresh_secret::<64>().map_err(|error| error.to_string());
    let tree = json!({
        "client": { "token": { "hmac_secret_key": secret()? }, "allowed_origins": [] },
        "http_api": { "key": secret()? },
    });
    let text = match file.extension().and_then(|extension| extension.to_str()) {
        Some("json") => serde_json::to_string_pretty(&tree).map_err(|error| error.to_string())?,
        Some("toml") => toml::to_string_pretty(&tree).map_err(|error| error.to_string())?,
        Some("yaml" | "yml") => serde_saphyr::to_string(&tree).map_err(|error| error.to_string())?,
        _ => return Err("the name must end in .json, .yaml, .yml or .toml".to_owned()),
    };
    let wrong = |error: std::io::Error| format!("{}: {error}", file.display());
    let created = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    writeln!(created.map_err(wrong)?, "{}", text.trim_end()).map_err(wrong)?;
    let given = Given { file: Some(file.to_owned()), ..Given::default() };
    let checked = load(&given).and_then(|loaded| Settings::new(&loaded.options));
    checked.map(|_| ()).map_err(|errors| crate::lines(&errors))
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
