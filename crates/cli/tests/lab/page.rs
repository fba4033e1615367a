//! The page of the rules in the lab: a part that only the lab can write, and a part that follows from the rules.

use std::fmt::Write as _;

pub(crate) const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/rules-in-the-lab.md");
/// What the second part begins with.
pub(crate) const SECOND: &str = "## Judged on facts\n";

/// The rules that are not started in the lab, with what is known of them. `started` are the codes of the others.
pub(crate) fn second_part(started: &[String]) -> String {
    let mut page = format!(
        "{SECOND}\n\
         These rules speak of other hosts or versions, of what happens after the start, or of the XML itself. Each has fixtures\n\
         of both kinds on recorded facts (`crates/rules/test_data`), and a source.\n\n\
         | rule | severity | source |\n|---|---|---|\n"
    );
    for rule in
        rules::TABLE.iter().map(|entry| entry.rule).filter(|rule| !started.iter().any(|it| it == rule.code))
    {
        let anchor = format!("{}-{}", rule.code.to_lowercase(), rule.name);
        let (code, name, severity) = (rule.code, rule.name, rule.severity);
        let source = rule.page.source.replace('|', "\\|");
        let _ = writeln!(page, "| [{code}](rules.md#{anchor}) {name} | {severity} | {source} |");
    }
    page
}
