//! HOST033: SEV-ES guests on a host with SEV-SNP on.

use host::Facts;

use crate::host::HostFinding;
use crate::host::state::{Parameter, parameter, parameter_evidence, processor_has};
use crate::rule::{Page, Rule, Severity};
use crate::technology::Technology;

pub(crate) static RULE: Rule = Rule {
    code: "HOST033",
    name: "sev-es-beside-snp",
    severity: Severity::Warning,
    allowable: false,
    page: Page {
        what: "A host with `kvm_amd.sev_snp` on that is asked for SEV-ES guests.",
        why: "By CVE-2025-48514 a host can attack SEV-SNP guests by means of a SEV-ES guest. SEV firmware with AMD's \
              mitigation launches no SEV-ES guest while SEV-SNP is on: LAUNCH_START fails with \"Feature not \
              supported\". Firmware without it launches them. Which one runs here does not show in what a host \
              reports of itself, so neither can nor cannot is said.",
        example: "sev_launch_start: LAUNCH_START ret=1 fw_error=21 'Feature not supported'",
        fix: "Use SEV-SNP guests on such a host. Where SEV-ES guests must run, turn SEV-SNP off: \
              `kvm_amd.sev_snp=0`.",
        since: "0.1",
        source: "AMD-SB-3023, note 2; github.com/AMDESE/AMDSEV issue 282; OpenStack Nova, \
                 doc/source/admin/sev.rst.",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    let both = parameter(facts, Technology::SevSnp) == Parameter::On
        && parameter(facts, Technology::SevEs) == Parameter::On
        && processor_has(facts, Technology::SevSnp) != Some(false)
        && facts.simulated.is_none();
    if !both {
        return Vec::new();
    }
    let message = "SEV-SNP is on, and newer SEV firmware launches no SEV-ES guests then (CVE-2025-48514)";
    vec![
        RULE.unclear(&[Technology::SevEs], message)
            .evidence([parameter_evidence(facts, Technology::SevSnp)])
            .help("use SEV-SNP, or boot with `kvm_amd.sev_snp=0`: a start tells which firmware this is"),
    ]
}
