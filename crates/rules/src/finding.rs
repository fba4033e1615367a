//! What a rule finds, and the same with lines and columns for those who have no document at hand.

use domain::{Document, Position, Span};
use serde::Serialize;

use crate::fix::{Fix, Safety};
use crate::rule::Severity;

/// No rule finds more than this in one domain: what breaks a rule so often is no domain, and must not eat time.
pub(crate) const MOST: usize = 1000;

/// One place in a document where a rule holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub code: &'static str,
    pub name: &'static str,
    pub severity: Severity,
    /// The bytes that it is about.
    pub span: Span,
    /// A phrase without a full stop.
    pub message: String,
    /// What else is worth pointing at.
    pub labels: Vec<Label>,
    /// What to do about it.
    pub help: Option<String>,
    pub fix: Option<Fix>,
}

/// A remark at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    pub span: Span,
    pub text: String,
}

impl Finding {
    /// Where a rule is not equally bad everywhere.
    #[must_use]
    pub(crate) fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    #[must_use]
    pub(crate) fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    #[must_use]
    pub(crate) fn fix(mut self, fix: Fix) -> Self {
        self.fix = Some(fix);
        self
    }
}

/// A finding as machines read it: `sevirt lint --format json` and the `finding` events of `sevirt run`. Field names
/// and their meaning are stable; lines and columns count from 1, columns in Unicode scalars.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Located {
    pub code: &'static str,
    pub name: &'static str,
    pub severity: Severity,
    pub message: String,
    pub file: String,
    pub line: usize,
    pub column: usize,
    pub end_line: usize,
    pub end_column: usize,
    pub help: Option<String>,
    pub fix: Option<LocatedFix>,
}

/// A fix as machines read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LocatedFix {
    pub title: String,
    pub safety: Safety,
}

impl Located {
    pub fn new(finding: &Finding, file: &str, document: &Document) -> Self {
        let span = finding.span;
        Self::between(finding, file, document.position(span.start), document.position(span.end))
    }

    /// For a text that is no document: its only finding knows its own place.
    pub fn between(finding: &Finding, file: &str, start: Position, end: Position) -> Self {
        Self {
            code: finding.code,
            name: finding.name,
            severity: finding.severity,
            message: finding.message.clone(),
            file: file.to_owned(),
            line: start.line,
            column: start.column,
            end_line: end.line,
            end_column: end.column,
            help: finding.help.clone(),
            fix: finding.fix.as_ref().map(|fix| LocatedFix { title: fix.title.clone(), safety: fix.safety }),
        }
    }
}
