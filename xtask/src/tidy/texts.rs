//! What files say: module documentation, unfinished places, names of machines, marks of generators.

use super::{Finding, Findings};
use crate::codegen::MARK;
use crate::rust::contains_word;
use crate::tree::{File, Tree};

/// Generated Rust lives in directories of this name.
const GENERATED: &str = "generated";

/// Words for an unfinished place; put together here so that this file is not full of them.
const UNFINISHED: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME")];

/// Files whose lines are code and may carry remarks. Prose may speak about such words.
const CODE: &[&str] =
    &["js", "mjs", "cjs", "ts", "html", "css", "toml", "sh", "proto", "sql", "lua", "yaml", "yml"];

/// Directories that exist on the machine of whoever wrote the file, and not on the reader's.
const MACHINE: &[&str] =
    &[concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];

pub(super) fn docs(tree: &Tree) -> Findings {
    let missing = tree.rust().filter(|(file, _)| !file.generated() && !has_module_doc(file));
    missing
        .map(|(file, _)| Finding::new(&file.path, "starts without a `//!` that says what it is for"))
        .collect()
}

/// Whether `//!` comes before any item; attributes of the file may come first.
fn has_module_doc(file: &File) -> bool {
    let mut lines = file.text.lines().map(str::trim_start);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with("#![") && !plain_comment(line));
    first.is_some_and(|line| line.strip_prefix("//!").is_some_and(|doc| !doc.trim().is_empty()))
}

fn plain_comment(line: &str) -> bool {
    line.starts_with("//") && !line.starts_with("//!") && !line.starts_with("///")
}

pub(super) fn todos(tree: &Tree) -> Findings {
    let mut findings = Vec::new();
    for file in tree.files() {
        let lines: Vec<(usize, &str)> = match &file.rust {
            Some(source) => source
                .comments()
                .flat_map(|comment| {
                    comment.text.lines().enumerate().map(|(offset, text)| (comment.line + offset, text))
                })
                .collect(),
            None if CODE.contains(&file.extension()) => {
                file.text.lines().enumerate().map(|(index, text)| (index + 1, text)).collect()
            }
            None => continue,
        };
        let loose = lines.into_iter().filter(|(_, text)| {
            UNFINISHED.iter().any(|word| contains_word(text, word)) && !names_an_issue(text)
        });
        findings.extend(
            loose.map(|(line, _)| {
                Finding::at(&file.path, line, "an unfinished place must name its issue (#N)")
            }),
        );
    }
    findings
}

fn names_an_issue(text: &str) -> bool {
    text.match_indices('#')
        .any(|(position, _)| text[position + 1..].starts_with(|digit: char| digit.is_ascii_digit()))
}

pub(super) fn paths(tree: &Tree) -> Findings {
    let mut findings = Vec::new();
    for file in tree.files() {
        let named = file
            .text
            .lines()
            .enumerate()
            .filter(|(_, line)| MACHINE.iter().any(|path| names_path(line, path)));
        findings.extend(
            named.map(|(index, _)| Finding::at(&file.path, index + 1, "names a directory of one machine")),
        );
    }
    findings
}

/// Whether an absolute path starts here: `x/home/y` is a relative one, or a part of an address.
fn names_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(position, _)| {
        !line[..position].ends_with(|before: char| before.is_alphanumeric() || "_-.~}*".contains(before))
    })
}

pub(super) fn marks(tree: &Tree) -> Findings {
    let mut findings = Vec::new();
    for (file, _) in tree.rust() {
        let place = file.path.split('/').rev().skip(1).any(|part| part == GENERATED);
        match (place, file.generated()) {
            (true, false) => {
                findings.push(Finding::new(&file.path, format!("is generated: its head must say {MARK}")))
            }
            (false, true) => {
                findings
                    .push(Finding::new(&file.path, format!("says {MARK} outside a directory `{GENERATED}`")));
            }
            _ => {}
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tests::tree;

    fn todo(path: &str, text: &str) -> usize {
        let text = text.replace("LATER", UNFINISHED[0]);
        todos(&tree(&[(path, &text)])).len()
    }

    #[test]
    fn a_module_without_documentation_is_found() {
        let count = |text: &str| docs(&tree(&[("a.rs", text)])).len();
        assert_eq!(count("//! Something.\nfn f() {}"), 0);
        assert_eq!(count("// Licence.\n#![forbid(unsafe_code)]\n\n//! Something."), 0);
        assert_eq!(count(&format!("// {MARK}\nfn f() {{}}")), 0);
        assert_eq!(count("fn f() {}\n"), 1);
        assert_eq!(count("/// Of an item.\nfn f() {}\n"), 1);
        assert_eq!(count("use a::b;\n//! Too late.\n"), 1);
        assert_eq!(count("//!\nfn f() {}\n"), 1);
        assert_eq!(count(""), 1);
    }

    #[test]
    fn an_unfinished_place_without_issue_is_found() {
        assert_eq!(todo("a.rs", "//! A.\n// LATER(#12): more\nfn f() {}"), 0);
        assert_eq!(todo("a.rs", "//! A.\nlet s = \"LATER\"; let LATERS = 1;"), 0);
        assert_eq!(todo("a.md", "LATER"), 0);
        assert_eq!(todo("a.rs", "//! A.\n/* one\n LATER two */"), 1);
        assert_eq!(todo("a.rs", "//! A.\nfn f() {} // LATER: #soon"), 1);
        assert_eq!(todo("a.mjs", "// LATER"), 1);
    }

    #[test]
    fn a_directory_of_a_machine_is_found() {
        let count = |text: &str| paths(&tree(&[("a.md", &text.replace("HERE", MACHINE[1]))])).len();
        assert_eq!(
            count("see https://example.comHEREx and aHEREx and ./HERE of ours"),
            1,
            "the last one only"
        );
        assert_eq!(count("see https://example.comHEREx and aHEREx and **HEREx"), 0);
        assert_eq!(count("HEREmain"), 1);
        assert_eq!(count("in `HEREmain`, or \"HERE\""), 1);
        assert_eq!(count("file://HEREx"), 1);
    }

    #[test]
    fn marks_and_places_of_generated_code_agree() {
        let marked = format!("// {MARK} by x\n");
        let count = |path: &str, text: &str| marks(&tree(&[(path, text)])).len();
        assert_eq!(count("crates/a/src/generated/b.rs", &marked), 0);
        assert_eq!(count("crates/a/src/b.rs", "//! B."), 0);
        assert_eq!(count("crates/a/src/generated/b.rs", "//! B."), 1);
        assert_eq!(count("crates/a/src/b.rs", &marked), 1);
    }
}
