//! COMPATIBILITY.md.

use std::fmt::Write;

use super::table::{Area, Row, Status, Table};

pub(super) fn render(table: &Table) -> String {
    let mut page = String::new();
    // Writing into a string does not fail.
    let _ = write_page(&mut page, table);
    page
}

fn write_page(page: &mut String, table: &Table) -> std::fmt::Result {
    writeln!(page, "<!-- Written by `cargo xtask compat` from tests/compatibility.toml. -->\n")?;
    writeln!(page, "# Compatibility with Centrifugo v6\n")?;
    writeln!(
        page,
        "{} of {} known behaviours are proven: each of them names a test that shows it. `planned` means that nothing\n\
         is claimed, not that nothing is there.\n",
        table.count(Status::Proven),
        table.rows().len()
    )?;
    writeln!(
        page,
        "- **proven**: works, and tests show it\n- **partial**: tests show a part; the note says what is missing"
    )?;
    writeln!(
        page,
        "- **planned**: nothing is shown yet\n- **different**: deliberately not the same; the note says how and why"
    )?;
    writeln!(page, "- **not applicable**: has no meaning here; the note says why\n")?;
    write_summary(page, table)?;
    for area in table.areas() {
        write_area(page, &area)?;
    }
    Ok(())
}

fn write_summary(page: &mut String, table: &Table) -> std::fmt::Result {
    let heads: Vec<&str> = Status::ALL.iter().map(|status| status.name()).collect();
    writeln!(page, "| area | {} | known |", heads.join(" | "))?;
    writeln!(page, "|---|{}", "---:|".repeat(heads.len() + 1))?;
    for area in table.areas() {
        let counts = Status::ALL.map(|status| area.count(status).to_string()).join(" | ");
        writeln!(page, "| {} | {counts} | {} |", area.name, area.rows.len())?;
    }
    let counts = Status::ALL.map(|status| table.count(status).to_string()).join(" | ");
    writeln!(page, "| **all** | {counts} | {} |", table.rows().len())
}

fn write_area(page: &mut String, area: &Area<'_>) -> std::fmt::Result {
    writeln!(page, "\n## {}\n", area.name)?;
    writeln!(page, "| id | behaviour | status | proof, note |\n|---|---|---|---|")?;
    for row in &area.rows {
        writeln!(page, "| {} | {} | {} | {} |", row.id, cell(&row.text), row.status.name(), remarks(row))?;
    }
    Ok(())
}

fn remarks(row: &Row) -> String {
    let tests = row.tests().map(|test| format!("`{}`", cell(test)));
    tests.chain(row.note.as_deref().map(cell)).collect::<Vec<_>>().join("<br>")
}

fn cell(text: &str) -> String {
    text.trim().replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_counts_and_lists() {
        let table = Table::parse(
            "[[area]]\nname = \"Wire\"\nprefixes = [\"A\"]\n[[row]]\nid = \"A-1\"\ntext = \"a | b\"\nstatus = \"proven\"\n\
             test = [\"x.rs::y\", \"z.mjs::w\"]\nnote = \"Well.\"\n[[row]]\nid = \"A-2\"\ntext = \"c\"\nstatus = \"planned\"\n",
        )
        .expect("a table");
        let page = render(&table);
        assert!(page.contains("1 of 2 known behaviours"), "{page}");
        assert!(page.contains("| Wire | 1 | 0 | 1 | 0 | 0 | 2 |"), "{page}");
        assert!(page.contains("| A-1 | a \\| b | proven | `x.rs::y`<br>`z.mjs::w`<br>Well. |"), "{page}");
        assert!(page.contains("| A-2 | c | planned |  |"), "{page}");
    }
}
