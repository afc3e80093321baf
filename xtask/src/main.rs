//! The project's own automation: `cargo xtask <command>`.
//!
//! Everything a submission has to pass is here, in Rust, so that a laptop and a build machine run the same thing:
//! the test run ([`suite`]), the rules of the repository ([`tidy`]), the generated code ([`codegen`]) and the
//! proof of compatibility ([`compat`]). [`mod@bench`] runs the load suite.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program talks to its terminal"
)]

mod bench;
mod codegen;
mod command;
mod compat;
mod metadata;
mod rust;
mod suite;
mod tidy;
mod tree;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
The project's own automation.

Usage: cargo xtask <command> [options]

Commands:
  test [--fast] [--only STEP,...]  everything a change has to pass; the last line says `N passed, N failed`
       --fast                      formatting, lints, tidy, tests and doc tests; no release build, no SDKs
       --only STEP,...             these steps alone; `cargo xtask test --list` names them
  ci                               the same as `test`
  tidy [--only RULE,...] [--root DIR]
                                   the rules of the repository; `cargo xtask tidy --list` names them
  codegen [--check]                writes the Rust code of proto/*.proto; --check only compares
  compat [--check]                 counts the proven rows of tests/compatibility.toml and writes COMPATIBILITY.md;
                                   --check only compares
  bench [--quick] [--only W1,...] [--rounds N] [--peer-url URL --peer-pid PID ...]
                                   measures the server beside a floor server, and beside another one that is given;
                                   `cargo xtask bench --help` tells the rest
  help                             this text
";

/// What a command tells the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    Bad,
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Good => Self::SUCCESS,
            Verdict::Bad => Self::FAILURE,
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(verdict) => verdict.into(),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<Verdict, String> {
    let (name, rest) = match arguments.split_first() {
        Some((name, rest)) => (name.as_str(), rest),
        None => ("help", arguments),
    };
    let root = root();
    match name {
        "test" | "ci" => suite::command(&root, &Options::parse(rest, &["--fast", "--list"], &["--only"])?),
        "tidy" => {
            let options = Options::parse(rest, &["--list"], &["--only", "--root"])?;
            let root = options.value("--root").map_or(root, PathBuf::from);
            tidy::command(&root, &options)
        }
        "codegen" => codegen::command(&root, &Options::parse(rest, &["--check"], &[])?),
        "compat" => compat::command(&root, &Options::parse(rest, &["--check"], &[])?),
        "bench" => bench::command(&root, rest),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(Verdict::Good)
        }
        other => Err(format!("there is no command `{other}`\n\n{HELP}")),
    }
}

/// The root of the repository this program was built from.
fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}

/// The options of one command: switches, and options that take a value.
#[derive(Debug, Default)]
struct Options(Vec<(String, Option<String>)>);

impl Options {
    fn parse(arguments: &[String], switches: &[&str], valued: &[&str]) -> Result<Self, String> {
        let mut options = Vec::new();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let (name, inline) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            let value = if valued.contains(&name) {
                let value = inline.or_else(|| arguments.next().cloned());
                Some(value.ok_or_else(|| format!("`{name}` needs a value"))?)
            } else if switches.contains(&name) && inline.is_none() {
                None
            } else {
                return Err(format!("there is no option `{argument}` here\n\n{HELP}"));
            };
            options.push((name.to_owned(), value));
        }
        Ok(Self(options))
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(own, _)| own == name)
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(own, _)| own == name).and_then(|(_, value)| value.as_deref())
    }

    /// Every comma-separated word given to `name`; an error where one is not among `known`.
    fn words(&self, name: &str, known: &[&str]) -> Result<Vec<&str>, String> {
        let given = self.0.iter().filter(|(own, _)| own == name).filter_map(|(_, value)| value.as_deref());
        let words: Vec<&str> = given.flat_map(|value| value.split(',')).collect();
        match words.iter().find(|word| !known.contains(word)) {
            Some(word) => Err(format!("`{name}` knows no `{word}`, only: {}", known.join(", "))),
            None => Ok(words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn options_are_parsed_and_unknown_ones_refused() {
        let options =
            Options::parse(&strings(&["--fast", "--only", "a,b", "--only=c"]), &["--fast"], &["--only"]);
        let options = options.expect("known options");
        assert!(options.has("--fast"));
        assert_eq!(options.words("--only", &["a", "b", "c"]).expect("known words"), ["a", "b", "c"]);
        assert!(options.words("--only", &["a", "b"]).is_err());
        assert!(Options::parse(&strings(&["--slow"]), &["--fast"], &[]).is_err());
        assert!(Options::parse(&strings(&["--fast=1"]), &["--fast"], &[]).is_err());
        assert!(Options::parse(&strings(&["--only"]), &[], &["--only"]).is_err());
    }

    #[test]
    fn an_unknown_command_is_an_error() {
        assert!(run(&strings(&["frobnicate"])).is_err());
    }
}
