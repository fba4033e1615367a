//! XML004: an allowance that allows nothing.

use crate::allow;
use crate::finding::{Finding, MOST};
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "XML004",
    name: "unknown-allowance",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "A `<sevirt:allow>` in `<metadata>` that names no rule, or one that cannot be allowed.",
        why: "A misspelt override does nothing, and its author believes that it does.",
        example: "<metadata>\n  <sevirt:allow xmlns:sevirt='urn:sevirt:domain:1' rule='SEV999'/>\n</metadata>",
        fix: "Name a rule by its code or its name; `docs/rules.md` lists them.",
        since: "0.1",
        source: "sevirt.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    allow::of_document(subject.document)
        .filter_map(|(word, span)| {
            let error = allow::code(&word).err()?;
            Some(RULE.finding(span, error.to_string()).help("the override has no effect"))
        })
        .take(MOST)
        .collect()
}
