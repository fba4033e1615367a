//! The project's own chores: `cargo xtask docs` writes the generated pages anew. The invariants are tests, in `tests/`.

mod differences;

use std::path::Path;

use anyhow::{Context as _, bail};

fn main() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1);
    match (words.next().as_deref(), words.next()) {
        (Some("docs"), None) => docs(),
        _ => bail!("usage: cargo xtask docs"),
    }
}

/// Writes the pages that are made from the program itself.
fn docs() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace has no directory")?;
    let differences = differences::page(&std::fs::read_to_string(root.join(differences::TABLE))?)?;
    let pages = [
        ("docs/facts.md", host::page()),
        (differences::PAGE, differences),
        ("docs/rules.md", rules::docs::page()),
    ];
    for (name, page) in pages {
        let path = root.join(name);
        std::fs::write(&path, page).with_context(|| format!("write `{}`", path.display()))?;
    }
    Ok(())
}
