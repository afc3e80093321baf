//! `.env` files (CONF-05).

use std::collections::BTreeMap;

/// Reads `NAME=text` lines; `export` may come before. Text in double quotes may have escapes (`\n`, `\"`, `\\`),
/// text in single quotes is taken as it is, other text ends before ` #`. But in single quotes, `$NAME` and `${NAME}`
/// stand for a variable of a line above, in capitals, and `\$` for the sign. Lines that begin with `#` are comments.
/// Anything else is an error that names the line.
///
/// # Errors
///
/// What is wrong with the first line that is.
pub fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut variables = BTreeMap::new();
    for (at, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, text) = assignment(line).ok_or_else(|| format!("line {} is not NAME=text", at + 1))?;
        let text = text.read(&variables).map_err(|missing| {
            format!("line {}: no line above sets {missing}; in single quotes $ is only a sign", at + 1)
        })?;
        variables.insert(name.to_owned(), text);
    }
    Ok(variables)
}

/// A text in double quotes, as [`parse`] reads it.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' | '$' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// The text of a line, as it is written there.
#[derive(Clone, Copy)]
enum Text<'a> {
    Single(&'a str),
    Double(&'a str),
    Plain(&'a str),
}

fn assignment(line: &str) -> Option<(&str, Text<'_>)> {
    let line = line.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])).unwrap_or(line);
    let (name, text) = line.split_once('=')?;
    let name = name.trim();
    let named = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
    let text = text.trim();
    let text = if let Some(rest) = text.strip_prefix('\'') {
        let (text, rest) = rest.split_once('\'')?;
        nothing_more(rest).then_some(Text::Single(text))?
    } else if let Some(rest) = text.strip_prefix('"') {
        let (text, rest) = rest.split_at_checked(end_of_quote(rest)?)?;
        nothing_more(rest.strip_prefix('"')?).then_some(Text::Double(text))?
    } else {
        let end = text.find(" #").or_else(|| text.starts_with('#').then_some(0)).unwrap_or(text.len());
        Text::Plain(text.get(..end)?.trim_end())
    };
    named.then_some((name, text))
}

/// Where the closing quote is.
fn end_of_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, character)| {
        let ends = character == '"' && !escaped;
        escaped = character == '\\' && !escaped;
        ends.then_some(at)
    })
}

fn nothing_more(rest: &str) -> bool {
    rest.trim().is_empty() || rest.trim_start().starts_with('#')
}

impl Text<'_> {
    /// What it means, or the variable that it names and that is not there.
    fn read(self, variables: &BTreeMap<String, String>) -> Result<String, String> {
        let (text, quoted) = match self {
            Self::Single(text) => return Ok(text.to_owned()),
            Self::Double(text) => (text, true),
            Self::Plain(text) => (text, false),
        };
        let mut read = String::new();
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            match (character, rest.clone().next()) {
                ('\\', Some('$')) => {
                    rest.next();
                    read.push('$');
                }
                ('\\', Some(escaped)) if quoted => {
                    rest.next();
                    read.push(match escaped {
                        'n' => '\n',
                        'r' => '\r',
                        't' => '\t',
                        other => other,
                    });
                }
                ('$', _) => match reference(rest.as_str()) {
                    Some((name, behind)) => {
                        read.push_str(variables.get(name).ok_or_else(|| name.to_owned())?);
                        rest = behind.chars();
                    }
                    None => read.push('$'),
                },
                (other, _) => read.push(other),
            }
        }
        Ok(read)
    }
}

/// The variable that is named behind a `$`, and what is behind its name.
fn reference(text: &str) -> Option<(&str, &str)> {
    let braced = text.strip_prefix('{');
    let text = braced.unwrap_or(text);
    let is_of_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let (name, rest) = text.split_at_checked(text.find(|c| !is_of_name(c)).unwrap_or(text.len()))?;
    let rest = if braced.is_some() { rest.strip_prefix('}')? } else { rest };
    (!name.is_empty()).then_some((name, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_quoted_is_read_again(text in any::<String>()) {
            let read = parse(&format!("A={}\n", quoted(&text))).map(|mut variables| variables.remove("A"));
            prop_assert_eq!(read, Ok(Some(text)));
        }

        #[test]
        fn any_file_is_read_or_refused(text in "(export )?[A-Z=]*[^\n]*(\n[A-Z]=[\"'$\\\\{}A-Z# \u{e9}]*)*") {
            let _ = parse(&text);
        }

        #[test]
        fn single_quotes_keep_everything(text in "[^'\r\n]*") {
            let expected = BTreeMap::from([("A".to_owned(), text.clone())]);
            prop_assert_eq!(parse(&format!("A='{text}'")), Ok(expected));
        }

        #[test]
        fn double_quotes_keep_what_is_escaped(text in "[^\r]*") {
            let escaped = text.replace('\\', r"\\").replace('"', "\\\"").replace('$', r"\$").replace('\n', r"\n");
            let expected = BTreeMap::from([("A".to_owned(), text)]);
            prop_assert_eq!(parse(&format!("A=\"{escaped}\"")), Ok(expected));
        }
    }

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
    fn variables_of_lines_above_are_put_in() {
        let above = "A=1\nB_2='$x'\n";
        for (text, expected) in [
            ("$A", "1"),
            ("${A}2 $B_2$A", "12 $x1"),
            (r#""<$A>\n${B_2}""#, "<1>\n$x"),
            ("'$A'", "$A"),
            (r"\$A", "$A"),
            (r#""\$A \\$A""#, r"$A \1"),
            ("pa$s $ $$ ${ ${a} ${A", "pa$s $ $$ ${ ${a} ${A"),
            ("$A", "1"),
            (r"C:\dir", r"C:\dir"),
        ] {
            let read = parse(&format!("{above}C={text}"));
            assert_eq!(read.map(|all| all["C"].clone()), Ok(expected.to_owned()), "{text}");
        }
        assert_eq!(
            parse("A=1\nB=$C\nC=2"),
            Err("line 2: no line above sets C; in single quotes $ is only a sign".to_owned())
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
