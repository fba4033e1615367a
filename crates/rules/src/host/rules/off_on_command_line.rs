//! HOST006: the kernel's command line turns the technology off.

use host::Facts;

use crate::host::HostFinding;
use crate::host::boot::{Line, Origin, setting};
use crate::host::state::off;
use crate::rule::{Page, Rule, Severity};

pub(crate) static RULE: Rule = Rule {
    code: "HOST006",
    name: "off-on-command-line",
    severity: Severity::Error,
    allowable: false,
    page: Page {
        what: "A kernel that was booted with `kvm_amd.sev=0`, `kvm_amd.sev_es=0`, `kvm_amd.sev_snp=0` or `sev=nosnp`.",
        why: "The command line wins over modprobe.d and over the kernel's default. Each technology builds upon those \
              before it, so that SEV off is all off. `mem_encrypt=off` does not turn SEV off: see HOST014.",
        example: "$ cat /proc/cmdline\nroot=/dev/sda1 ro kvm_amd.sev=0",
        fix: "`sevirt host enable --apply` corrects the boot configuration; then reboot.",
        since: "0.1",
        source: "Linux, arch/x86/kvm/svm/sev.c; Linux, Documentation/admin-guide/kernel-parameters.txt; kmod, \
                 modprobe(8), \"MODULE CONFIGURATION\".",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    let Some((parameter, technologies)) = off(facts) else { return Vec::new() };
    let setting = setting(facts, Line::Running, parameter);
    if setting.on || !matches!(setting.origin, Origin::CommandLine(..)) {
        return Vec::new();
    }
    let message = format!("{} turns {} off", setting.because(), setting.technology);
    crate::host::off::findings(&RULE, facts, parameter, &technologies, message)
}
