//! The files of the repository, in memory, so that every rule is a function from files to findings.

use std::collections::BTreeSet;
use std::path::Path;

use crate::command::Command;
use crate::rust::Source;

/// Directories that hold nothing of the repository's own, for the case that git cannot be asked.
const FOREIGN: &[&str] = &["target", "node_modules", ".git", "artifacts"];

/// Larger files are data, not text to be checked.
const LARGEST: u64 = 4 << 20;

/// One text file.
#[derive(Debug)]
pub(crate) struct File {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// Of Rust files only.
    pub(crate) rust: Option<Source>,
    /// Whether all of it is test code.
    pub(crate) test: bool,
}

impl File {
    pub(crate) fn extension(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        name.rsplit_once('.').map_or("", |(_, extension)| extension)
    }

    /// Whether its head says that a program wrote it.
    pub(crate) fn generated(&self) -> bool {
        self.text.lines().take(3).any(|line| line.contains(crate::codegen::MARK))
    }
}

/// All text files of the repository, by path.
#[derive(Debug, Default)]
pub(crate) struct Tree(Vec<File>);

impl Tree {
    /// Reads what git knows of, or would take; without git, whatever is there.
    pub(crate) fn load(root: &Path) -> Result<Self, String> {
        let listing = Command::new(root, "git ls-files -z --cached --others --exclude-standard").capture();
        let mut paths: Vec<String> = match listing {
            Ok(listing) => listing.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect(),
            Err(_) => walk(root)?,
        };
        paths.sort();
        paths.dedup();
        let texts = paths.into_iter().filter_map(|path| {
            let whole = root.join(&path);
            let small =
                std::fs::symlink_metadata(&whole).is_ok_and(|meta| meta.is_file() && meta.len() <= LARGEST);
            let text = if small { std::fs::read_to_string(&whole).ok()? } else { return None };
            Some((path, text))
        });
        Ok(Self::of(texts))
    }

    pub(crate) fn of(texts: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut files: Vec<File> = texts
            .into_iter()
            .map(|(path, text)| {
                let rust = path.ends_with(".rs").then(|| Source::read(&text));
                File { test: test_by_path(&path), path, text, rust }
            })
            .collect();
        let declared = declared_tests(&files);
        for file in &mut files {
            let whole = file.rust.as_ref().is_some_and(Source::all_test);
            file.test |= whole || declared.iter().any(|module| inside(&file.path, module));
        }
        Self(files)
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &File> {
        self.0.iter()
    }

    pub(crate) fn get(&self, path: &str) -> Option<&File> {
        self.0.iter().find(|file| file.path == path)
    }

    /// All Rust files with their analysis.
    pub(crate) fn rust(&self) -> impl Iterator<Item = (&File, &Source)> {
        self.0.iter().filter_map(|file| Some((file, file.rust.as_ref()?)))
    }
}

fn test_by_path(path: &str) -> bool {
    let mut parts = path.split('/');
    let name = parts.next_back().unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default();
    stem == "tests" || stem.ends_with("_tests") || parts.any(|part| part == "tests" || part == "benches")
}

/// The modules that a `#[cfg(test)] mod name;` brings in, as paths without extension.
fn declared_tests(files: &[File]) -> BTreeSet<String> {
    let mut declared = BTreeSet::new();
    for file in files {
        let Some(source) = &file.rust else { continue };
        let base = file.path.strip_suffix(".rs").unwrap_or(&file.path);
        let base = match base.rsplit_once('/') {
            Some((directory, "lib" | "main" | "mod")) => directory,
            _ => base,
        };
        declared.extend(source.test_modules().map(|module| format!("{base}/{module}")));
    }
    declared
}

fn inside(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

fn walk(root: &Path) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(directory) = open.pop() {
        let entries =
            std::fs::read_dir(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        for entry in entries.flatten() {
            let path = entry.path();
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                if !FOREIGN.iter().any(|name| entry.file_name() == *name) {
                    open.push(path);
                }
            } else if let Ok(inside) = path.strip_prefix(root) {
                found.push(inside.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A tree from paths and texts.
    pub(crate) fn tree(files: &[(&str, &str)]) -> Tree {
        Tree::of(files.iter().map(|&(path, text)| (path.to_owned(), text.to_owned())))
    }

    #[test]
    fn test_files_are_recognised() {
        let tree = tree(&[
            ("crates/a/src/lib.rs", "#[cfg(test)]\nmod rig;\nmod b;"),
            ("crates/a/src/rig.rs", "fn f() {}"),
            ("crates/a/src/rig/deep.rs", "fn f() {}"),
            ("crates/a/src/b.rs", "#[cfg(test)] mod cases;"),
            ("crates/a/src/b/cases.rs", "fn f() {}"),
            ("crates/a/src/rigid.rs", "fn f() {}"),
            ("crates/a/tests/x.rs", "fn f() {}"),
            ("crates/a/src/tests.rs", "fn f() {}"),
            ("crates/a/src/whole.rs", "#![cfg(test)]\nfn f() {}"),
        ]);
        let tests: Vec<&str> = tree.files().filter(|file| file.test).map(|file| file.path.as_str()).collect();
        assert_eq!(
            tests,
            [
                "crates/a/src/rig.rs",
                "crates/a/src/rig/deep.rs",
                "crates/a/src/b/cases.rs",
                "crates/a/tests/x.rs",
                "crates/a/src/tests.rs",
                "crates/a/src/whole.rs",
            ]
        );
    }

    #[test]
    fn the_repository_is_found_with_and_without_git() {
        let root = crate::root();
        let tree = Tree::load(&root).expect("a tree");
        assert!(tree.get("xtask/src/tree.rs").is_some());
        assert!(tree.get("target/.rustc_info.json").is_none());
        let walked = walk(&root.join("xtask")).expect("a walk");
        assert!(walked.iter().any(|path| path == "src/tree.rs"), "{walked:?}");
    }
}
