//! The steps of a test run.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use super::counts::{Programs, Tools};
use super::prerequisites::{self, Missing, SDK};
use super::room::Room;
use super::tally::Tally;
use crate::command::Command;
use crate::metadata::Metadata;
use crate::{Options, Verdict, tidy};

/// One step.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    /// Whether it is part of `--fast`.
    pub(super) fast: bool,
    /// The steps that have to come before it, whatever was chosen.
    pub(super) needs: &'static [&'static str],
    pub(super) run: fn(&World<'_>, &mut Tally) -> Result<Outcome, String>,
}

/// How a step ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    /// It could not run, and why.
    Skipped(String),
    /// What failed; where it was a program, the line that repeats it.
    Failed(String),
}

/// What steps share.
#[derive(Debug)]
pub(super) struct World<'a> {
    root: &'a Path,
    metadata: Metadata,
    wanted: Vec<&'static str>,
    fast: bool,
    /// What the first step found to be missing.
    missing: OnceCell<Missing>,
}

pub(super) const STEPS: &[Step] = &[
    Step {
        name: "prerequisites",
        what: "Node, npm packages, a browser",
        fast: false,
        needs: &[],
        run: prerequisites,
    },
    Step { name: "fmt", what: "formatting", fast: true, needs: &[], run: fmt },
    Step { name: "clippy", what: "lints, none forgiven", fast: true, needs: &[], run: clippy },
    Step { name: "tidy", what: "the rules of the repository", fast: true, needs: &[], run: tidy },
    Step {
        name: "tests",
        what: "unit, property, integration and fuzz corpus tests",
        fast: true,
        needs: &[],
        run: tests,
    },
    Step {
        name: "services",
        what: "adapters against the services that they are for",
        fast: false,
        needs: &[],
        run: services,
    },
    Step {
        name: "doctests",
        what: "the examples in the documentation",
        fast: true,
        needs: &[],
        run: doctests,
    },
    Step {
        name: "docs",
        what: "the documentation builds without a warning",
        fast: false,
        needs: &[],
        run: docs,
    },
    Step {
        name: "alone",
        what: "each crate and each feature builds alone",
        fast: false,
        needs: &[],
        run: alone,
    },
    Step {
        name: "deny",
        what: "licences, bans and sources of dependencies",
        fast: false,
        needs: &[],
        run: deny,
    },
    Step { name: "server", what: "the release build", fast: false, needs: &[], run: server },
    Step {
        name: "counts",
        what: "instructions and system calls of deliveries and requests",
        fast: false,
        needs: &["server"],
        run: counts,
    },
    Step {
        name: "sdk",
        what: "the official JavaScript SDK against the release build",
        fast: false,
        needs: &["prerequisites", "server"],
        run: sdk,
    },
    Step {
        name: "browser",
        what: "two pages of a browser against the release build",
        fast: false,
        needs: &["prerequisites", "server"],
        run: browser,
    },
    Step {
        name: "python",
        what: "Python's grpcio against the release build",
        fast: false,
        needs: &["server"],
        run: python,
    },
];

impl<'a> World<'a> {
    pub(super) fn new(root: &'a Path, wanted: Vec<&'static str>, fast: bool) -> Result<Self, String> {
        Ok(Self { root, metadata: Metadata::load(root)?, wanted, fast, missing: OnceCell::new() })
    }

    /// What is left on the disk the build goes to.
    pub(super) fn room(&self) -> Option<Room> {
        Room::at(self.root, Path::new(&self.metadata.target_directory))
    }

    fn cargo(&self, line: &str) -> Command {
        Command::new(self.root, &format!("cargo {line}"))
    }

    fn binary(&self) -> PathBuf {
        Path::new(&self.metadata.target_directory).join("release/tourbillon")
    }

    /// Runs a program on this terminal.
    fn run(&self, command: &Command) -> Result<Outcome, String> {
        println!("$ {}", command.shown(self.root));
        Ok(if command.run()? { Outcome::Done } else { self.failed(command) })
    }

    /// Runs a program that runs tests. One that runs none has not shown anything.
    fn count(&self, command: &Command, tally: &mut Tally) -> Result<Outcome, String> {
        println!("$ {}", command.shown(self.root));
        let good = command.watch(|line| tally.read(line))?;
        Ok(match good {
            false => self.failed(command),
            true if tally.passed == 0 => {
                Outcome::Failed(format!("no test ran in: {}", command.shown(self.root)))
            }
            true => Outcome::Done,
        })
    }

    fn failed(&self, command: &Command) -> Outcome {
        Outcome::Failed(format!("to repeat: {}", command.shown(self.root)))
    }

    /// One of the scripts of the SDK tests.
    fn sdk_script(&self, script: &str, tally: &mut Tally) -> Result<Outcome, String> {
        let folder = self.root.join(SDK);
        if !folder.join("package.json").exists() {
            return Err(format!("{SDK}/package.json is not there"));
        }
        let command = Command::new(&folder, &format!("npm run --silent {script}"))
            .environment("TOURBILLON_BIN", self.binary().to_string_lossy());
        self.count(&command, tally)
    }
}

fn prerequisites(world: &World<'_>, _: &mut Tally) -> Result<Outcome, String> {
    let wanted = |step: &str| world.wanted.contains(&step);
    let browser = wanted("browser");
    let missing = prerequisites::install(world.root, browser || wanted("sdk"), browser)?;
    let services = [&missing.redis, &missing.nats, &missing.postgres];
    for why in [&missing.node, &missing.browser, &missing.proxy].into_iter().chain(services).flatten() {
        println!("\n!!! MISSING: {why}\n");
    }
    world.missing.get_or_init(|| missing);
    Ok(Outcome::Done)
}

fn fmt(world: &World<'_>, _: &mut Tally) -> Result<Outcome, String> {
    world.run(&world.cargo("fmt --all --check"))
}

fn clippy(world: &World<'_>, _: &mut Tally) -> Result<Outcome, String> {
    world.run(&world.cargo("clippy --workspace --all-targets -- -D warnings"))
}

fn tidy(world: &World<'_>, _: &mut Tally) -> Result<Outcome, String> {
    match tidy::command(world.root, &Options::default())? {
        Verdict::Good => Ok(Outcome::Done),
        Verdict::Bad => Ok(Outcome::Failed("to repeat: cargo xtask tidy".to_owned())),
    }
}

fn tests(world: &World<'_>, tally: &mut Tally) -> Result<Outcome, String> {
    let mut command = if world.cargo("nextest --version").answers() {
        world.cargo("nextest run --workspace --no-fail-fast")
    } else {
        world.cargo("test --workspace --lib --bins --tests --examples --no-fail-fast")
    };
    if world.fast && std::env::var_os("PROPTEST_CASES").is_none() {
        command = command.environment("PROPTEST_CASES", "64");
    }
    world.count(&command, tally)
}

/// The feature, and the test target, by which a crate is tested against a service that it is for.
const LIVE: &str = "live";

/// Each crate that has the feature. A service that is missing and cannot be installed leaves the tests of all out: they
/// do not say themselves which they need.
fn services(world: &World<'_>, tally: &mut Tally) -> Result<Outcome, String> {
    let crates: Vec<&str> = live_crates(&world.metadata).collect();
    if crates.is_empty() {
        return Ok(Outcome::Skipped("no crate has live tests".to_owned()));
    }
    for program in prerequisites::SERVICES {
        if let Some(why) = prerequisites::package_missing(world.root, program) {
            println!("\n!!! MISSING: {why}\n");
            return Ok(Outcome::Skipped(why));
        }
    }
    for name in crates {
        let line = format!("test --package {name} --features {LIVE} --test {LIVE}");
        let outcome = world.count(&world.cargo(&line), tally)?;
        if outcome != Outcome::Done {
            return Ok(outcome);
        }
    }
    Ok(Outcome::Done)
}

fn live_crates(metadata: &Metadata) -> impl Iterator<Item = &str> {
    let live = |package: &&crate::metadata::Package| package.features.contains_key(LIVE);
    metadata.packages.iter().filter(live).map(|package| package.name.as_str())
}

fn doctests(world: &World<'_>, tally: &mut Tally) -> Result<Outcome, String> {
    world.count(&world.cargo("test --workspace --doc --no-fail-fast"), tally)
}

fn docs(world: &World<'_>, _: &mut Tally) -> Result<Outcome, String> {
    world.run(&world.cargo("doc --workspace --no-deps --quiet").environment("RUSTDOCFLAGS", "-D warnings"))
}

/// In a build of the whole workspace a crate gets the features that its neighbours ask for, and a missing one of its
/// own does not show.
fn alone(world: &World<'_>, _: &mut Tally) -> Result<Outcome, String> {
    for line in alone_lines(&world.metadata) {
        let outcome = world.run(&world.cargo(&line))?;
        if outcome != Outcome::Done {
            return Ok(outcome);
        }
    }
    Ok(Outcome::Done)
}

fn alone_lines(metadata: &Metadata) -> Vec<String> {
    let libraries = metadata.packages.iter().filter(|package| package.name.starts_with("tourbillon"));
    let mut lines = Vec::new();
    for package in libraries {
        // Clippy denies warnings without a second build of all dependencies, which other flags would need.
        let check =
            |options: &str| format!("clippy --quiet --package {}{options} -- -D warnings", package.name);
        let features: Vec<&String> = package.features.keys().filter(|name| *name != "default").collect();
        lines.push(check(""));
        if !features.is_empty() {
            lines.push(check(" --no-default-features"));
        }
        lines.extend(
            features.iter().map(|feature| check(&format!(" --no-default-features --features {feature}"))),
        );
    }
    lines
}

fn deny(world: &World<'_>, _: &mut Tally) -> Result<Outcome, String> {
    if !world.cargo("deny --version").answers() {
        return Ok(Outcome::Skipped(
            "cargo-deny is not installed (`cargo install --locked cargo-deny`)".to_owned(),
        ));
    }
    world.run(&world.cargo("deny check bans licenses sources"))
}

fn server(world: &World<'_>, _: &mut Tally) -> Result<Outcome, String> {
    world.run(&world.cargo("build --release --package tourbillon-server --bin tourbillon"))
}

fn counts(world: &World<'_>, tally: &mut Tally) -> Result<Outcome, String> {
    const EXAMPLE: &str = "deliveries";
    let callgrind = prerequisites::package_missing(world.root, "valgrind");
    let strace = prerequisites::package_missing(world.root, "strace").or_else(|| {
        let works = Command::new(world.root, "strace -c -o /dev/null true").answers();
        (!works).then(|| "strace may not trace here".to_owned())
    });
    let tools = Tools { callgrind: callgrind.is_none(), strace: strace.is_none() };
    for why in [&callgrind, &strace].into_iter().flatten() {
        println!("\n!!! MISSING: {why}\n");
    }
    if let (Some(callgrind), Some(strace)) = (callgrind, strace) {
        return Ok(Outcome::Skipped(format!("{callgrind}; {strace}")));
    }
    let build = format!("build --release --package tourbillon-node --example {EXAMPLE}");
    let outcome = world.run(&world.cargo(&build))?;
    if outcome != Outcome::Done {
        return Ok(outcome);
    }
    let folder = Path::new(&world.metadata.target_directory);
    let deliveries = &folder.join("release/examples").join(EXAMPLE);
    let programs = Programs { deliveries, server: &world.binary(), folder };
    super::counts::run(world.root, &programs, tools, tally)
}

fn sdk(world: &World<'_>, tally: &mut Tally) -> Result<Outcome, String> {
    match world.missing.get().and_then(|missing| missing.node.clone()) {
        Some(why) => Ok(Outcome::Skipped(why)),
        None => world.sdk_script("test", tally),
    }
}

fn browser(world: &World<'_>, tally: &mut Tally) -> Result<Outcome, String> {
    let missing = world.missing.get();
    match missing.and_then(|missing| missing.node.clone().or_else(|| missing.browser.clone())) {
        Some(why) => Ok(Outcome::Skipped(why)),
        None => world.sdk_script("test:browser", tally),
    }
}

fn python(world: &World<'_>, tally: &mut Tally) -> Result<Outcome, String> {
    let folder = Path::new(&world.metadata.target_directory).join("python");
    let program = match prerequisites::python(world.root, &folder)? {
        Ok(program) => program,
        Err(why) => {
            println!("\n!!! MISSING: {why}\n");
            return Ok(Outcome::Skipped(why));
        }
    };
    let command = Command::at(world.root, &program)
        .argument(format!("{}/uni_grpc.py", prerequisites::PYTHON))
        .environment("TOURBILLON_BIN", world.binary().to_string_lossy());
    world.count(&command, tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_is_checked_alone() {
        let text = r#"{"packages":[{"name":"tourbillon-types"},{"name":"xtask"},
            {"name":"tourbillon","features":{"default":["a"],"a":[]}}],"target_directory":"/t"}"#;
        let lines = alone_lines(&Metadata::parse(text).expect("metadata"));
        assert_eq!(
            lines,
            [
                "clippy --quiet --package tourbillon-types -- -D warnings",
                "clippy --quiet --package tourbillon -- -D warnings",
                "clippy --quiet --package tourbillon --no-default-features -- -D warnings",
                "clippy --quiet --package tourbillon --no-default-features --features a -- -D warnings",
            ]
        );
    }

    #[test]
    fn crates_with_live_tests_are_found() {
        let text = r#"{"packages":[{"name":"tourbillon-types"},
            {"name":"tourbillon-broker-x","features":{"live":[]}}],"target_directory":"/t"}"#;
        let metadata = Metadata::parse(text).expect("metadata");
        assert_eq!(live_crates(&metadata).collect::<Vec<_>>(), ["tourbillon-broker-x"]);
    }

    #[test]
    fn a_run_of_no_tests_shows_nothing() {
        let root = crate::root();
        let world = World::new(&root, Vec::new(), false).expect("a world");
        let mut tally = Tally::default();
        let none = world.count(&Command::new(&root, "true"), &mut tally).expect("it runs");
        assert!(matches!(none, Outcome::Failed(_)), "{none:?}");
        let some = Command::new(&root, "echo").argument("test result: ok. 1 passed; 0 failed; 0 ignored");
        assert_eq!(world.count(&some, &mut tally), Ok(Outcome::Done));
        let bad = world.count(&Command::new(&root, "false"), &mut tally).expect("it runs");
        assert_eq!(bad, Outcome::Failed("to repeat: false".to_owned()));
    }

    #[test]
    fn needs_are_steps_that_come_before() {
        for (index, step) in STEPS.iter().enumerate() {
            assert!(step.needs.iter().all(|need| STEPS[..index].iter().any(|earlier| earlier.name == *need)));
        }
    }
}
