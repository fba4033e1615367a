//! What is wrong with domains only when they are seen together.

use std::collections::BTreeMap;

use domain::Document;

use crate::allow::Allowed;
use crate::lint::{self, Report};
use crate::rules::shared_variables;

/// The domains that were judged before, as far as it matters to those after them.
#[derive(Debug, Default)]
pub struct Neighbours {
    /// Who names a file of firmware variables first: the domain, and the file that defines it.
    pub(crate) variables: BTreeMap<String, (String, String)>,
}

impl Neighbours {
    /// Adds to a domain's report what is wrong with it beside those before it. `file` is what messages call the place
    /// where it is defined.
    pub fn judge(&mut self, file: &str, document: &Document, report: &mut Report, allowed: &Allowed) {
        let Some(finding) = shared_variables::judge(self, file, document, &report.domain) else { return };
        if allowed.with(document).allows(&finding) {
            report.allowed.push(finding);
            lint::sort(&mut report.allowed);
        } else {
            report.findings.push(finding);
            lint::sort(&mut report.findings);
        }
    }
}

#[cfg(test)]
mod tests {
    use host::Facts;

    use super::*;
    use crate::lint;

    fn domain(name: &str, nvram: &str) -> Document {
        let nvram = format!("<os><type machine='q35'>hvm</type><nvram>{nvram}</nvram></os>");
        Document::parse(&format!("<domain type='kvm'><name>{name}</name>{nvram}</domain>")).unwrap()
    }

    #[test]
    fn the_second_domain_with_the_same_variables_is_told() {
        let (facts, allowed) = (Facts::default(), Allowed::default());
        let mut neighbours = Neighbours::default();
        let mut said = Vec::new();
        for (file, name, nvram) in [
            ("a.xml", "a", "/n/a_VARS.fd"),
            ("b.xml", "b", "/n/b_VARS.fd"),
            // The same domain twice, as in a copy of a folder.
            ("copy/a.xml", "a", "/n/a_VARS.fd"),
            ("c.xml", "c", "/n/a_VARS.fd"),
            ("d.xml", "d", ""),
            ("e.xml", "e", ""),
        ] {
            let document = domain(name, nvram);
            let mut report = lint(&document, &facts, &allowed);
            neighbours.judge(file, &document, &mut report, &allowed);
            let shared = report.findings.iter().filter(|finding| finding.code == "FW019");
            said.extend(shared.map(|finding| format!("{name}: {}", finding.message)));
        }
        assert_eq!(said, ["c: `/n/a_VARS.fd` holds the variables of domain `a` too (a.xml)"]);
    }

    #[test]
    fn it_can_be_allowed() {
        let allowed = Allowed::named(["FW019"]).unwrap();
        let mut neighbours = Neighbours::default();
        for (name, count) in [("a", 0), ("b", 1)] {
            let document = domain(name, "/n/a_VARS.fd");
            let mut report = lint(&document, &Facts::default(), &allowed);
            neighbours.judge(name, &document, &mut report, &allowed);
            assert_eq!(report.allowed.iter().filter(|finding| finding.code == "FW019").count(), count);
            assert!(report.findings.iter().all(|finding| finding.code != "FW019"));
        }
    }
}
