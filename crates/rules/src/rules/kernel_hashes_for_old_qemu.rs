//! FW014: kernel hashes asked of a QEMU that has none.

use domain::model::Switch;
use domain::model::launch_security::LaunchSecurity;

use crate::finding::Finding;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;
use crate::version::Version;

/// The first QEMU with `kernel-hashes`.
const FIRST_QEMU: Version = Version::new(6, 2, 0);

pub(crate) static RULE: Rule = Rule {
    code: "FW014",
    name: "kernel-hashes-for-old-qemu",
    severity: Severity::Error,
    allowable: true,
    page: Page {
        what: "`kernelHashes` in a domain that a QEMU older than 6.2 would run.",
        why: "That QEMU does not know the property and refuses to start (\"Property 'sev-guest.kernel-hashes' not found\").",
        example: "<launchSecurity type='sev' kernelHashes='yes'>",
        fix: "Update QEMU. There is no automatic fix: without the hashes the kernel is not measured.",
        since: "0.1",
        source: "QEMU 6.2, qapi/qom.json, SevGuestProperties, kernel-hashes (since 6.2).",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let hashes = subject.domain.launch_security.as_ref().and_then(LaunchSecurity::kernel_hashes);
    let version = subject.qemu().filter(|version| *version < FIRST_QEMU);
    let place = subject.element(&["launchSecurity"]).and_then(|security| security.attribute("kernelHashes"));
    let (Some(Switch::On | Switch::Off), Some(version), Some(place)) = (hashes, version, place) else {
        return Vec::new();
    };
    let message = format!("QEMU {version} has no kernel hashes: 6.2 was the first that does");
    vec![
        RULE.finding(place.span(), message)
            .help("update QEMU, or leave kernelHashes out, and the kernel unmeasured"),
    ]
}
