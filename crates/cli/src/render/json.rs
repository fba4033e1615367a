//! Findings for machines: one JSON array, whose objects are [`rules::Located`].

use super::Judged;

pub(crate) fn render(judged: &[Judged]) -> anyhow::Result<String> {
    let findings: Vec<_> = judged
        .iter()
        .flat_map(|judged| judged.findings.iter().map(|finding| judged.located(finding)))
        .collect();
    let mut text = serde_json::to_string_pretty(&findings)?;
    text.push('\n');
    Ok(text)
}
