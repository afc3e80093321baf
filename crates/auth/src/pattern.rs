//! Regular expressions as operators wrote them for Centrifugo.

use std::fmt;

use regex::{Captures, Regex};
use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{Ast, GroupKind};

/// A regular expression in Go's syntax (RE2), as Centrifugo's options have it; matches anywhere in a text.
///
/// Matching takes time linear in the text. The two dialects differ where Go knows ASCII only: `\d`, `\w`, `\s`,
/// `\b` and their opposites mean here what they mean there, so a pattern admits nothing that it did not admit
/// before. In classes, `[`, `&&`, `--` and `~~` have no special meaning, as in Go.
#[derive(Clone)]
pub struct Pattern {
    source: Box<str>,
    regex: Regex,
}

/// A text is no regular expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid regular expression: {0}")]
pub struct PatternError(String);

impl Pattern {
    /// Compiles an expression.
    ///
    /// # Errors
    ///
    /// The text is no regular expression, or one too large.
    pub fn new(source: &str) -> Result<Self, PatternError> {
        let regex = Regex::new(&translate(source)).map_err(|error| {
            // The rest of the message draws the translated expression, which nobody wrote.
            let message = error.to_string();
            let last = message.lines().last().unwrap_or_default();
            PatternError(last.trim_start_matches("error: ").to_owned())
        })?;
        Ok(Self { source: source.into(), regex })
    }

    /// Whether the expression matches anywhere in the text.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// The groups of the first match; `None` if there is none.
    pub(crate) fn captures<'t>(&self, text: &'t str) -> Option<Captures<'t>> {
        self.regex.captures(text)
    }

    /// The names of the groups that have one.
    pub(crate) fn group_names(&self) -> impl Iterator<Item = &str> {
        self.regex.capture_names().flatten()
    }

    /// Whether there are classes of characters in the expression, spelled out or by a letter.
    pub(crate) fn has_classes(&self) -> bool {
        let mut rest = &*self.source;
        while let Some(at) = rest.find(['[', '\\']) {
            let found = rest.get(at..).unwrap_or_default();
            if found.starts_with('[') {
                return true;
            }
            let mut chars = found.chars();
            chars.next();
            let escaped = chars.next();
            if escaped.is_some_and(|escaped| "dDwWsSpP".contains(escaped)) {
                return true;
            }
            rest = match escaped {
                Some('Q') => chars.as_str().split_once(r"\E").map_or("", |(_, rest)| rest),
                _ => chars.as_str(),
            };
        }
        false
    }

    /// Whether a group matches fixed texts only: no repetition, no class, no dot, no change of flags anywhere.
    pub(crate) fn lists_texts(&self, group: &str) -> bool {
        let Ok(parsed) = Parser::new().parse(&translate(&self.source)) else { return false };
        let mut groups = Vec::new();
        let mut flags = false;
        collect(&parsed, group, &mut groups, &mut flags);
        !flags && !groups.is_empty() && groups.into_iter().all(is_fixed)
    }

    /// The expression as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.source
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.source)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Pattern {}

/// The groups of a name, and whether flags are set anywhere: they could make a text match in other cases too.
fn collect<'a>(ast: &'a Ast, name: &str, groups: &mut Vec<&'a Ast>, flags: &mut bool) {
    match ast {
        Ast::Flags(_) => *flags = true,
        Ast::Group(group) => {
            match &group.kind {
                GroupKind::CaptureName { name: found, .. } if found.name == name => groups.push(&group.ast),
                GroupKind::NonCapturing(found) if !found.items.is_empty() => *flags = true,
                _ => {}
            }
            collect(&group.ast, name, groups, flags);
        }
        Ast::Repetition(repeated) => collect(&repeated.ast, name, groups, flags),
        Ast::Alternation(all) => all.asts.iter().for_each(|ast| collect(ast, name, groups, flags)),
        Ast::Concat(all) => all.asts.iter().for_each(|ast| collect(ast, name, groups, flags)),
        _ => {}
    }
}

fn is_fixed(ast: &Ast) -> bool {
    match ast {
        Ast::Empty(_) | Ast::Literal(_) => true,
        Ast::Group(group) => is_fixed(&group.ast),
        Ast::Alternation(all) => all.asts.iter().all(is_fixed),
        Ast::Concat(all) => all.asts.iter().all(is_fixed),
        _ => false,
    }
}

/// Writes an expression of Go's dialect in that of the `regex` crate.
fn translate(source: &str) -> String {
    let mut out = String::with_capacity(source.len() + 16);
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        rest = match first {
            '\\' => escape(rest, false, &mut out),
            '[' => class(rest, &mut out),
            '{' if !is_repetition(rest) => {
                out.push_str(r"\{");
                rest.get(1..).unwrap_or_default()
            }
            _ => {
                out.push(first);
                rest.get(first.len_utf8()..).unwrap_or_default()
            }
        };
    }
    out
}

/// Whether a brace opens a repetition; otherwise Go takes it as it is.
fn is_repetition(rest: &str) -> bool {
    let Some((inside, _)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) else {
        return false;
    };
    let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
    !least.is_empty() && least.bytes().chain(most.bytes()).all(|byte| byte.is_ascii_digit())
}

/// Translates one escape at the start of `rest` and gives what follows it.
fn escape<'a>(rest: &'a str, in_class: bool, out: &mut String) -> &'a str {
    let mut chars = rest.chars();
    chars.next();
    let Some(escaped) = chars.next() else {
        out.push('\\');
        return "";
    };
    let after = chars.as_str();
    match escaped {
        'd' => out.push_str("[0-9]"),
        'D' => out.push_str("[^0-9]"),
        'w' => out.push_str("[0-9A-Za-z_]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        's' => out.push_str(r"[\t\n\f\r ]"),
        'S' => out.push_str(r"[^\t\n\f\r ]"),
        'b' if !in_class => out.push_str(r"(?-u:\b)"),
        'B' if !in_class => out.push_str(r"(?-u:\B)"),
        'Q' if !in_class => {
            let (literal, after) = after.split_once(r"\E").unwrap_or((after, ""));
            out.push_str(&regex::escape(literal));
            return after;
        }
        // An octal number in Go; the other dialect knows none.
        '0'..='7' => {
            let digits = after.bytes().take(2).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
            let (octal, after) =
                rest.get(1..).and_then(|rest| rest.split_at_checked(1 + digits)).unwrap_or_default();
            let value = u32::from_str_radix(octal, 8).unwrap_or_default();
            out.push_str(&format!(r"\x{{{value:x}}}"));
            return after;
        }
        'p' | 'P' | 'x' if after.starts_with('{') => {
            let (name, after) = after.split_once('}').unwrap_or((after, ""));
            out.push('\\');
            out.push(escaped);
            out.push_str(name);
            out.push('}');
            return after;
        }
        // Boundaries of words in the other dialect.
        '<' | '>' => out.push(escaped),
        other => {
            out.push('\\');
            out.push(other);
        }
    }
    after
}

/// Translates one bracketed class at the start of `rest` and gives what follows it.
fn class<'a>(rest: &'a str, out: &mut String) -> &'a str {
    let mut rest = rest.get(1..).unwrap_or_default();
    out.push('[');
    if let Some(after) = rest.strip_prefix('^') {
        out.push('^');
        rest = after;
    }
    // A bracket in the first place is a member.
    if let Some(after) = rest.strip_prefix(']') {
        out.push_str(r"\]");
        rest = after;
    }
    while let Some(first) = rest.chars().next() {
        let after = rest.get(first.len_utf8()..).unwrap_or_default();
        rest = match first {
            ']' => {
                out.push(']');
                return after;
            }
            '\\' => escape(rest, true, out),
            '[' => match rest.find(":]").and_then(|end| rest.split_at_checked(end + 2)) {
                // A named class such as [:alpha:].
                Some((named, after)) if rest.starts_with("[:") => {
                    out.push_str(named);
                    after
                }
                _ => {
                    out.push_str(r"\[");
                    after
                }
            },
            '&' | '~' => {
                out.push('\\');
                out.push(first);
                after
            }
            '-' if after.starts_with('-') => {
                out.push_str(r"-\-");
                after.get(1..).unwrap_or_default()
            }
            _ => {
                out.push(first);
                after
            }
        };
    }
    // Not closed: the compiler says so.
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        let compiled = Pattern::new(pattern).expect(pattern);
        for text in matching {
            assert!(compiled.is_match(text), "{pattern} should match {text:?}");
        }
        for text in others {
            assert!(!compiled.is_match(text), "{pattern} should not match {text:?}");
        }
    }

    #[test]
    fn matches_anywhere_unless_anchored() {
        check("b", &["abc"], &["ac"]);
        check("^b", &["bc"], &["abc"]);
        check(r"^(one|two)\z", &["one"], &["one\n", "three"]);
    }

    #[test]
    fn short_classes_are_ascii_as_in_go() {
        check(r"^\d+$", &["12"], &["١٢", "a"]);
        check(r"^\w+$", &["aZ_9"], &["é", "-"]);
        check(r"^[\w.-]+$", &["a.b-c"], &["a é"]);
        check(r"^[^\w]+$", &["é-"], &["é-a"]);
        check(r"^\W$", &["é"], &["e"]);
        check(r"^\s$", &[" ", "\t"], &["\u{a0}"]);
        check(r"\bfoo\b", &["a foo b", "éfoo"], &["afoo"]);
        check(r"^a\B", &["ab"], &["a b"]);
    }

    #[test]
    fn brackets_in_classes_are_members() {
        check("^[[]$", &["["], &["]"]);
        check("^[]a]+$", &["a]"], &["["]);
        check("^[^]a]+$", &["b"], &["]"]);
        check("^[a&&b]+$", &["a&b"], &["c"]);
        check("^[a~~b]+$", &["a~b"], &["c"]);
        check("^[+--]+$", &["+,-"], &["a"]);
        check("^[[:alpha:]_]+$", &["ab_"], &["1", ":"]);
        check("^[é-ü]$", &["ö"], &["o"]);
    }

    #[test]
    fn other_forms_of_go_are_known() {
        check(r"^\Qa.b\E+$", &["a.bb"], &["axb"]);
        check("^(?P<name>x)(?<other>y)$", &["xy"], &["x"]);
        check(r"^\<a\>$", &["<a>"], &["a"]);
        check("^a{2}b{1,}c{x}{$", &["aabbc{x}{"], &["aabcx"]);
        check("(?i)^ab$", &["AB"], &["ac"]);
        check(r"^\p{Greek}\pL$", &["αa"], &["a1"]);
        check(r"^\x41\x{42}\103\072$", &["ABC:"], &["ABD:"]);
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for pattern in ["[", "(", "a{2,1}", r"\", "(?P<n", "*"] {
            assert!(Pattern::new(pattern).is_err(), "{pattern}");
        }
        assert_eq!(
            Pattern::new("[").unwrap_err().to_string(),
            "invalid regular expression: unclosed character class"
        );
    }
}
