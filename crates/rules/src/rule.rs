//! What a rule is: a code, a name, a severity and a page. Its check stands beside it in the table.

use domain::Span;
use serde::Serialize;

use crate::finding::Finding;

/// A pattern that is worth telling, described once for the table, `sevirt explain` and `docs/rules.md`.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Family and number, such as `SEV001`. Never reused.
    pub code: &'static str,
    /// The pattern's name; it reads well after "allow".
    pub name: &'static str,
    pub severity: Severity,
    /// Whether `--allow` and `<sevirt:allow>` may silence it.
    pub allowable: bool,
    pub page: Page,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The domain will not start, or is not what it claims to be. Nothing that has one is started.
    Error,
    /// It starts, and does not do what its author most likely wanted.
    Warning,
    /// Worth knowing.
    Note,
}

impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// A rule's page, in Markdown without headings.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// What the rule looks for.
    pub what: &'static str,
    /// Why that is bad.
    pub why: &'static str,
    /// XML that has the fault, or a host's files that do.
    pub example: &'static str,
    /// What to do, and what `sevirt fix` does.
    pub fix: &'static str,
    /// The version of sevirt that brought the rule.
    pub since: &'static str,
    /// Where the knowledge is from.
    pub source: &'static str,
}

impl Page {
    /// What an unsafe fix does to the guest: what follows "unsafe because", or "`sevirt fix --unsafe` does, because",
    /// in [`Page::fix`], to the end of the sentence.
    pub(crate) fn unsafe_because(&self) -> Option<&'static str> {
        let (_, reason) = ["unsafe because ", "--unsafe` does, because "]
            .iter()
            .find_map(|words| self.fix.split_once(words))?;
        let end = reason.find(". ").unwrap_or(reason.len());
        Some(reason.get(..end)?.trim_end_matches('.'))
    }
}

impl Rule {
    /// A finding of this rule.
    pub(crate) fn finding(&'static self, span: Span, message: impl Into<String>) -> Finding {
        Finding {
            code: self.code,
            name: self.name,
            severity: self.severity,
            span,
            message: message.into(),
            labels: Vec::new(),
            help: None,
            fix: None,
        }
    }
}
