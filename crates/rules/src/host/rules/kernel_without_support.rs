//! HOST003: the kernel is too old for the technology, or built without it.

use host::Facts;

use crate::Technology;
use crate::host::HostFinding;
use crate::host::mend::{KERNEL, install};
use crate::host::state::{
    Parameter, candidates, first_kernel, kernel, kernel_lacks, parameter, parameter_evidence, release,
};
use crate::rule::{Page, Rule, Severity};

pub(crate) static RULE: Rule = Rule {
    code: "HOST003",
    name: "kernel-without-support",
    severity: Severity::Error,
    allowable: false,
    page: Page {
        what: "A kernel whose KVM does not know the technology: older than 4.16 for SEV, 5.11 for SEV-ES, 6.11 for \
               SEV-SNP, or built without CONFIG_KVM_AMD_SEV. A module that has the parameter is taken at its word, \
               whatever its version: vendors bring features to older kernels.",
        why: "KVM creates such guests; without it there is nothing that QEMU could ask.",
        example: "$ uname -r\n6.1.0-56-amd64\n$ cat /sys/module/kvm_amd/parameters/sev_snp\ncat: \
                  /sys/module/kvm_amd/parameters/sev_snp: No such file or directory",
        fix: "Boot a newer kernel.",
        since: "0.1",
        source: "Linux, arch/x86/kvm/svm: module parameters sev (4.16), sev_es (5.11), sev_snp (6.11).",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    // What the simulator's preload library offers does not come from the kernel.
    if facts.simulated.is_some() {
        return Vec::new();
    }
    let mut findings: Vec<HostFinding> = Vec::new();
    for technology in candidates(facts) {
        match one(facts, technology) {
            // All that builds upon what is missing is missing, too.
            Some(next) if findings.last().is_some_and(|last| last.message == next.message) => {
                if let Some(last) = findings.last_mut() {
                    last.technologies.push(technology);
                }
            }
            other => findings.extend(other),
        }
    }
    findings
}

fn one(facts: &Facts, technology: Technology) -> Option<HostFinding> {
    let first = first_kernel(technology);
    let evidence = [release(facts), parameter_evidence(facts, technology)];
    let old = kernel(facts).filter(|kernel| *kernel < first);
    if kernel_lacks(facts, technology) {
        let message = match old {
            Some(kernel) => {
                format!("its kernel {kernel} is older than {first}, the first that runs {technology} guests")
            }
            None => {
                "its kernel was built without CONFIG_KVM_AMD_SEV: kvm_amd has no parameters for it".to_owned()
            }
        };
        let finding = RULE.about(&[technology], message).evidence(evidence).help("boot a newer kernel");
        return Some(match install(facts, KERNEL) {
            Some(command) => finding.command(command),
            None => finding,
        });
    }
    let kernel =
        old.filter(|_| technology == Technology::SevSnp && parameter(facts, technology) == Parameter::On)?;
    let message = format!(
        "its kernel {kernel} offers {technology} before {first} did: whether it runs such guests is its vendor's word"
    );
    Some(RULE.about(&[technology], message).remark(Severity::Warning).evidence(evidence))
}
