//! Blanks out what is not code.

use super::Comment;

/// The text with every comment replaced by spaces and the inside of every literal by `"`, and the comments.
///
/// Lines and byte positions stay as they are. The inside of a literal stays visible as *something*, so that a line
/// of a long string still counts as a line of code.
pub(super) fn mask(text: &str) -> (String, Vec<Comment>) {
    let mut masker =
        Masker { text, at: 0, line: 1, code: String::with_capacity(text.len()), comments: Vec::new() };
    while masker.at < text.len() {
        masker.step();
    }
    (masker.code, masker.comments)
}

struct Masker<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    code: String,
    comments: Vec<Comment>,
}

impl<'a> Masker<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn step(&mut self) {
        let rest = self.rest();
        let name_before =
            self.code.ends_with(|character: char| character == '_' || character.is_alphanumeric());
        if rest.starts_with("//") {
            let length = rest.find('\n').unwrap_or(rest.len());
            self.comment(length);
        } else if rest.starts_with("/*") {
            self.comment(block_length(rest));
        } else if let Some((open, close)) = (!name_before).then(|| raw_string(rest)).flatten() {
            let inside = rest[open..].find(&close).unwrap_or(rest.len() - open);
            self.literal(open, inside, close.len());
        } else if let Some(inside) = rest.strip_prefix('"') {
            let inside = escaped_length(inside, '"');
            self.literal(1, inside, 1);
        } else if let Some(inside) = character_literal(rest) {
            self.literal(1, inside, 1);
        } else if let Some(character) = rest.chars().next() {
            self.copy(character);
        }
    }

    fn copy(&mut self, character: char) {
        self.code.push(character);
        self.line += usize::from(character == '\n');
        self.at += character.len_utf8();
    }

    fn comment(&mut self, length: usize) {
        let text = &self.rest()[..length];
        self.comments.push(Comment { line: self.line, text: text.to_owned() });
        self.fill(length, ' ');
    }

    fn literal(&mut self, open: usize, inside: usize, close: usize) {
        self.take(open);
        self.fill(inside, '"');
        self.take(close);
    }

    fn take(&mut self, length: usize) {
        let taken: Vec<char> = self.rest().get(..length).unwrap_or_default().chars().collect();
        taken.into_iter().for_each(|character| self.copy(character));
    }

    /// Passes `length` bytes and leaves as many `filler`s, but every line break where it is.
    fn fill(&mut self, length: usize, filler: char) {
        for byte in self.rest().bytes().take(length) {
            let break_here = byte == b'\n';
            self.code.push(if break_here { '\n' } else { filler });
            self.line += usize::from(break_here);
        }
        self.at += length;
    }
}

fn block_length(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest.as_bytes()[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.as_bytes()[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// The length of the opening of a raw string (`r#"`, `br"`, `cr"`) and its closing.
fn raw_string(rest: &str) -> Option<(usize, String)> {
    let prefix = ["r", "br", "cr"].into_iter().find(|prefix| {
        rest.strip_prefix(prefix).is_some_and(|after| after.trim_start_matches('#').starts_with('"'))
    })?;
    let hashes = rest[prefix.len()..].bytes().take_while(|&byte| byte == b'#').count();
    Some((prefix.len() + hashes + 1, format!("\"{}", "#".repeat(hashes))))
}

/// The bytes up to the closing quote, which a backslash can hide.
fn escaped_length(inside: &str, quote: char) -> usize {
    let mut hidden = false;
    for (position, character) in inside.char_indices() {
        match character {
            _ if hidden => hidden = false,
            '\\' => hidden = true,
            _ if character == quote => return position,
            _ => {}
        }
    }
    inside.len()
}

/// The bytes inside a character literal; `None` for a lifetime.
fn character_literal(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('\'')?;
    let first = inside.chars().next()?;
    if first == '\\' {
        return Some(escaped_length(inside, '\''));
    }
    inside[first.len_utf8()..].starts_with('\'').then_some(first.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        let (code, _) = mask(text);
        assert_eq!(code.len(), text.len(), "positions stay");
        assert_eq!(code.matches('\n').count(), text.matches('\n').count(), "lines stay");
        code
    }

    #[test]
    fn literals_are_filled() {
        let filled = |quotes: usize| "\"".repeat(quotes);
        assert_eq!(code(r#"f("a{b", x)"#), format!("f({}, x)", filled(5)));
        assert_eq!(code(r#""\\"; "\"{"; x"#), format!("{}; {}; x", filled(4), filled(5)));
        assert_eq!(code(r"('x', '\'', '{')"), r#"('"', '""', '"')"#);
        assert_eq!(code(r##"r#"a"{"#; x"##), format!("r#{}#; x", filled(5)));
        assert_eq!(code(r#"b"{" br"{" r#type"#), r#"b""" br""" r#type"#);
    }

    #[test]
    fn lifetimes_are_no_literals() {
        assert_eq!(
            code("fn f<'a>(x: &'a str, c: char) { 'a: loop {} }"),
            "fn f<'a>(x: &'a str, c: char) { 'a: loop {} }"
        );
    }

    #[test]
    fn comments_go() {
        let (code, comments) = mask("a // b {\nc /* d /* e */ f\n{ */ g");
        assert_eq!(code.split('\n').map(str::trim_end).collect::<Vec<_>>(), ["a", "c", "     g"]);
        assert_eq!(comments.iter().map(|comment| comment.line).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(comments[0].text, "// b {");
    }

    #[test]
    fn wide_characters_keep_positions() {
        code("let s = \"ä€😀\"; // ö\nlet c = '€';");
    }
}
