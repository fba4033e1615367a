//! Findings for code scanners: SARIF 2.1.0 (OASIS), one run over all inputs.
//!
//! Fixes carry their replacements, whether safe or not, in their own words; what is allowed is there as a suppressed
//! result.

use std::path::Path;

use domain::Span;
use rules::{Finding, Rule, TABLE};
use serde_json::{Value, json};

use super::Judged;
use super::json::indented;
use crate::input::STDIN_NAME;

/// The schema that the log obeys.
const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// A log, written piece by piece: head, the results of each input, end.
#[derive(Debug, Default)]
pub(crate) struct Log {
    started: bool,
}

impl Log {
    pub(crate) fn head() -> anyhow::Result<String> {
        let driver = json!({
            "name": "sevirt",
            "semanticVersion": env!("CARGO_PKG_VERSION"),
            "rules": TABLE.iter().map(|entry| rule(entry.rule)).collect::<Vec<_>>(),
        });
        Ok(format!(
            "{{\n  \"$schema\": \"{SCHEMA}\",\n  \"version\": \"2.1.0\",\n  \"runs\": [\n    {{\n      \
             \"tool\": {{\n        \"driver\": {}\n      }},\n      \"columnKind\": \"unicodeCodePoints\",\n      \
             \"results\": [",
            indented(&serde_json::to_string_pretty(&driver)?, "        ").trim_start()
        ))
    }

    /// The results of one more input.
    pub(crate) fn add(&mut self, judged: &Judged) -> anyhow::Result<String> {
        let found = judged.findings.iter().map(|finding| result(judged, finding));
        let suppressed = judged.allowed.iter().map(|finding| suppressed(judged, finding));
        let mut text = String::new();
        for result in found.chain(suppressed) {
            text.push_str(if self.started { ",\n" } else { "\n" });
            self.started = true;
            text.push_str(&indented(&serde_json::to_string_pretty(&result)?, "        "));
        }
        Ok(text)
    }

    /// The end of the log; `failures` are inputs that could not be read.
    pub(crate) fn end(&self, failures: &[String]) -> anyhow::Result<String> {
        let notifications: Vec<Value> =
            failures.iter().map(|failure| json!({"level": "error", "message": {"text": failure}})).collect();
        let invocation = json!({
            "executionSuccessful": failures.is_empty(),
            "toolExecutionNotifications": notifications,
        });
        let close = if self.started { "\n      ]" } else { "]" };
        Ok(format!(
            "{close},\n      \"invocations\": [\n{}\n      ]\n    }}\n  ]\n}}\n",
            indented(&serde_json::to_string_pretty(&invocation)?, "        ")
        ))
    }
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
