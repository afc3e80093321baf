//! Whether the tests that rows name exist.

use crate::rust::{Source, contains_word};
use crate::tree::{File, Tree};

/// Why the test `file::name` is not there; `None` where it is.
///
/// In Rust the name is that of a function with a test attribute in the file itself, or one that a macro which makes
/// tests has in its body or was given (the conformance suites are such). In JavaScript it is the title of a test.
pub(super) fn missing(tree: &Tree, test: &str) -> Option<String> {
    let Some((path, name)) = test.split_once("::") else {
        return Some(format!("`{test}` is not of the form `file::name`"));
    };
    let Some(file) = tree.get(path) else {
        return Some(format!("the test file {path} does not exist"));
    };
    let found = match &file.rust {
        Some(source) => source.has_test(name) || from_macro(tree, source, name),
        None => titled(file, name),
    };
    (!found).then(|| format!("{path} has no test `{name}`"))
}

fn from_macro(tree: &Tree, source: &Source, name: &str) -> bool {
    source.macro_calls().any(|(called, given)| {
        let mut bodies = tree.rust().filter_map(|(_, definer)| definer.macro_body(called));
        bodies.any(|body| body.contains("test]") && (contains_word(body, name) || contains_word(given, name)))
    })
}

fn titled(file: &File, title: &str) -> bool {
    ['"', '\'', '`'].iter().any(|quote| file.text.contains(&format!("{quote}{title}{quote}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tests::tree;

    #[test]
    fn tests_are_found_where_they_are() {
        let tree = tree(&[
            (
                "a/tests/b.rs",
                "#[test]\nfn plain() {}\n#[tokio::test(start_paused = true)]\nasync fn paused() {}\nfn helper() {}",
            ),
            (
                "a/src/suite.rs",
                "macro_rules! suite { () => { @go order idempotency }; (@go $($n:ident)*) => { $(#[test] fn $n() {})* } }",
            ),
            ("a/src/other.rs", "macro_rules! other { () => { strange } }"),
            ("c/tests/d.rs", "a::suite!(); other!();"),
            ("c/tests/f.rs", "macro_rules! case { ($n:ident) => { #[test] fn $n() {} } }\ncase!(given);"),
            ("tests/sdk/e.test.mjs", "test('says hello', () => {});\ntest(`in ${format}`, f)"),
        ]);
        for good in [
            "a/tests/b.rs::plain",
            "a/tests/b.rs::paused",
            "c/tests/d.rs::order",
            "c/tests/f.rs::given",
            "tests/sdk/e.test.mjs::says hello",
            "tests/sdk/e.test.mjs::in ${format}",
        ] {
            assert_eq!(missing(&tree, good), None, "{good}");
        }
        for bad in [
            "a/tests/b.rs::helper",
            "a/tests/b.rs::absent",
            "a/tests/b.rs::order",
            "c/tests/d.rs::strange",
            "c/tests/d.rs::ord",
            "absent.rs::plain",
            "a/tests/b.rs",
            "tests/sdk/e.test.mjs::says",
        ] {
            assert!(missing(&tree, bad).is_some(), "{bad}");
        }
    }
}
