//! As much understanding of a Rust file as the repository's rules need: what is code, what is comment, what is test.
//!
//! No parser: comments and the insides of literals are blanked out ([`mask`]), and braces are counted on what is
//! left. That is exact for code that compiles and `rustfmt` accepts.

mod mask;

use std::ops::Range;

/// One analysed file.
#[derive(Debug)]
pub(crate) struct Source {
    /// The text with comments gone and literals filled with `"`; same length, same lines.
    code: String,
    comments: Vec<Comment>,
    /// Byte ranges of items that exist under `cfg(test)` only, with their attributes.
    tests: Vec<Range<usize>>,
    test_modules: Vec<String>,
    functions: Vec<Function>,
    all_test: bool,
}

/// One comment.
#[derive(Debug)]
pub(crate) struct Comment {
    /// Counted from 1; of a block, its first line.
    pub(crate) line: usize,
    /// With its slashes.
    pub(crate) text: String,
}

/// A function with a body.
#[derive(Debug)]
struct Function {
    name: String,
    /// From its attributes to its closing brace.
    range: Range<usize>,
    /// Its attributes and qualifiers.
    head: Range<usize>,
}

impl Source {
    pub(crate) fn read(text: &str) -> Self {
        let (code, comments) = mask::mask(text);
        let mut source = Self {
            comments,
            tests: Vec::new(),
            test_modules: Vec::new(),
            functions: functions(&code),
            all_test: false,
            code,
        };
        source.find_tests();
        source
    }

    pub(crate) fn comments(&self) -> impl Iterator<Item = &Comment> {
        self.comments.iter()
    }

    /// The names of `mod name;` declarations under `cfg(test)`.
    pub(crate) fn test_modules(&self) -> impl Iterator<Item = &str> {
        self.test_modules.iter().map(String::as_str)
    }

    /// Whether the file starts with `#![cfg(test)]`.
    pub(crate) fn all_test(&self) -> bool {
        self.all_test
    }

    /// Lines that hold code and are no test.
    pub(crate) fn net_lines(&self) -> usize {
        let mut start = 0;
        let mut net = 0;
        for line in self.code.split_inclusive('\n') {
            let first = line.len() - line.trim_start().len();
            if !line.trim().is_empty() && !self.in_test(start + first) {
                net += 1;
            }
            start += line.len();
        }
        net
    }

    /// Where `word` stands in the code with no part of an identifier directly before it, as byte positions.
    ///
    /// A definition (`fn word`) is not a use and is left out.
    pub(crate) fn uses<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        self.code.match_indices(word).map(|(position, _)| position).filter(|&position| {
            let before = &self.code[..position];
            !before.ends_with(identifier) && !before.trim_end().ends_with("fn")
        })
    }

    /// Where `text` stands in the code, whatever surrounds it.
    pub(crate) fn occurrences<'a>(&'a self, text: &'a str) -> impl Iterator<Item = usize> + 'a {
        self.code.match_indices(text).map(|(position, _)| position)
    }

    /// Whether the code at `position` exists under `cfg(test)` only.
    pub(crate) fn in_test(&self, position: usize) -> bool {
        self.all_test || self.tests.iter().any(|range| range.contains(&position))
    }

    /// The line of a position, counted from 1.
    pub(crate) fn line(&self, position: usize) -> usize {
        1 + self.code[..position].matches('\n').count()
    }

    /// The code of the innermost function around `position`, with its attributes.
    pub(crate) fn function_around(&self, position: usize) -> Option<&str> {
        let around = self.functions.iter().filter(|function| function.range.contains(&position));
        let innermost = around.min_by_key(|function| function.range.len())?;
        Some(&self.code[innermost.range.clone()])
    }

    /// Whether there is a function of this name with a test attribute.
    pub(crate) fn has_test(&self, name: &str) -> bool {
        let named = self.functions.iter().filter(|function| function.name == name);
        named
            .map(|function| &self.code[function.head.clone()])
            .any(|head| attributes(head).any(is_test_attribute))
    }

    /// The macros this file calls: their names, and what they are given.
    pub(crate) fn macro_calls(&self) -> impl Iterator<Item = (&str, &str)> {
        self.code.match_indices("!").filter_map(|(position, _)| {
            let before = &self.code[..position];
            let name = &before[before.trim_end_matches(identifier).len()..];
            let given = self.code[position + 1..].trim_start();
            let called = !name.is_empty() && given.starts_with(['(', '{', '[']);
            called.then(|| (name, &given[..group_end(given, 0).unwrap_or(given.len())]))
        })
    }

    /// The body of the macro of this name that this file defines.
    pub(crate) fn macro_body(&self, name: &str) -> Option<&str> {
        self.code.match_indices("macro_rules!").find_map(|(position, word)| {
            let rest = self.code[position + word.len()..].trim_start();
            let body = rest.strip_prefix(name)?.trim_start();
            body.starts_with(['{', '(', '[']).then(|| &body[..group_end(body, 0).unwrap_or(body.len())])
        })
    }

    fn find_tests(&mut self) {
        let mut from = 0;
        while let Some(start) = self.code[from..].find('#').map(|offset| from + offset) {
            let inner = self.code[start + 1..].starts_with('!');
            let open = start + 1 + usize::from(inner);
            if !self.code[open..].starts_with('[') {
                from = start + 1;
                continue;
            }
            let Some(end) = group_end(&self.code, open) else { return };
            from = end;
            if !is_test_attribute(&self.code[open + 1..end - 1]) {
                continue;
            }
            if inner {
                self.all_test = true;
                continue;
            }
            let stop = item_end(&self.code, end);
            if let Some(module) = declared_module(&self.code[end..stop]) {
                self.test_modules.push(module.to_owned());
            }
            self.tests.push(start..stop);
            from = stop;
        }
    }
}

/// Whether this stands for one word of code: neither part of a longer name on its left nor on its right.
pub(crate) fn contains_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(position, _)| {
        !code[..position].ends_with(identifier) && !code[position + word.len()..].starts_with(identifier)
    })
}

fn identifier(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

/// Whether the inside of an attribute makes its item a test: `test`, `tokio::test(..)`, `cfg(test)`, `cfg(all(test, ..))`.
///
/// `cfg(any(test, feature = ".."))` does not: such code is also part of the product.
fn is_test_attribute(attribute: &str) -> bool {
    let attribute: String = attribute.split_whitespace().collect();
    let path = attribute.split('(').next().unwrap_or_default();
    path == "test"
        || path.ends_with("::test")
        || attribute == "cfg(test)"
        || attribute
            .strip_prefix("cfg(all(")
            .is_some_and(|all| all.trim_end_matches(')').split(',').any(|predicate| predicate == "test"))
}

/// The insides of the attributes in the head of an item.
fn attributes(head: &str) -> impl Iterator<Item = &str> {
    head.match_indices("#[").filter_map(|(position, _)| {
        let end = group_end(head, position + 1)?;
        Some(&head[position + 2..end - 1])
    })
}

/// The position after the bracket that closes the one at `open`.
fn group_end(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (position, character) in code[open..].char_indices() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(open + position + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// The position after the item that starts at `from`, which may have further attributes.
fn item_end(code: &str, from: usize) -> usize {
    let mut depth = 0_usize;
    for (position, character) in code[from..].char_indices() {
        match character {
            '(' | '[' | '{' => depth += 1,
            // The end of what is around the item: it was a field, a variant or an expression.
            ')' | ']' | '}' if depth == 0 => return from + position,
            ')' | ']' => depth -= 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return from + position + 1;
                }
            }
            ';' if depth == 0 => return from + position + 1,
            _ => {}
        }
    }
    code.len()
}

fn declared_module(item: &str) -> Option<&str> {
    let item = item.strip_suffix(';')?;
    let (before, name) = item.rsplit_once(char::is_whitespace)?;
    before.trim_end().ends_with("mod").then_some(name)
}

fn functions(code: &str) -> Vec<Function> {
    let mut functions = Vec::new();
    for (position, _) in code.match_indices("fn ") {
        if code[..position].ends_with(identifier) {
            continue;
        }
        let after = &code[position + 3..];
        let name: String = after.chars().take_while(|&character| identifier(character)).collect();
        let Some(open) = body_open(code, position) else { continue };
        let Some(end) = group_end(code, open) else { continue };
        let start = code[..position].rfind([';', '{', '}']).map_or(0, |boundary| boundary + 1);
        if !name.is_empty() {
            functions.push(Function { name, range: start..end, head: start..position });
        }
    }
    functions
}

/// The brace that opens the body of the function whose `fn` is at `from`; `None` where it has no body.
fn body_open(code: &str, from: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (position, character) in code[from..].char_indices() {
        match character {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            '{' if depth == 0 => return Some(from + position),
            ';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn net_lines_leave_out_tests_comments_and_blanks() {
        let source = Source::read(
            "//! Module.\n\nuse std::fmt;\n/* block\n   { */\nfn f() { // {\n    let s = \"{ // \";\n}\n\n\
             #[cfg(test)]\n#[allow(unused)]\nmod tests {\n    #[test]\n    fn t() {}\n}\nfn g() {}\n",
        );
        assert_eq!(source.net_lines(), 5);
        assert!(source.has_test("t"));
        assert!(!source.has_test("f"));
    }

    #[test]
    fn test_items_of_every_form() {
        let source = Source::read(
            "#[cfg(test)]\nuse a::{b, c};\n#[cfg(all(test, unix))]\nmod rig;\n#[cfg(test)]\nconst N: [u8; 2] = [0; 2];\n\
             #[cfg(any(test, feature = \"x\"))]\nmod shared;\n#[cfg(not(test))]\nmod real;\n#[tokio::test]\nasync fn t() {}\n",
        );
        assert_eq!(source.test_modules().collect::<Vec<_>>(), ["rig"]);
        assert_eq!(source.net_lines(), 4, "the two modules that the product has, with their attributes");
        assert!(Source::read("#![cfg(test)]\nfn f() {}").all_test());
    }

    #[test]
    fn uses_are_no_parts_of_names_and_no_definitions() {
        let source =
            Source::read("fn sleep(a: u8) {}\nfn f() { sleep(1); unsleep(2); time::sleep(3) } // sleep(4)");
        assert_eq!(source.uses("sleep(").map(|at| source.line(at)).collect::<Vec<_>>(), [2, 2]);
    }

    #[test]
    fn the_function_around_comes_with_its_attributes() {
        let source = Source::read(
            "mod a {\n    #[tokio::test(start_paused = true)]\n    async fn t() {\n        sleep(1).await;\n    }\n}\nfn u() { sleep(2) }",
        );
        let around: Vec<bool> = source
            .uses("sleep(")
            .map(|at| source.function_around(at).is_some_and(|code| code.contains("start_paused")))
            .collect();
        assert_eq!(around, [true, false]);
    }

    #[test]
    fn macros_are_found() {
        let definer =
            Source::read("macro_rules! suite {\n    () => { #[test] fn order() {} };\n}\nfn disorder() {}");
        assert!(definer.macro_body("suite").is_some_and(|body| contains_word(body, "order")));
        assert!(definer.macro_body("suite").is_some_and(|body| !contains_word(body, "disorder")));
        let caller = Source::read("a::suite!(x); if a != (b) {}");
        assert_eq!(caller.macro_calls().collect::<Vec<_>>(), [("suite", "(x)")]);
    }
}
