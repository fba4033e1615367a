//! HOST009: `kvm_amd` has SEV-SNP off.

use host::Facts;

use crate::Technology;
use crate::host::HostFinding;
use crate::host::boot::{Line, Origin, iommu_obstacle, setting};
use crate::host::mend::KERNEL_LOG;
use crate::host::state::{off, without_iommu, without_rmp};
use crate::rule::{Page, Rule, Severity};

pub(crate) static RULE: Rule = Rule {
    code: "HOST009",
    name: "sev-snp-off-in-kernel",
    severity: Severity::Error,
    allowable: false,
    page: Page {
        what: "The parameter `sev_snp` of `kvm_amd` is off while `sev_es` is on, and neither the reverse map table (HOST011) \
               nor the IOMMU (HOST012) is the reason.",
        why: "Without it KVM creates no SEV-SNP guest.",
        example: "$ cat /sys/module/kvm_amd/parameters/sev_snp\nN",
        fix: "`sevirt host enable --tech sev-snp --apply`, then reboot. When it stays off, the kernel's log says why: the \
              secure processor's firmware, the IOMMU, or the reverse map table.",
        since: "0.1",
        source: "Linux, arch/x86/kvm/svm/sev.c, sev_hardware_setup.",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    let Some((Technology::SevSnp, technologies)) = off(facts) else { return Vec::new() };
    let setting = setting(facts, Line::Running, Technology::SevSnp);
    if matches!(setting.origin, Origin::CommandLine(..)) && !setting.on || explained(facts, setting.on) {
        return Vec::new();
    }
    let message = "the parameter `sev_snp` of kvm_amd is off";
    let message = match setting.on {
        true => format!("{message}, though {} turns it on", setting.because()),
        false => format!("{message}, by {}", setting.because()),
    };
    let findings = crate::host::off::findings(&RULE, facts, Technology::SevSnp, &technologies, message);
    let refused = |finding: HostFinding| match setting.on && finding.help.is_none() {
        true => finding.help("when it stays off the kernel refuses it: its log says why").command(KERNEL_LOG),
        false => finding,
    };
    findings.into_iter().map(refused).collect()
}

/// Whether another rule tells the reason.
fn explained(facts: &Facts, configured: bool) -> bool {
    configured
        && (without_rmp(facts) || without_iommu(facts) || iommu_obstacle(facts, Line::Running).is_some())
}
