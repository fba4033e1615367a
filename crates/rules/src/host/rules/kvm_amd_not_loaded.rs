//! HOST005: AMD's part of KVM is not loaded.

use host::{Fact, Facts};

use crate::host::mend::{AS_ROOT, KERNEL_LOG};
use crate::host::state::{candidates, shown};
use crate::host::{Evidence, HostFinding};
use crate::rule::{Page, Rule, Severity};

pub(crate) static RULE: Rule = Rule {
    code: "HOST005",
    name: "kvm-amd-not-loaded",
    severity: Severity::Error,
    allowable: false,
    page: Page {
        what: "A host with `/dev/kvm` on which the module `kvm_amd` is not loaded, or whose parameters cannot be read.",
        why: "`/dev/kvm` alone says nothing: SEV is a part of `kvm_amd`.",
        example: "$ ls /sys/module/kvm_amd\nls: cannot access '/sys/module/kvm_amd': No such file or directory",
        fix: "Load the module; when that fails, the kernel's log says why.",
        since: "0.1",
        source: "Linux, arch/x86/kvm/svm.",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    let technologies = candidates(facts);
    if technologies.is_empty() {
        return Vec::new();
    }
    let evidence = [Evidence::new("kvm_amd", "/sys/module/kvm_amd/parameters", shown(&facts.kvm_amd))];
    match &facts.kvm_amd {
        // Without /dev/kvm HOST004 says it.
        Fact::Absent if facts.kvm != Fact::Absent => vec![
            RULE.about(&technologies, "the kernel module kvm_amd is not loaded")
                .evidence(evidence)
                .command("modprobe kvm_amd")
                .command(KERNEL_LOG),
        ],
        Fact::Unreadable { .. } => vec![
            RULE.unclear(&technologies, "the parameters of kvm_amd could not be read")
                .evidence(evidence)
                .help("root may, where /sys is mounted")
                .command(AS_ROOT),
        ],
        Fact::Absent | Fact::Known(_) => Vec::new(),
    }
}
