//! HOST028: a libvirt that probes as a user who may not open /dev/sev.

use host::Facts;

use crate::host::mend::{LIBVIRT, install};
use crate::host::state::{candidates, libvirt, qemu_user};
use crate::host::{Evidence, HostFinding};
use crate::rule::{Page, Rule, Severity};
use crate::version::Version;

pub(crate) static RULE: Rule = Rule {
    code: "HOST028",
    name: "libvirt-permission-bug",
    severity: Severity::Warning,
    allowable: false,
    page: Page {
        what: "An installed libvirt from 4.5.0 to 5.1.0, where the user that QEMU runs as may not open `/dev/sev`.",
        why: "That libvirt asks QEMU what it can do as that user and without capabilities. QEMU gets \"Permission \
              denied\", and libvirt says `<sev supported='no'/>`.",
        example: "$ libvirtd --version\nlibvirtd (libvirt) 5.0.0\n$ ls -l /dev/sev\ncrw------- 1 root root 10, 124 Nov \
                  23 09:00 /dev/sev",
        fix: "Upgrade libvirt, or let QEMU's user open the device (HOST016).",
        since: "0.1",
        source: "libvirt, \"Launch security with AMD SEV\", section \"Checking SEV support in the virt stack\".",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    let faulty = Version::new(4, 5, 0)..=Version::new(5, 1, 0);
    let technologies = candidates(facts);
    let (Some(version), Some(device), Some(user)) =
        (libvirt(facts), facts.sev_device.known(), qemu_user(facts))
    else {
        return Vec::new();
    };
    if !faulty.contains(&version) || device.opens_for(&user) || technologies.is_empty() {
        return Vec::new();
    }
    let message = format!(
        "libvirt {version} asks QEMU as `{}`, who may not open /dev/sev, and then says that there is no SEV",
        user.name
    );
    let evidence = [
        Evidence::new("libvirt.version", "libvirt", version),
        Evidence::new("sev_device.mode", "/dev/sev", format!("{:04o}", device.mode)),
    ];
    let finding = RULE.about(&technologies, message).evidence(evidence);
    vec![match install(facts, LIBVIRT) {
        Some(command) => finding.command(command),
        None => finding.help("upgrade libvirt"),
    }]
}
