//! The reference of options, made of the model.

use std::fmt::Write as _;

use serde_json::Value;

use crate::describe::{Describe, Texts};
use crate::env::env_name;
use crate::model::Options;
use crate::schema::{List, is_extension, join, lists, ours};

const INTRODUCTION: &str = "\
# Options

Names, defaults and variables are Centrifugo's, but for options of our own, whose variables stand here with the prefix
`TOURBILLON_`. Flags win over variables, these over the file, this over the defaults. Each variable works with either
prefix, `TOURBILLON_` and `CENTRIFUGO_`; the first wins. In variables,
lists are separated by single spaces, and a list of objects is JSON. A value of zero is the same as none. Durations
are texts such as `25s`, `1m30s` or `250ms`, or numbers of nanoseconds.

Made from the options themselves: `UPDATE_EXPECT=1 cargo test -p tourbillon-config --test config` writes it anew.
";

const HEADER: &str = "\n| option | default | variable | meaning |\n|---|---|---|---|\n";

/// Every option with its default, its environment variable and what it means, as Markdown.
#[must_use]
pub fn reference() -> String {
    let mut meanings = Texts::new();
    Options::describe("", "", &mut meanings);
    let meaning = |path: &str| meanings.get(path).map_or("", String::as_str);
    let mut text = INTRODUCTION.to_owned();
    text.push_str(HEADER);
    for (path, default) in ours() {
        row(&mut text, path, default, &env_name(path), meaning(path));
    }
    for List { path: list, options, element } in lists() {
        let variable = env_name(list);
        // A text takes everything that is written to it.
        let _ = write!(
            text,
            "\n## Elements of `{list}`\n\n`<NAME>` is the {element}'s name in capitals, with `_` in place of `.` and `-`. \
             The {element} must be in the file or\nin `CENTRIFUGO_{variable}`.\n"
        );
        text.push_str(HEADER);
        for (name, default) in *options {
            let variable = format!("{variable}_<NAME>_{}", env_name(name));
            let path = join(&format!("{list}[]"), name);
            row(&mut text, &path, default, &variable, meaning(&path));
        }
    }
    text
}

fn row(text: &mut String, path: &str, default: &Value, variable: &str, meaning: &str) {
    let default = match default {
        Value::String(text) if text.is_empty() => String::new(),
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    };
    let prefix = if is_extension(path) { "TOURBILLON" } else { "CENTRIFUGO" };
    // A text takes everything that is written to it.
    let _ = writeln!(text, "| `{path}` | {default} | `{prefix}_{variable}` | {meaning} |");
}
