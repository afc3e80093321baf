//! `.env` files (CONF-05).

use std::collections::BTreeMap;

/// Reads `NAME=text` lines; `export` may come before. Text in double quotes may have escapes (`\n`, `\"`, `\\`,
/// `\$`), text in single quotes is taken as it is, other text ends before ` #`. Lines that begin with `#` are
/// comments. Anything else is an error that names the line.
pub(crate) fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut variables = BTreeMap::new();
    for (at, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, text) = assignment(line).ok_or_else(|| format!("line {} is not NAME=text", at + 1))?;
        variables.insert(name.to_owned(), text);
    }
    Ok(variables)
}

fn assignment(line: &str) -> Option<(&str, String)> {
    let line = line.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])).unwrap_or(line);
    let (name, text) = line.split_once('=')?;
    let name = name.trim();
    let named = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
    let text = text.trim();
    let text = if let Some(rest) = text.strip_prefix('\'') {
        let (text, rest) = rest.split_once('\'')?;
        nothing_more(rest).then(|| text.to_owned())?
    } else if let Some(rest) = text.strip_prefix('"') {
        let (text, rest) = double_quoted(rest)?;
        nothing_more(rest).then_some(text)?
    } else {
        let end = text.find(" #").or_else(|| text.starts_with('#').then_some(0)).unwrap_or(text.len());
        text.get(..end)?.trim_end().to_owned()
    };
    named.then_some((name, text))
}

/// Up to the closing quote, and what is behind it.
fn double_quoted(text: &str) -> Option<(String, &str)> {
    let mut read = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((read, text.get(at + 1..)?)),
            '\\' => match characters.next()?.1 {
                'n' => read.push('\n'),
                'r' => read.push('\r'),
                't' => read.push('\t'),
                other => read.push(other),
            },
            other => read.push(other),
        }
    }
    None
}

fn nothing_more(rest: &str) -> bool {
    rest.trim().is_empty() || rest.trim_start().starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_many_forms() {
        for (line, name, text) in [
            ("A=1", "A", "1"),
            ("export B = two words ", "B", "two words"),
            ("exported=1", "exported", "1"),
            ("C=", "C", ""),
            ("D=a#b # comment", "D", "a#b"),
            ("E= # only a comment", "E", ""),
            ("F='as $it \"is\\n' # comment", "F", "as $it \"is\\n"),
            (r#"G="a\n\"b\" \\ \$c # no comment" # comment"#, "G", "a\n\"b\" \\ $c # no comment"),
            ("H=x=y", "H", "x=y"),
            ("I=\"\"", "I", ""),
            ("J=[{\"name\":\"a b\"}]", "J", "[{\"name\":\"a b\"}]"),
        ] {
            let expected = BTreeMap::from([(name.to_owned(), text.to_owned())]);
            assert_eq!(parse(line), Ok(expected), "{line}");
        }
        assert_eq!(
            parse("\u{feff}# comment\n\n  # another\r\nA=1\r\nA=2\r\n").map(|all| all["A"].clone()),
            Ok("2".to_owned())
        );
    }

    #[test]
    fn other_lines_are_errors() {
        for line in
            ["nonsense", "=1", "A B=1", "A='1", "A=\"1", "A=\"1\\", "A=\"1\" 2", "A='1' 2", "A-B=1", "é=1"]
        {
            assert_eq!(parse(&format!("OK=1\n{line}")), Err("line 2 is not NAME=text".to_owned()), "{line}");
        }
    }
}
