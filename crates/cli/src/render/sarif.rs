//! Findings for code scanners: SARIF 2.1.0 (OASIS), one run over all inputs.
//!
//! Fixes carry their replacements, whether safe or not, in their own words; what is allowed is there as a suppressed
//! result.

use std::path::Path;

use domain::Span;
use rules::{Finding, Rule, TABLE};
use serde_json::{Value, json};

use super::Judged;
use crate::input::STDIN_NAME;

pub(crate) fn render(judged: &[Judged]) -> anyhow::Result<String> {
    let results: Vec<Value> = judged
        .iter()
        .flat_map(|judged| {
            let found = judged.findings.iter().map(|finding| result(judged, finding));
            found.chain(judged.allowed.iter().map(|finding| suppressed(judged, finding)))
        })
        .collect();
    let log = json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "sevirt",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": TABLE.iter().map(|entry| rule(entry.rule)).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    let mut text = serde_json::to_string_pretty(&log)?;
    text.push('\n');
    Ok(text)
}

fn rule(rule: &Rule) -> Value {
    json!({
        "id": rule.code,
        "name": rule.name,
        "shortDescription": {"text": rule.page.what},
        "fullDescription": {"text": rule.page.why},
        "help": {"text": rule.page.fix, "markdown": rules::docs::rule_page(rule)},
        "defaultConfiguration": {"level": rule.severity},
    })
}

fn result(judged: &Judged, finding: &Finding) -> Value {
    let text = match &finding.help {
        Some(help) => format!("{}; {help}", finding.message),
        None => finding.message.clone(),
    };
    let related: Vec<Value> = finding
        .labels
        .iter()
        .map(|label| {
            json!({
                "physicalLocation": {"artifactLocation": artifact(judged), "region": region(judged, label.span)},
                "message": {"text": label.text},
            })
        })
        .collect();
    json!({
        "ruleId": finding.code,
        "ruleIndex": TABLE.iter().position(|entry| entry.rule.code == finding.code),
        "level": finding.severity,
        "message": {"text": text},
        "locations": [{
            "physicalLocation": {"artifactLocation": artifact(judged), "region": region(judged, finding.span)},
        }],
        "relatedLocations": related,
        "fixes": finding.fix.iter().map(|fix| replacements(judged, fix)).collect::<Vec<_>>(),
    })
}

fn suppressed(judged: &Judged, finding: &Finding) -> Value {
    let mut result = result(judged, finding);
    if let Some(fields) = result.as_object_mut() {
        fields.insert("suppressions".into(), json!([{"kind": "external", "status": "accepted"}]));
    }
    result
}

fn replacements(judged: &Judged, fix: &rules::Fix) -> Value {
    let replacements: Vec<Value> = fix
        .edits
        .iter()
        .map(|edit| {
            json!({
                "deletedRegion": region(judged, edit.span),
                "insertedContent": {"text": edit.replacement},
            })
        })
        .collect();
    json!({
        "description": {"text": format!("{} ({})", fix.title, fix.safety)},
        "artifactChanges": [{"artifactLocation": artifact(judged), "replacements": replacements}],
    })
}

/// Lines and columns from 1; the end is the column after the last one.
fn region(judged: &Judged, span: Span) -> Value {
    let (start, end) = (judged.position(span.start), judged.position(span.end));
    json!({
        "startLine": start.line,
        "startColumn": start.column,
        "endLine": end.line,
        "endColumn": end.column,
    })
}

/// A relative reference stays relative: scanners resolve it against the checkout.
fn artifact(judged: &Judged) -> Value {
    let name = judged.input.name.as_str();
    if name == STDIN_NAME {
        return json!({"description": {"text": "standard input"}});
    }
    let scheme = if Path::new(name).is_absolute() { "file://" } else { "" };
    json!({"uri": format!("{scheme}{}", percent_encoded(name))})
}

/// RFC 3986: what is neither unreserved nor a slash is written as its bytes.
fn percent_encoded(path: &str) -> String {
    let mut out = String::new();
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::percent_encoded;

    #[test]
    fn paths_become_uris() {
        assert_eq!(percent_encoded("a dir/é#1:2.xml"), "a%20dir/%C3%A9%231%3A2.xml");
    }
}
