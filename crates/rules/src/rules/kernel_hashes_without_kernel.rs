//! FW010: kernel hashes without a kernel.

use domain::Edit;
use domain::model::Switch;
use domain::model::launch_security::LaunchSecurity;

use crate::finding::Finding;
use crate::fix::Fix;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "FW010",
    name: "kernel-hashes-without-kernel",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "`kernelHashes='yes'` in a domain that has no `<kernel>`.",
        why: "Only a kernel that is given directly is hashed. A guest that boots from its disk is measured no \
              further than its firmware, whatever `kernelHashes` says.",
        example: "<launchSecurity type='sev' kernelHashes='yes'>",
        fix: "Give `<kernel>` (and `<initrd>`, `<cmdline>`) in `<os>`, or remove the attribute. `sevirt fix` removes \
              it; it is a safe fix, because without a kernel it changes nothing.",
        since: "0.1",
        source: "QEMU, target/i386/sev.c: hashes are added for -kernel only.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let asked = subject.domain.launch_security.as_ref().and_then(LaunchSecurity::kernel_hashes);
    let security = subject.element(&["launchSecurity"]);
    let (Some(Switch::On), None, Some(security)) = (asked, &subject.domain.os.kernel, security) else {
        return Vec::new();
    };
    let Some(hashes) = security.attribute("kernelHashes") else { return Vec::new() };
    let finding = RULE
        .finding(hashes.span(), "kernelHashes has no effect: the domain names no kernel")
        .help("name a kernel in `<os>`, or remove kernelHashes");
    vec![match Edit::remove_attribute(security, "kernelHashes") {
        Some(edit) => finding.fix(Fix::safe("remove kernelHashes", vec![edit])),
        None => finding,
    }]
}
