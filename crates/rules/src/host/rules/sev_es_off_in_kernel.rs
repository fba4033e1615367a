//! HOST008: `kvm_amd` has SEV-ES off.

use host::Facts;

use crate::Technology;
use crate::host::HostFinding;
use crate::host::boot::{Line, Origin, setting};
use crate::host::mend::KERNEL_LOG;
use crate::host::state::{lacks_asids, off};
use crate::rule::{Page, Rule, Severity};

pub(crate) static RULE: Rule = Rule {
    code: "HOST008",
    name: "sev-es-off-in-kernel",
    severity: Severity::Error,
    allowable: false,
    page: Page {
        what: "The parameter `sev_es` of `kvm_amd` is off while `sev` is on.",
        why: "Without it KVM creates no guest with encrypted registers: neither SEV-ES nor SEV-SNP.",
        example: "$ cat /sys/module/kvm_amd/parameters/sev_es\nN",
        fix: "`sevirt host enable --tech sev-es --apply`, then reboot.",
        since: "0.1",
        source: "Linux, arch/x86/kvm/svm/sev.c, sev_hardware_setup.",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    let Some((Technology::SevEs, technologies)) = off(facts) else { return Vec::new() };
    let setting = setting(facts, Line::Running, Technology::SevEs);
    if matches!(setting.origin, Origin::CommandLine(..)) && !setting.on || explained(facts, setting.on) {
        return Vec::new();
    }
    let message = "the parameter `sev_es` of kvm_amd is off";
    let message = match setting.on {
        true => format!("{message}, though {} turns it on", setting.because()),
        false => format!("{message}, by {}", setting.because()),
    };
    let findings = crate::host::off::findings(&RULE, facts, Technology::SevEs, &technologies, message);
    let refused = |finding: HostFinding| match setting.on && finding.help.is_none() {
        true => finding.help("when it stays off the kernel refuses it: its log says why").command(KERNEL_LOG),
        false => finding,
    };
    findings.into_iter().map(refused).collect()
}

/// Whether another rule tells the reason: the kernel turns SEV-ES off where it has no identifiers.
fn explained(facts: &Facts, _configured: bool) -> bool {
    lacks_asids(facts, Technology::SevEs)
}
