//! HOST002: the processor could, but BIOS has left memory encryption off.

use host::Facts;

use crate::host::HostFinding;
use crate::host::mend::SETUP;
use crate::host::state::{candidates, cpuid, flags, off_in_bios};
use crate::rule::{Page, Rule, Severity};

pub(crate) static RULE: Rule = Rule {
    code: "HOST002",
    name: "encryption-off-in-bios",
    severity: Severity::Error,
    allowable: false,
    page: Page {
        what: "A processor that can encrypt guests, on a host whose kernel does not list `sev` among its flags.",
        why: "BIOS must turn memory encryption on (bit 23 of MSR SYSCFG) and lock system management mode (bit 0 of \
              MSR HWCR). Where it did not, the kernel drops the flags, whatever CPUID says.",
        example: "$ grep -c -w sev /proc/cpuinfo\n0\n$ cpuid -1 -l 0x8000001f | grep SEV\n   SEV: secure encrypted \
                  virtualization support   = true",
        fix: "In BIOS setup turn on “SMEE” or “Secure memory encryption”, and where there are such items “SEV \
              control” and “SEV-SNP support”. A firmware update may be needed first.",
        since: "0.1",
        source: "Linux, arch/x86/kernel/cpu/amd.c, early_detect_mem_encrypt; Linux, \
                 Documentation/arch/x86/amd-memory-encryption.rst.",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    if !off_in_bios(facts) {
        return Vec::new();
    }
    let message = "its BIOS leaves memory encryption off: the processor has it, the kernel may not use it";
    let finding =
        RULE.about(&candidates(facts), message).evidence([cpuid(facts), flags(facts)].into_iter().flatten());
    vec![finding.help("turn on “SMEE” and “SEV” in BIOS setup").command(SETUP)]
}
