//! SEV010: a confidential guest on an emulated processor.

use domain::Edit;
use domain::model::DomainKind;

use crate::finding::Finding;
use crate::fix::Fix;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "SEV010",
    name: "emulated-confidential-guest",
    severity: Severity::Error,
    allowable: false,
    page: Page {
        what: "A domain of `type='qemu'` with `<launchSecurity>`.",
        why: "Such a domain's processor is emulated by QEMU, which encrypts nothing; QEMU offers SEV with KVM only.",
        example: "<domain type='qemu'>\n  <name>guest</name>\n  <launchSecurity type='sev'>…",
        fix: "Write `type='kvm'`. `sevirt fix` does; it is a safe fix, because the guest could not start before.",
        since: "0.1",
        source: "QEMU, target/i386/sev.c.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let root = subject.document.root();
    let (Some(technology), DomainKind::Qemu, Some(kind)) =
        (subject.technology(), subject.domain.kind, root.attribute("type"))
    else {
        return Vec::new();
    };
    let edit = Edit::set_attribute(root, "type", "kvm");
    let message = format!("an emulated processor has no {technology}");
    let finding = RULE.finding(kind.value_span(), message).help("write `type='kvm'`");
    vec![finding.fix(Fix::safe("run the guest with KVM", vec![edit]))]
}
