//! The page of meant differences from libvirt, made from the table that the comparison of the two daemons uses.

use std::fmt::Write as _;

use serde::Deserialize;

/// The table, below the workspace's root.
pub(crate) const TABLE: &str = "crates/cli/test_data/virsh/differences.toml";
/// The page, below the workspace's root.
pub(crate) const PAGE: &str = "docs/libvirt-differences.md";

const HEAD: &str = "\
# Differences from libvirt

The same lines are typed into an unmodified `virsh` against sevirt and against libvirtd 11.3, in the lab, where both daemons
have the same simulated secure processor, and the answers are compared (`cargo test -p cli --test virsh`):

- [commands.virsh](../crates/cli/test_data/virsh/commands.virsh), every command, on small guests;
- [options.virsh](../crates/cli/test_data/virsh/options.virsh), more of their options, devices plugged in and out;
- [sev.virsh](../crates/cli/test_data/virsh/sev.virsh), libvirt's page on launch security line by line: its Q35 and i440fx
  guests are defined, started, report that SEV is active, are shut down and undefined; guests are reset and rebooted; SEV-ES
  and SEV-SNP guests are launched.

The first two are typed on the machine itself as well, which has more processors and may have no SEV.

A line that only one of the two prints fails the test, unless it is one of these. A row that nothing uses fails as well.

This page is made of [differences.toml](../crates/cli/test_data/virsh/differences.toml) by `make docs`. `-` is libvirtd's
line, `+` is sevirt's; both columns are regular expressions.

| command | line | why |
|---|---|---|
";

#[derive(Deserialize)]
struct Table {
    difference: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    #[serde(rename = "where")]
    place: String,
    command: String,
    pattern: String,
    reason: String,
}

/// The page.
pub(crate) fn page(table: &str) -> anyhow::Result<String> {
    let table: Table = toml::from_str(table)?;
    let mut page = HEAD.to_owned();
    let code = |text: &str| format!("<code>{}</code>", escaped(text));
    for row in &table.difference {
        let place = if row.place == "lab" { "" } else { " (outside of the lab)" };
        let (command, pattern) = (code(&row.command), code(&row.pattern));
        writeln!(page, "| {command}{place} | {pattern} | {} |", row.reason)?;
    }
    Ok(page)
}

/// For a cell of a table: what Markdown or HTML would take for its own.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '|' => escaped.push_str("&#124;"),
            '*' | '_' | '\\' | '[' | ']' | '`' => {
                escaped.push('\\');
                escaped.push(character);
            }
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_page_is_current() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let wanted = page(&fs::read_to_string(root.join(TABLE)).unwrap()).unwrap();
        let found = fs::read_to_string(root.join(PAGE)).unwrap_or_default();
        assert!(found == wanted, "{PAGE} is stale: run `make docs`");
    }

    #[test]
    fn a_row_survives_its_table() {
        let row =
            "[[difference]]\nwhere = 'native'\ncommand = 'virsh a|b'\npattern = '- *<x>'\nreason = 'why'\n";
        let page = page(row).unwrap();
        let wanted =
            "| <code>virsh a&#124;b</code> (outside of the lab) | <code>- \\*&lt;x></code> | why |\n";
        assert!(page.ends_with(wanted), "{page}");
    }
}
