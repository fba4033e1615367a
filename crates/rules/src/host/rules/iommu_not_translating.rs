//! HOST012: SEV-SNP with an IOMMU that is off or does not translate.

use host::Facts;

use crate::Technology;
use crate::host::boot::{Line, iommu_obstacle, loader, running_line, without_word};
use crate::host::mend::{REBOOT, SETUP};
use crate::host::state::{Parameter, kernel_lacks, parameter, processor_has, without_iommu, without_rmp};
use crate::host::{Evidence, HostFinding, When};
use crate::rule::{Page, Rule, Severity};

pub(crate) static RULE: Rule = Rule {
    code: "HOST012",
    name: "iommu-not-translating",
    severity: Severity::Error,
    allowable: false,
    page: Page {
        what: "No IOMMU in use, or `iommu=pt`, `iommu.passthrough=1`, `iommu=off`, `amd_iommu=off` or `amd_iommu=pgtbl_v2` on the kernel's \
               command line, now or at the next boot, on a processor with SEV-SNP.",
        why: "Devices must not get around the reverse map table. The kernel turns SEV-SNP off unless the IOMMU is on, \
              translates (it is not in passthrough mode), and uses page tables of version 1. Passthrough mode is often \
              set for device assignment, which does not need it. `mem_encrypt=on` makes translation the default.",
        example: "$ dmesg | grep -i snp\nAMD-Vi: SNP: IOMMU disabled or configured in passthrough mode, SNP cannot be \
                  supported.",
        fix: "Take the word off the command line (or add `iommu=nopt` after it), and reboot. Where there is no such \
              word, turn the IOMMU on in BIOS setup.",
        since: "0.1",
        source: "Linux, drivers/iommu/amd/init.c, iommu_snp_enable; Linux, \
                 Documentation/admin-guide/kernel-parameters.txt.",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    let concerned = processor_has(facts, Technology::SevSnp) != Some(false)
        && !kernel_lacks(facts, Technology::SevSnp)
        && !without_rmp(facts)
        && facts.simulated.is_none();
    if !concerned {
        return Vec::new();
    }
    let running = iommu_obstacle(facts, Line::Running);
    let next = iommu_obstacle(facts, Line::NextBoot);
    // A kernel that has SEV-SNP on in spite of the word knows better.
    let now = running.filter(|_| parameter(facts, Technology::SevSnp) != Parameter::On);
    let (word, when) = match (now, next) {
        (Some(_), Some(word)) => (word, When::Always),
        (Some(word), None) => (word, When::Now),
        (None, Some(word)) if running.is_none() => (word, When::NextBoot),
        (None, _) if without_iommu(facts) && parameter(facts, Technology::SevSnp) != Parameter::On => {
            let finding = RULE
                .about(&[Technology::SevSnp], "its kernel drives no IOMMU, without which there is no SEV-SNP")
                .evidence([Evidence::new("iommu", "/sys/class/iommu", "none")])
                .help("turn on “IOMMU” in BIOS setup");
            return vec![finding.command(SETUP)];
        }
        (None, _) => return Vec::new(),
    };
    let (place, evidence, mend) = match when {
        When::Now => ("the kernel's command line", running_line(word), Vec::new()),
        When::Always => ("the kernel's command line", running_line(word), without_word(facts, word)),
        When::NextBoot => (
            "the command line of the next boot",
            Evidence::new("boot.command_line", loader(facts), word),
            without_word(facts, word),
        ),
    };
    let message = format!("`{word}` on {place} keeps the IOMMU from protecting SEV-SNP's memory");
    let mut finding = RULE.about(&[Technology::SevSnp], message).when(when).evidence([evidence]);
    for command in mend {
        finding = finding.command(command);
    }
    vec![if when == When::NextBoot { finding } else { finding.command(REBOOT) }]
}
