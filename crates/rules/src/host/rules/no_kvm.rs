//! HOST004: there is no KVM.

use host::{Fact, Facts};

use crate::host::mend::KERNEL_LOG;
use crate::host::state::{candidates, qemu_user, shown};
use crate::host::{Evidence, HostFinding};
use crate::rule::{Page, Rule, Severity};

pub(crate) static RULE: Rule = Rule {
    code: "HOST004",
    name: "no-kvm",
    severity: Severity::Error,
    allowable: false,
    page: Page {
        what: "A host without `/dev/kvm`, or one where the user that QEMU runs as may not open it.",
        why: "Only KVM runs encrypted guests; an emulated processor encrypts nothing. The device is missing where the \
              processor's virtualization (SVM) is off in BIOS, where kvm_amd is not loaded, and inside a virtual \
              machine that was not given nested virtualization.",
        example: "$ ls /dev/kvm\nls: cannot access '/dev/kvm': No such file or directory",
        fix: "Load kvm_amd; when that fails, the kernel's log says why. In BIOS setup the item is “SVM mode”.",
        since: "0.1",
        source: "Linux, Documentation/virt/kvm/api.rst; QEMU, accel/kvm.",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    let technologies = candidates(facts);
    if technologies.is_empty() {
        return Vec::new();
    }
    let evidence = |value: String| [Evidence::new("kvm", "/dev/kvm", value)];
    match &facts.kvm {
        Fact::Absent => vec![
            RULE.about(&technologies, "it has no /dev/kvm")
                .evidence(evidence(shown(&facts.kvm)))
                .help("if the module does not load, turn on “SVM mode” in BIOS setup")
                .command("modprobe kvm_amd")
                .command(KERNEL_LOG),
        ],
        Fact::Unreadable { .. } => vec![
            RULE.unclear(&technologies, "/dev/kvm could not be looked at")
                .evidence(evidence(shown(&facts.kvm))),
        ],
        Fact::Known(device) => {
            let Some(user) = qemu_user(facts).filter(|user| !device.opens_for(user)) else {
                return Vec::new();
            };
            let value = format!("owner {}, group {}, mode {:04o}", device.uid, device.gid, device.mode);
            vec![
                RULE.about(&technologies, format!("QEMU's user `{}` may not open /dev/kvm", user.name))
                    .evidence(evidence(value))
                    .command(format!("usermod --append --groups kvm {}", user.name)),
            ]
        }
    }
}
