//! XML001: a text that is not well-formed XML.

use domain::SyntaxError;

use crate::finding::Finding;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "XML001",
    name: "ill-formed-document",
    severity: Severity::Error,
    allowable: false,
    page: Page {
        what: "A text that is not well-formed XML, has a document type declaration, or is beyond sevirt's limits \
               (16 MiB, 256 levels, 256 attributes an element, a million nodes).",
        why: "Nothing else can be said about it. Document type declarations are refused because a domain needs none, \
              and the entities that they define can exhaust memory.",
        example: "<domain type='kvm'>\n  <name>guest</nome>\n</domain>",
        fix: "Correct the place that the finding points at.",
        since: "0.1",
        source: "W3C, Extensible Markup Language (XML) 1.0, fifth edition; Namespaces in XML 1.0.",
    },
};

/// What is found about a text that is no document.
pub(crate) fn finding(error: &SyntaxError) -> Finding {
    error.labels.iter().fold(RULE.finding(error.span, error.message.clone()), |finding, (span, text)| {
        finding.label(*span, text)
    })
}

/// A document has been read already.
pub(crate) fn check(_: &Subject<'_>) -> Vec<Finding> {
    Vec::new()
}
