//! The reference of options, made of the model.

use std::fmt::Write as _;

use serde_json::Value;

use crate::describe::{Describe, Texts};
use crate::env::env_name;
use crate::model::Options;
use crate::schema::{List, is_extension, join, lists, ours};

const INTRODUCTION: &str = "\
Names, defaults and variables are Centrifugo's, but for options of our own, whose variables stand here with the prefix
`TOURBILLON_`. Flags win over variables, these over the file, this over the defaults. Each variable works with either
prefix, `TOURBILLON_` and `CENTRIFUGO_`; the first wins. In variables,
lists are separated by single spaces, and a list of objects is JSON. A value of zero is the same as none. Durations
are texts such as `25s`, `1m30s` or `250ms`, or numbers of nanoseconds.
";

const FRESHNESS: &str = "
Made from the options themselves: `UPDATE_EXPECT=1 cargo test -p tourbillon-config --test config` writes it anew.
";

const HEADER: &str = "\n| option | default | variable | meaning |\n|---|---|---|---|\n";

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:2rem;color:#222}table{border-collapse:collapse}\
    td,th{border-bottom:1px solid #ddd;padding:.3rem .6rem;text-align:left;vertical-align:top}\
    code{background:#f4f4f4;overflow-wrap:anywhere}";

/// Every option with its default, its environment variable and what it means, or those of a group.
#[derive(Debug)]
pub struct Reference {
    chapters: Vec<Chapter>,
}

#[derive(Debug)]
struct Chapter {
    title: String,
    introduction: String,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    path: String,
    default: String,
    variable: String,
    meaning: String,
}

impl Reference {
    /// The options whose paths begin with this; all of them if it is empty.
    #[must_use]
    pub fn new(section: &str) -> Self {
        let mut meanings = Texts::new();
        Options::describe("", "", &mut meanings);
        let row = |path: String, default: &Value, variable: &str| {
            let default = match default {
                Value::String(text) if text.is_empty() => String::new(),
                Value::String(text) => format!("`{text}`"),
                other => format!("`{other}`"),
            };
            let prefix = if is_extension(&path) { "TOURBILLON" } else { "CENTRIFUGO" };
            let meaning = meanings.get(&path).cloned().unwrap_or_default();
            Row { variable: format!("{prefix}_{variable}"), path, default, meaning }
        };
        let rows = ours().iter().map(|(path, default)| row(path.clone(), default, &env_name(path))).collect();
        let mut chapters =
            vec![Chapter { title: "Options".to_owned(), introduction: INTRODUCTION.to_owned(), rows }];
        for List { path: list, options, element } in lists() {
            let variable = env_name(list);
            let rows = options.iter().map(|(name, default)| {
                let variable = format!("{variable}_<NAME>_{}", env_name(name));
                row(join(&format!("{list}[]"), name), default, &variable)
            });
            chapters.push(Chapter {
                title: format!("Elements of `{list}`"),
                introduction: format!(
                    "`<NAME>` is the {element}'s name in capitals, with `_` in place of `.` and `-`. The {element} must be in \
                     the file or\nin `CENTRIFUGO_{variable}`, which holds names, separated by spaces, or a list of objects.\n"
                ),
                rows: rows.collect(),
            });
        }
        for chapter in &mut chapters {
            chapter.rows.retain(|row| row.path.starts_with(section));
        }
        chapters.retain(|chapter| !chapter.rows.is_empty());
        Self { chapters }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.chapters.is_empty()
    }

    /// As Markdown, with headings so many levels lower.
    #[must_use]
    pub fn markdown(&self, lower: usize) -> String {
        let mut text = String::new();
        for (at, Chapter { title, introduction, rows }) in self.chapters.iter().enumerate() {
            let level = (lower + if at == 0 { 1 } else { 2 }).min(6);
            let space = if at == 0 { "" } else { "\n" };
            // A text takes everything that is written to it.
            let _ = write!(text, "{space}{} {title}\n\n{introduction}{HEADER}", "#".repeat(level));
            for Row { path, default, variable, meaning } in rows {
                let _ = writeln!(text, "| `{path}` | {default} | `{variable}` | {meaning} |");
            }
        }
        text
    }

    /// As a page that needs nothing else.
    #[must_use]
    pub fn html(&self) -> String {
        let mut text = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Options of Tourbillon</title>\
             <style>{STYLE}</style></head><body>\n"
        );
        for Chapter { title, introduction, rows } in &self.chapters {
            // A text takes everything that is written to it.
            let _ = write!(
                text,
                "<h1>{}</h1>\n<p>{}</p>\n<table><thead><tr><th>option</th><th>default</th><th>variable</th>\
                 <th>meaning</th></tr></thead><tbody>\n",
                marked(title),
                marked(introduction)
            );
            for Row { path, default, variable, meaning } in rows {
                let _ = writeln!(
                    text,
                    "<tr id=\"{path}\"><td><code>{path}</code></td><td>{}</td><td><code>{}</code></td><td>{}</td></tr>",
                    marked(default),
                    marked(variable),
                    marked(meaning)
                );
            }
            text.push_str("</tbody></table>\n");
        }
        text.push_str("</body></html>\n");
        text
    }
}

/// A text of Markdown, of which only code is marked, as HTML.
fn marked(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut parts = escaped.split('`');
    let mut marked = parts.next().unwrap_or_default().to_owned();
    for (at, part) in parts.enumerate() {
        marked.push_str(if at % 2 == 0 { "<code>" } else { "</code>" });
        marked.push_str(part);
    }
    marked
}

/// The reference of all options, as it is kept beside them.
#[must_use]
pub fn reference() -> String {
    let text = Reference::new("").markdown(0);
    text.replacen(HEADER, &format!("{FRESHNESS}{HEADER}"), 1)
}
