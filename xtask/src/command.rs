//! Other programs: run, captured or watched line by line, and shown so that a reader can repeat them.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;

/// One call of another program.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    program: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    directory: PathBuf,
}

impl Command {
    /// A call from a line of words separated by spaces, run in `directory`.
    pub(crate) fn new(directory: &Path, line: &str) -> Self {
        let mut words = line.split_whitespace().map(str::to_owned);
        Self {
            program: words.next().unwrap_or_default(),
            arguments: words.collect(),
            environment: Vec::new(),
            directory: directory.to_path_buf(),
        }
    }

    /// A call of the program in a file, whose path may hold spaces.
    pub(crate) fn at(directory: &Path, program: &str) -> Self {
        Self { program: program.to_owned(), ..Self::new(directory, "") }
    }

    pub(crate) fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub(crate) fn environment(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// The call as a line for a shell, from the root of the repository.
    pub(crate) fn shown(&self, root: &Path) -> String {
        let mut line = String::new();
        let inside = self.directory.strip_prefix(root).unwrap_or(&self.directory);
        if !inside.as_os_str().is_empty() {
            line.push_str(&format!("cd {} && ", quoted(&inside.to_string_lossy())));
        }
        for (name, value) in &self.environment {
            line.push_str(&format!("{name}={} ", quoted(value)));
        }
        line.push_str(&self.program);
        for argument in &self.arguments {
            line.push(' ');
            line.push_str(&quoted(argument));
        }
        line
    }

    fn build(&self) -> std::process::Command {
        let mut command = std::process::Command::new(&self.program);
        command.args(&self.arguments).current_dir(&self.directory);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn failed(&self, error: &std::io::Error) -> String {
        format!("`{}` does not start: {error}", self.program)
    }

    /// Runs it on this terminal. False where it ends badly.
    pub(crate) fn run(&self) -> Result<bool, String> {
        let status = self.build().status().map_err(|error| self.failed(&error))?;
        Ok(status.success())
    }

    /// Whether it starts and ends well, without a word on this terminal.
    pub(crate) fn answers(&self) -> bool {
        let quiet = self.build().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        quiet.is_ok_and(|status| status.success())
    }

    /// What it writes to its standard output; an error with what it complained about where it ends badly.
    pub(crate) fn capture(&self) -> Result<String, String> {
        let output = self.build().stdin(Stdio::null()).output().map_err(|error| self.failed(&error))?;
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr);
            return Err(format!("`{}` fails: {}", self.shown(&self.directory), complaint.trim()));
        }
        String::from_utf8(output.stdout).map_err(|_| format!("`{}` wrote no UTF-8", self.program))
    }

    /// Gives it `input` and returns what it writes.
    pub(crate) fn filter(&self, input: &str) -> Result<String, String> {
        let mut command = self.build();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| self.failed(&error))?;
        let stdin = child.stdin.take();
        let input = input.to_owned();
        // Writing on a thread of its own: the child may fill its output pipe before it has read everything.
        let writer = thread::spawn(move || {
            if let Some(mut stdin) = stdin {
                // A child that stops reading says why on its standard error.
                let _ = std::io::Write::write_all(&mut stdin, input.as_bytes());
            }
        });
        let output = child.wait_with_output().map_err(|error| self.failed(&error))?;
        let _ = writer.join();
        if !output.status.success() {
            return Err(format!(
                "`{}` fails: {}",
                self.program,
                String::from_utf8_lossy(&output.stderr).trim()
            ));
        }
        String::from_utf8(output.stdout).map_err(|_| format!("`{}` wrote no UTF-8", self.program))
    }

    /// Runs it, shows both of its outputs as they come and hands every line to `watch`. False where it ends badly.
    pub(crate) fn watch(&self, mut watch: impl FnMut(&str)) -> Result<bool, String> {
        let mut command = self.build();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| self.failed(&error))?;
        let (lines, received) = mpsc::channel();
        let readers = [
            child.stdout.take().map(|stream| forward(stream, lines.clone())),
            child.stderr.take().map(|stream| forward(stream, lines.clone())),
        ];
        drop(lines);
        for line in received {
            println!("{line}");
            watch(&line);
        }
        for reader in readers.into_iter().flatten() {
            let _ = reader.join();
        }
        let status = child.wait().map_err(|error| self.failed(&error))?;
        Ok(status.success())
    }
}

fn forward(stream: impl Read + Send + 'static, lines: mpsc::Sender<String>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            if lines.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                return;
            }
            line.clear();
        }
    })
}

fn quoted(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./=:,+@%".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(line: &str) -> Command {
        Command::new(Path::new("/"), line)
    }

    #[test]
    fn a_command_is_shown_as_a_shell_takes_it() {
        let command = Command::new(Path::new("/repo/tests/sdk"), "npm test")
            .argument("two words")
            .environment("BIN", "/x/y z");
        assert_eq!(command.shown(Path::new("/repo")), "cd tests/sdk && BIN='/x/y z' npm test 'two words'");
        assert_eq!(here("true").shown(Path::new("/")), "true");
    }

    #[test]
    fn both_outputs_are_watched() {
        let mut lines = Vec::new();
        let command = here("sh -c").argument("echo one; echo two >&2; exit 3");
        assert_eq!(command.watch(|line| lines.push(line.to_owned())), Ok(false));
        lines.sort();
        assert_eq!(lines, ["one", "two"]);
    }

    #[test]
    fn failures_are_told_apart_from_answers() {
        assert!(here("true").answers());
        assert!(!here("false").answers());
        assert!(!here("no-such-program-anywhere").answers());
        assert_eq!(here("echo hello").capture(), Ok("hello\n".to_owned()));
        let error = here("sh -c").argument("echo because >&2; exit 1").capture().expect_err("it fails");
        assert!(error.contains("because"), "{error}");
    }

    #[test]
    fn a_filter_gets_its_input() {
        assert_eq!(here("tr a-z A-Z").filter("abc"), Ok("ABC".to_owned()));
        assert!(here("false").filter("abc").is_err());
    }
}
