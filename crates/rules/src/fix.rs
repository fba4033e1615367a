//! Fixes as data, and how many of them are made at once.

use domain::{Document, Edit};
use host::Facts;
use serde::Serialize;

use crate::allow::Allowed;
use crate::finding::Finding;
use crate::lint::lint;

/// A change that silences a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// What it does, in the imperative.
    pub title: String,
    pub safety: Safety,
    pub edits: Vec<Edit>,
}

/// Whether a fix may be made without asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Safety {
    /// Neither the launch measurement nor the guest's view of its devices changes, or the domain could not start
    /// at all before.
    Safe,
    /// Everything else.
    Unsafe,
}

impl std::fmt::Display for Safety {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Safe => "safe",
            Self::Unsafe => "unsafe",
        })
    }
}

impl Fix {
    pub(crate) fn safe(title: impl Into<String>, edits: Vec<Edit>) -> Self {
        Self { title: title.into(), safety: Safety::Safe, edits }
    }

    pub(crate) fn unsafe_(title: impl Into<String>, edits: Vec<Edit>) -> Self {
        Self { title: title.into(), safety: Safety::Unsafe, edits }
    }
}

/// A document after its fixes.
#[derive(Debug)]
pub struct Fixed {
    pub document: Document,
    /// In the order in which they were made.
    pub applied: Vec<Applied>,
}

/// A fix that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    pub code: &'static str,
    pub name: &'static str,
    pub title: String,
}

/// Makes all fixes up to `safety`, and those that only then become possible, until none is left.
pub fn fix(document: &Document, facts: &Facts, allowed: &Allowed, safety: Safety) -> Fixed {
    /// No chain of fixes is longer; a rule whose fix does not silence it must not spin.
    const ROUNDS: usize = 8;
    let mut fixed = Fixed { document: document.clone(), applied: Vec::new() };
    for _ in 0..ROUNDS {
        let findings = lint(&fixed.document, facts, allowed).findings;
        let Some((document, mut applied)) = round(&fixed.document, &findings, safety) else { break };
        fixed.document = document;
        fixed.applied.append(&mut applied);
    }
    fixed
}

/// Makes those fixes that do not touch the same bytes; None when there are none to make.
fn round(document: &Document, findings: &[Finding], safety: Safety) -> Option<(Document, Vec<Applied>)> {
    let mut edits: Vec<Edit> = Vec::new();
    let mut applied = Vec::new();
    for finding in findings {
        let Some(fix) = finding.fix.as_ref().filter(|fix| fix.safety <= safety) else { continue };
        if fix.edits.iter().any(|new| edits.iter().any(|old| touches(old, new))) {
            continue;
        }
        edits.extend(fix.edits.iter().cloned());
        applied.push(Applied { code: finding.code, name: finding.name, title: fix.title.clone() });
    }
    if edits.is_empty() {
        return None;
    }
    // Edits are made by this crate for this very document; should they not fit, nothing is changed.
    document.apply(&edits).ok().map(|document| (document, applied))
}

/// Two fixes at one place wait for each other: two insertions may be two forms of the same thing.
fn touches(a: &Edit, b: &Edit) -> bool {
    a.span.start <= b.span.end && b.span.start <= a.span.end
}

#[cfg(test)]
mod tests;
