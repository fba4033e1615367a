//! Whether a guest with one device more is one that may run: the rules say it, the same that judge a start.

use domain::Document;
use domain::Domain;
use rules::{Finding, Severity};

use super::affect::{config_unsupported, internal};
use crate::service::{Failure, Service};

/// Refuses what the rules call an error of the domain `after` and did not of the one `before`. May block.
pub(super) fn plugged(service: &Service, before: &Domain, after: &Domain) -> Result<(), Failure> {
    if after.launch_security.is_none() {
        return Ok(());
    }
    let facts = service.host.facts_about(after);
    let errors = |domain: &Domain| -> Result<Vec<Finding>, Failure> {
        let document = Document::parse(&domain.print())
            .map_err(|error| internal(format!("the running domain cannot be read: {error}")))?;
        let mut findings = rules::lint(&document, &facts, &service.allowed).findings;
        findings.retain(|finding| finding.severity == Severity::Error);
        Ok(findings)
    };
    let known = errors(before)?;
    let count = |all: &[Finding], one: &Finding| {
        all.iter().filter(|other| other.code == one.code && other.message == one.message).count()
    };
    let all = errors(after)?;
    match all.iter().find(|finding| count(&all, finding) > count(&known, finding)) {
        None => Ok(()),
        Some(Finding { code, message, help, .. }) => {
            let help = help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
            Err(config_unsupported(format!("{message} ({code}){help}")))
        }
    }
}
