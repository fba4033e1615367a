//! Everything that the rules say about a document.

use std::path::Path;

use domain::{Document, Domain, Problem, SyntaxError};
use host::Facts;

use crate::allow::Allowed;
use crate::finding::Finding;
use crate::rule::Severity;
use crate::rules::ill_formed_document;
use crate::subject::Subject;
use crate::table::TABLE;

/// A domain and what was found about it.
#[derive(Debug)]
pub struct Report {
    pub domain: Domain,
    /// In the order of the document; at one place the worst first.
    pub findings: Vec<Finding>,
    /// What was found and is allowed. Whoever starts the domain logs them.
    pub allowed: Vec<Finding>,
}

impl Report {
    /// Whether the domain must not be started.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }
}

/// Reads the domain and asks every rule.
pub fn lint(document: &Document, facts: &Facts, allowed: &Allowed) -> Report {
    let (domain, problems) = Domain::read(document);
    lint_read(document, domain, &problems, facts, allowed)
}

/// The same for a domain that has been read already, with what reading it found.
pub fn lint_read(
    document: &Document,
    domain: Domain,
    problems: &[Problem],
    facts: &Facts,
    allowed: &Allowed,
) -> Report {
    let subject = Subject { document, domain: &domain, problems, facts };
    let mut findings: Vec<Finding> = TABLE.iter().flat_map(|entry| (entry.check)(&subject)).collect();
    sort(&mut findings);
    let allowed = allowed.with(document);
    let (allowed, findings) = findings.into_iter().partition(|finding| allowed.allows(finding));
    Report { domain, findings, allowed }
}

/// In the order of the document; at one place the worst first.
pub(crate) fn sort(findings: &mut [Finding]) {
    findings.sort_by_key(|finding| (finding.span.start, finding.severity, finding.code));
}

/// The files that `lint` wants to find in [`Facts::images`], because the domain names them. Gathering them is the
/// caller's business.
pub fn images(domain: &Domain) -> impl Iterator<Item = &Path> {
    domain.os.loader.iter().filter_map(|loader| loader.path.as_deref()).map(Path::new)
}

/// The one finding about a text that is no document.
pub fn ill_formed(error: &SyntaxError) -> Finding {
    ill_formed_document::finding(error)
}

#[cfg(test)]
mod tests;
