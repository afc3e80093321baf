//! How large things may become. The figures are what comparable projects manage to hold.

use std::collections::BTreeMap;

use super::{Finding, Findings};
use crate::tree::{File, Tree};

/// Lines of code, without tests, comments and blank lines.
const FILE_HARD: usize = 700;
const FILE_P95: usize = 450;
const CRATE: usize = 5_000;
/// The node composes all parts.
const NODE: usize = 6_000;
/// Options grow with everything else.
const CONFIG: usize = 6_000;
/// Listeners and composition do, too.
const SERVER: usize = 8_000;

/// All lines.
const TEST_FILE: usize = 800;
const MAIN: usize = 120;

const MAIN_PATH: &str = "server/src/main.rs";

pub(super) fn files(tree: &Tree) -> Findings {
    let mut findings = Vec::new();
    let mut sizes = Vec::new();
    for (file, source) in tree.rust().filter(|(file, _)| !file.generated()) {
        let (size, limit) = if file.test {
            (file.text.lines().count(), TEST_FILE)
        } else {
            let net = source.net_lines();
            sizes.push((net, file.path.as_str()));
            (net, FILE_HARD)
        };
        if size > limit {
            findings
                .push(Finding::new(&file.path, format!("has {size} lines; {limit} are the limit: split it")));
        }
    }
    sizes.sort_unstable();
    let above = sizes.len() - sizes.partition_point(|(size, _)| *size <= FILE_P95);
    if above * 20 > sizes.len() {
        let longest: Vec<_> =
            sizes.iter().rev().take(above).map(|(size, path)| format!("{path} ({size})")).collect();
        let what = format!("more than 5 % of the files have over {FILE_P95} lines: {}", longest.join(", "));
        findings.push(Finding::warning("all files", what));
    }
    findings
}

pub(super) fn crates(tree: &Tree) -> Findings {
    let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
    for (file, source) in tree.rust().filter(|(file, _)| !file.test && !file.generated()) {
        if let Some(name) = crate_of(file) {
            *sizes.entry(name).or_default() += source.net_lines();
        }
    }
    let limit = |name: &str| match name {
        "crates/node" => NODE,
        "crates/config" => CONFIG,
        "server" => SERVER,
        _ => CRATE,
    };
    let large = sizes.into_iter().filter(|&(name, size)| size > limit(name));
    large
        .map(|(name, size)| {
            Finding::new(name, format!("has {size} lines; {} are the limit: split it", limit(name)))
        })
        .collect()
}

/// The directory of the crate a source file belongs to.
fn crate_of(file: &File) -> Option<&str> {
    file.path.find("/src/").map(|position| &file.path[..position])
}

pub(super) fn main(tree: &Tree) -> Findings {
    let lines = tree.get(MAIN_PATH).map_or(0, |file| file.text.lines().count());
    let long = lines > MAIN;
    long.then(|| Finding::new(MAIN_PATH, format!("has {lines} lines; {MAIN} are the limit")))
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tests::tree;

    fn lines(count: usize) -> String {
        "const A: u8 = 1;\n".repeat(count)
    }

    #[test]
    fn a_long_file_is_found() {
        let text = lines(FILE_HARD);
        let padded = format!("{text}// comment\n\n#[cfg(test)]\nmod tests {{\n{}}}\n", lines(100));
        let errors = |path: &str, text: &str| {
            files(&tree(&[(path, text)])).iter().filter(|finding| !finding.warning).count()
        };
        assert_eq!(errors("crates/a/src/lib.rs", &padded), 0);
        assert_eq!(errors("crates/a/src/lib.rs", &lines(FILE_HARD + 1)), 1);
        assert_eq!(
            errors("crates/a/src/generated/x.rs", &format!("// {}\n{}", crate::codegen::MARK, lines(900))),
            0
        );
        assert_eq!(errors("crates/a/tests/x.rs", &lines(TEST_FILE)), 0);
        assert_eq!(errors("crates/a/tests/x.rs", &lines(TEST_FILE + 1)), 1);
    }

    #[test]
    fn many_long_files_are_a_warning() {
        let long = lines(FILE_P95 + 1);
        let names: Vec<String> = (0..40).map(|number| format!("crates/a/src/f{number}.rs")).collect();
        let with_long = |count: usize| {
            let files_of: Vec<(&str, &str)> = names
                .iter()
                .enumerate()
                .map(|(number, name)| (name.as_str(), if number < count { long.as_str() } else { "" }))
                .collect();
            files(&tree(&files_of)).iter().filter(|finding| finding.warning).count()
        };
        assert_eq!(with_long(2), 0);
        assert_eq!(with_long(3), 1);
    }

    #[test]
    fn a_large_crate_is_found() {
        let half = lines(CRATE / 2 + 1);
        let two = |name: &str, test: &str| {
            let (first, second) = (format!("crates/{name}/src/a.rs"), format!("crates/{name}/{test}/b.rs"));
            crates(&tree(&[(&first, &half), (&second, &half)])).len()
        };
        assert_eq!(two("a", "src"), 1);
        assert_eq!(two("a", "tests"), 0);
        assert_eq!(two("node", "src"), 0);
    }

    #[test]
    fn a_long_main_is_found() {
        assert_eq!(main(&tree(&[(MAIN_PATH, &lines(MAIN))])).len(), 0);
        assert_eq!(main(&tree(&[(MAIN_PATH, &lines(MAIN + 1))])).len(), 1);
        assert_eq!(main(&tree(&[])).len(), 0);
    }
}
