//! HOST010: no address space identifiers for that kind of guest.

use host::Facts;

use crate::Technology;
use crate::host::mend::SETUP;
use crate::host::state::{candidates, lacks_asids, off_in_bios};
use crate::host::{Evidence, HostFinding};
use crate::rule::{Page, Rule, Severity};

pub(crate) static RULE: Rule = Rule {
    code: "HOST010",
    name: "no-asids",
    severity: Severity::Error,
    allowable: false,
    page: Page {
        what: "A host on which none of the processor's address space identifiers (ASIDs) is for SEV-ES and SEV-SNP, or \
               none for SEV.",
        why: "Every encrypted guest has an ASID of its own, whose number picks its key. BIOS divides them: those from \
              “Minimum SEV ASID” on are for SEV, those below for SEV-ES and SEV-SNP. Its default of 1 on many boards \
              leaves none for SEV-ES, and `kvm_amd.sev_es` then stays off whatever is configured.",
        example: "$ cat /sys/fs/cgroup/misc.capacity\nsev 509\nsev_es 0",
        fix: "In BIOS setup give “Minimum SEV ASID” (“SEV-ES ASID Space Limit” on some boards) a value between 2 and \
              the number of ASIDs: one more than the number of SEV-ES and SEV-SNP guests that are to run.",
        since: "0.1",
        source: "AMD APM volume 3, CPUID 8000_001F ECX and EDX; Linux, arch/x86/kvm/svm/sev.c, sev_hardware_setup; \
                 github.com/AMDESE/AMDSEV issues 31, 84, 115.",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    if off_in_bios(facts) {
        return Vec::new();
    }
    let mut lacking = candidates(facts);
    lacking.retain(|technology| lacks_asids(facts, *technology));
    let (plain, encrypted): (Vec<_>, Vec<_>) =
        lacking.into_iter().partition(|technology| *technology == Technology::Sev);
    [plain, encrypted].into_iter().filter_map(|technologies| one(facts, &technologies)).collect()
}

fn one(facts: &Facts, technologies: &[Technology]) -> Option<HostFinding> {
    let least = *technologies.first()?;
    let finding = match facts.cpu.memory_encryption.known() {
        Some(cpu) => {
            let (all, first) = (cpu.asids, cpu.min_sev_asid);
            let message = format!(
                "none of its {all} address space identifiers is for {least} (those of SEV start at {first})"
            );
            let value = format!("{all} ASIDs, SEV's start at {first}");
            RULE.about(technologies, message).evidence([Evidence::new(
                "cpu.memory_encryption.min_sev_asid",
                "CPUID 8000_001F ECX and EDX",
                value,
            )])
        }
        None => RULE
            .about(technologies, format!("the kernel has no address space identifiers for {least}"))
            .evidence([Evidence::new("asids", "/sys/fs/cgroup/misc.capacity", format!("{least} 0"))]),
    };
    let help = match least {
        Technology::Sev => "lower “Minimum SEV ASID” in BIOS setup",
        Technology::SevEs | Technology::SevSnp => "raise “Minimum SEV ASID” in BIOS setup above 1",
    };
    Some(finding.help(help).command(SETUP))
}
