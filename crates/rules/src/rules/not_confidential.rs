//! SEV001: a guest that is not confidential.

use crate::finding::Finding;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "SEV001",
    name: "not-confidential",
    severity: Severity::Note,
    allowable: true,
    page: Page {
        what: "A domain without `<launchSecurity>`.",
        why: "It runs, and the host can read and change all of its memory. Nothing about its start can be verified by \
              its owner; commands that attest a guest refuse it.",
        example: "<domain type='kvm'>\n  <name>plain</name>\n  …\n</domain>",
        fix: "Add `<launchSecurity type='sev'>` with a policy if the guest is meant to be confidential.",
        since: "0.1",
        source: "libvirt, \"Launch security with AMD SEV\", section \"VM Configuration\".",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    // An element that could not be read is malformed, not missing.
    if subject.element(&["launchSecurity"]).is_some() {
        return Vec::new();
    }
    let finding = RULE.finding(
        subject.document.root().name_span(),
        "this guest is not confidential: the host can read its memory",
    );
    vec![finding.help("add `<launchSecurity type='sev'>` with a `<policy>` to have its memory encrypted")]
}
