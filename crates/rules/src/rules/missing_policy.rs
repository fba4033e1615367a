//! SEV005: no policy.

use domain::model::launch_security::LaunchSecurity;
use domain::{Edit, NewElement};

use crate::finding::Finding;
use crate::fix::Fix;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "SEV005",
    name: "missing-policy",
    severity: Severity::Error,
    allowable: false,
    page: Page {
        what: "A `<launchSecurity>` of type `sev` or `sev-snp` without a `<policy>`.",
        why: "The policy says what the host may do to the guest and is part of what is measured. There is no default: \
              libvirt refuses such a domain as well.",
        example: "<launchSecurity type='sev'>\n  <cbitpos>47</cbitpos>\n</launchSecurity>",
        fix: "Write the policy that the guest's owner expects: for SEV `0x0003` forbids debugging and key sharing, \
              `0x0007` asks for SEV-ES as well; for SEV-SNP `0x30000` is the least that firmware accepts with SMT \
              on. `sevirt fix` writes `0x0003` or `0x30000`; it is a safe fix, because the guest could not start \
              before.",
        since: "0.1",
        source: "AMD 55766 §3; AMD 56860 §4.3; libvirt, \"Domain XML format\", section \"Launch Security\".",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let default = match subject.domain.launch_security {
        Some(LaunchSecurity::Sev(_)) => "0x0003",
        Some(LaunchSecurity::SevSnp(_)) => "0x30000",
        Some(LaunchSecurity::Other { .. }) | None => return Vec::new(),
    };
    let Some(security) = subject.element(&["launchSecurity"]) else { return Vec::new() };
    if security.child("policy").is_some() {
        return Vec::new();
    }
    let policy = NewElement::new("policy").text(default);
    // libvirt's order: after cbitpos and reducedPhysBits.
    let before = security.child("reducedPhysBits").or_else(|| security.child("cbitpos"));
    let edit = match before {
        Some(before) => Edit::insert_after(before, &policy),
        None => Edit::insert_child(security, &policy),
    };
    vec![
        RULE.finding(security.start_tag_span(), "the guest has no policy")
            .help(format!("write `<policy>{default}</policy>`, or what the guest's owner expects"))
            .fix(Fix::safe(format!("add the policy {default}"), vec![edit])),
    ]
}
