//! The rules of the repository, each a function from the repository to what is wrong with it.
//!
//! A rule that cannot be shown to fail is no rule: each has a test of its own with an input it must refuse.

mod arrows;
mod calls;
mod manifests;
mod sizes;
mod texts;

use std::fmt;
use std::path::Path;

use crate::metadata::Metadata;
use crate::tree::Tree;
use crate::{Options, Verdict, codegen, compat};

/// What the rules look at.
#[derive(Debug)]
struct Context<'a> {
    root: &'a Path,
    tree: Tree,
    metadata: Metadata,
}

/// One thing that is wrong.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    /// The file, with the line where one is known.
    place: String,
    what: String,
    /// Shown, but no reason to fail.
    warning: bool,
}

impl Finding {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into(), warning: false }
    }

    fn at(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self::new(format!("{path}:{line}"), what)
    }

    fn warning(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { warning: true, ..Self::new(place, what) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.what)
    }
}

type Findings = Vec<Finding>;

type Rule = fn(&Context<'_>) -> Result<Findings, String>;

/// Every rule with its name and what it holds.
const RULES: &[(&str, &str, Rule)] = &[
    ("arrows", "crates depend on each other as the table of ARCHITECTURE.md allows", |context| {
        Ok(arrows::check(&context.metadata))
    }),
    ("pure", "pure crates have no runtime among their dependencies", |context| arrows::pure(context.root)),
    ("banned", "no ring, OpenSSL or native-tls anywhere", |context| arrows::banned(context.root)),
    ("manifests", "crates inherit what the workspace decides", |context| Ok(manifests::check(&context.tree))),
    ("registries", "locked packages come from the public registries", |context| {
        Ok(manifests::registries(&context.tree))
    }),
    ("files", "no file is too long", |context| Ok(sizes::files(&context.tree))),
    ("crates", "no crate is too large", |context| Ok(sizes::crates(&context.tree))),
    ("main", "the server's main.rs only puts things together", |context| Ok(sizes::main(&context.tree))),
    ("docs", "every module says what it is for", |context| Ok(texts::docs(&context.tree))),
    ("todos", "an unfinished place names its issue", |context| Ok(texts::todos(&context.tree))),
    ("paths", "nothing names a directory of the machine it was written on", |context| {
        Ok(texts::paths(&context.tree))
    }),
    ("marks", "generated code says so, and nothing else does", |context| Ok(texts::marks(&context.tree))),
    ("sleeps", "tests wait for events, not for time to pass", |context| Ok(calls::sleeps(&context.tree))),
    ("spawns", "tasks start in few known places", |context| Ok(calls::spawns(&context.tree))),
    ("clocks", "only the clock module reads the clock", |context| Ok(calls::clocks(&context.tree))),
    ("codegen", "generated code is fresh", |context| {
        fresh(codegen::stale(context.root)?, "cargo xtask codegen")
    }),
    ("compat", "the compatibility table is sound and its page fresh", |context| {
        Ok(compat::complaints(context.root, &context.tree)?
            .into_iter()
            .map(|what| Finding::new(compat::TABLE, what))
            .collect())
    }),
];

fn fresh(stale: Vec<&'static str>, command: &str) -> Result<Findings, String> {
    Ok(stale.into_iter().map(|path| Finding::new(path, format!("is stale: run `{command}`"))).collect())
}

pub(crate) fn command(root: &Path, options: &Options) -> Result<Verdict, String> {
    if options.has("--list") {
        for (name, what, _) in RULES {
            println!("{name:12} {what}");
        }
        return Ok(Verdict::Good);
    }
    let names: Vec<&str> = RULES.iter().map(|(name, ..)| *name).collect();
    let only = options.words("--only", &names)?;
    let context = Context { root, tree: Tree::load(root)?, metadata: Metadata::load(root)? };
    let mut errors = 0_usize;
    for (name, _, rule) in RULES.iter().filter(|(name, ..)| only.is_empty() || only.contains(name)) {
        for finding in rule(&context).map_err(|error| format!("rule {name}: {error}"))? {
            let kind = if finding.warning { "warning" } else { "error" };
            eprintln!("{kind}[{name}] {finding}");
            errors += usize::from(!finding.warning);
        }
    }
    if errors > 0 {
        eprintln!("tidy: {errors} to mend");
        return Ok(Verdict::Bad);
    }
    println!("tidy: all rules hold");
    Ok(Verdict::Good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_files_are_findings() {
        assert_eq!(fresh(Vec::new(), "x"), Ok(Vec::new()));
        assert_eq!(fresh(vec!["a.rs"], "x").map(|findings| findings.len()), Ok(1));
    }

    #[test]
    fn rules_have_different_names() {
        let mut names: Vec<&str> = RULES.iter().map(|(name, ..)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), RULES.len());
    }
}
