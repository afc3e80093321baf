//! Commands about configuration: a new one, all of it, and what it means (CLI-03, CLI-05 to CLI-07).

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use crate::cli::environment;
use crate::config::{Complete, Given, Reference, Settings, complete, load};
use crate::dev::fresh_secret;
use crate::lines;
use crate::pages::{Served, serve};

/// `defaultconfig` (CLI-05).
#[derive(Clone, Debug, Args)]
pub struct DefaultConfig {
    /// The file to be written: .json, .yaml, .yml or .toml.
    #[arg(short, long, default_value = "config.json")]
    pub config: PathBuf,
    /// A configuration file whose options are taken over.
    #[arg(short, long)]
    pub base: Option<PathBuf>,
    /// Print it instead.
    #[arg(short, long)]
    pub dry_run: bool,
}

/// `defaultenv` (CLI-06).
#[derive(Clone, Debug, Args)]
pub struct DefaultEnv {
    /// A configuration file whose options are taken over.
    #[arg(short, long)]
    pub base: Option<PathBuf>,
    /// No variables but those of options that the file sets.
    #[arg(long)]
    pub base_non_zero_only: bool,
}

/// `configdoc` (CLI-07).
#[derive(Clone, Debug, Args)]
pub struct ConfigDoc {
    /// Print Markdown instead of serving a page.
    #[arg(short, long)]
    pub markdown: bool,
    /// Only options whose names begin with this.
    #[arg(short, long, default_value = "")]
    pub section: String,
    /// The port on loopback to serve the page on.
    #[arg(short, long, default_value_t = 6060)]
    pub port: u16,
    /// How many levels lower headings of Markdown are.
    #[arg(short = 'l', long, default_value_t = 0)]
    pub base_level: usize,
}

impl DefaultConfig {
    /// Writes every option with what it is set to; or gives it as a text. An existing file is left alone.
    ///
    /// # Errors
    ///
    /// What is in the way, as a text.
    pub fn run(&self) -> Result<String, String> {
        let text = in_format(&self.config, all(self.base.as_deref())?.options())?;
        if self.dry_run {
            return Ok(text);
        }
        write_new(&self.config, &text)?;
        Ok(String::new())
    }
}

impl DefaultEnv {
    /// A line for every variable.
    ///
    /// # Errors
    ///
    /// What is wrong with the file or the environment.
    pub fn run(&self) -> Result<String, String> {
        Ok(all(self.base.as_deref())?.variables(self.base_non_zero_only))
    }
}

impl ConfigDoc {
    /// Gives the reference of options as Markdown, or serves it until the process ends.
    ///
    /// # Errors
    ///
    /// There is no such section; or the port cannot be had.
    pub fn run(&self) -> Result<String, String> {
        let reference = Reference::new(&self.section);
        if reference.is_empty() {
            return Err(format!("no option begins with {:?}", self.section));
        }
        if self.markdown {
            return Ok(reference.markdown(self.base_level));
        }
        serve("127.0.0.1", self.port, Served::Page(reference.html().into()))
    }
}

/// Every option, with what the base and the environment set.
fn all(base: Option<&Path>) -> Result<Complete, String> {
    let variables = environment().map_err(|errors| lines(&errors))?;
    let given = Given { file: base.map(Path::to_owned), variables, ..Given::default() };
    complete(&given).map_err(|errors| lines(&errors))
}

/// Writes a configuration file with fresh keys (CLI-03) and reads it back. An existing file is left alone.
///
/// # Errors
///
/// What is in the way, as a text.
pub fn generate_config(file: &Path) -> Result<(), String> {
    let secret = || fresh_secret::<64>().map_err(|error| error.to_string());
    let password = fresh_secret::<16>().map_err(|error| error.to_string())?;
    let tree = json!({
        "client": { "token": { "hmac_secret_key": secret()? }, "allowed_origins": [] },
        "admin": { "enabled": false, "password": password, "secret": secret()? },
        "http_api": { "key": secret()? },
    });
    write_new(file, &in_format(file, &tree)?)?;
    let given = Given { file: Some(file.to_owned()), ..Given::default() };
    let checked = load(&given).and_then(|loaded| Settings::new(&loaded.options));
    checked.map(|_| ()).map_err(|errors| lines(&errors))
}

/// A tree as a file of that name has it.
fn in_format(file: &Path, tree: &Value) -> Result<String, String> {
    let text = match file.extension().and_then(|extension| extension.to_str()) {
        Some("json") => serde_json::to_string_pretty(tree).map_err(|error| error.to_string())?,
        Some("toml") => toml::to_string_pretty(tree).map_err(|error| error.to_string())?,
        Some("yaml" | "yml") => serde_saphyr::to_string(tree).map_err(|error| error.to_string())?,
        _ => return Err("the name must end in .json, .yaml, .yml or .toml".to_owned()),
    };
    Ok(format!("{}\n", text.trim_end()))
}

/// Writes a file that nobody else can read, and that is not there yet.
fn write_new(file: &Path, text: &str) -> Result<(), String> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;

    let wrong = |error: std::io::Error| format!("{}: {error}", file.display());
    let created = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    created.map_err(wrong)?.write_all(text.as_bytes()).map_err(wrong)
}
