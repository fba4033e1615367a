//! HOST011: SEV-SNP without the reverse map table.

use host::Facts;

use crate::Technology;
use crate::host::mend::{KERNEL_LOG, SETUP};
use crate::host::state::{cpuid, flags, parameter_evidence, without_rmp};
use crate::host::{Evidence, HostFinding};
use crate::rule::{Page, Rule, Severity};

pub(crate) static RULE: Rule = Rule {
    code: "HOST011",
    name: "rmp-not-initialised",
    severity: Severity::Error,
    allowable: false,
    page: Page {
        what: "A processor with SEV-SNP whose kernel (6.9 or newer) does not list `sev_snp` among its flags, while it \
               lists `sev`, or whose secure processor says that the reverse map table is not initialised.",
        why: "SEV-SNP checks each access to memory against the reverse map table (RMP). BIOS must set memory aside for \
              it, and SEV-SNP on; where it did not, the kernel drops the flag and `kvm_amd.sev_snp` stays off.",
        example: "$ dmesg | grep -i rmp\nSEV-SNP: Memory for the RMP table has not been reserved by BIOS",
        fix: "In BIOS setup turn on “SEV-SNP support” and “SNP memory (RMP table) coverage”.",
        since: "0.1",
        source: "Linux, arch/x86/virt/svm/sev.c, snp_probe_rmptable_info; Linux, arch/x86/kernel/cpu/amd.c, \
                 bsp_determine_snp; github.com/AMDESE/AMDSEV issues 68, 197, 226.",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    if !without_rmp(facts) {
        return Vec::new();
    }
    let message =
        "its reverse map table is not initialised: the processor has SEV-SNP, the kernel may not use it";
    let told = facts.snp_platform.known().map(|platform| {
        let value = platform.rmp_initialised;
        Evidence::new("snp_platform.rmp_initialised", "/dev/sev, SNP_PLATFORM_STATUS", value)
    });
    let evidence = [cpuid(facts), flags(facts), told, Some(parameter_evidence(facts, Technology::SevSnp))];
    vec![
        RULE.about(&[Technology::SevSnp], message)
            .evidence(evidence.into_iter().flatten())
            .help("turn on “SEV-SNP support” and “SNP memory (RMP table) coverage” in BIOS setup")
            .command(SETUP)
            .command(KERNEL_LOG),
    ]
}
