//! HOST018: AppArmor keeps libvirt's guests from /dev/sev.

use host::{Fact, Facts};

use crate::host::state::candidates;
use crate::host::{Evidence, HostFinding};
use crate::rule::{Page, Rule, Severity};

pub(crate) static RULE: Rule = Rule {
    code: "HOST018",
    name: "apparmor-denies-sev",
    severity: Severity::Warning,
    allowable: false,
    page: Page {
        what: "AppArmor is on, and no rule of libvirt's profile for virtual machines names `/dev/sev`.",
        why: "libvirt confines each QEMU that it starts by that profile; its guests then fail with \"Failed to open \
              /dev/sev 'Permission denied'\". A QEMU that sevirt starts is not confined by it, so this is a warning.",
        example: "$ grep /dev/sev -r /etc/apparmor.d/abstractions\n$",
        fix: "Add the rule; guests that are started afterwards have it.",
        since: "0.1",
        source: "libvirt 11.3, src/security/apparmor: neither the abstraction nor virt-aa-helper names the device.",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    let denied = facts.apparmor.known().is_some_and(|it| it.profile_allows_sev == Fact::Known(false));
    let technologies = candidates(facts);
    if !denied || technologies.is_empty() {
        return Vec::new();
    }
    let place = "/etc/apparmor.d/abstractions/libvirt-qemu";
    vec![
        RULE.about(&technologies, "AppArmor keeps guests that libvirt starts from /dev/sev")
            .evidence([Evidence::new("apparmor.profile_allows_sev", place, false)])
            .command(format!("mkdir -p {place}.d"))
            .command(format!("echo '/dev/sev rw,' > {place}.d/sev")),
    ]
}
