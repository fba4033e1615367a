//! HOST033: SEV-ES guests on a host with SEV-SNP on.

use host::Facts;

use crate::Technology;
use crate::host::state::{Parameter, parameter, parameter_evidence, processor_has};
use crate::host::{Evidence, HostFinding};
use crate::rule::{Page, Rule, Severity};

pub(crate) static RULE: Rule = Rule {
    code: "HOST033",
    name: "sev-es-beside-snp",
    severity: Severity::Error,
    allowable: false,
    page: Page {
        what: "A host with `kvm_amd.sev_snp` on that is asked for SEV-ES guests.",
        why: "By CVE-2025-48514 a host can attack SEV-SNP guests by means of a SEV-ES guest. SEV firmware with AMD's \
              mitigation launches no SEV-ES guest while SEV-SNP is on: LAUNCH_START fails with \"Feature not \
              supported\". It is told by the security version of the firmware that runs: 27 or higher on Milan and \
              Genoa, 4 or higher on Turin. Where that cannot be read, neither can nor cannot is said. Older firmware \
              launches them, which is a warning.",
        example: "sev_launch_start: LAUNCH_START ret=1 fw_error=21 'Feature not supported'",
        fix: "Use SEV-SNP guests on such a host. Where SEV-ES guests must run, turn SEV-SNP off: \
              `kvm_amd.sev_snp=0`.",
        since: "0.1",
        source: "AMD-SB-3023, note 2; Linux patch \"crypto/ccp: export firmware supported vm types\" (April 2026); \
                 github.com/AMDESE/AMDSEV issue 282; OpenStack Nova, doc/source/admin/sev.rst.",
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
    let concerned = &[Technology::SevEs];
    let finding = match security_version(facts) {
        Some((version, first)) if version >= first => RULE
            .about(
                concerned,
                "SEV-SNP is on, and its SEV firmware launches no SEV-ES guests then (CVE-2025-48514)",
            )
            .help("use SEV-SNP, or boot with `kvm_amd.sev_snp=0`"),
        Some(_) => RULE
            .about(
                concerned,
                "SEV-SNP is on, and its SEV firmware lets SEV-ES guests be used against SEV-SNP guests \
                 (CVE-2025-48514)",
            )
            .remark(Severity::Warning)
            .help("newer firmware launches no SEV-ES guests while SEV-SNP is on"),
        None => RULE
            .unclear(
                concerned,
                "SEV-SNP is on, and newer SEV firmware launches no SEV-ES guests then (CVE-2025-48514)",
            )
            .help("use SEV-SNP, or boot with `kvm_amd.sev_snp=0`: a start tells which firmware this is"),
    };
    let version = security_version(facts).map(|(version, first)| {
        let value = format!("SNP security version {version}; {first} is the first with the mitigation");
        Evidence::new("snp_platform.current_tcb", "/dev/sev, SNP_PLATFORM_STATUS", value)
    });
    vec![finding.evidence([parameter_evidence(facts, Technology::SevSnp)]).evidence(version)]
}

/// The security version of the SNP firmware that runs, and the first with the mitigation: both depend on the processor.
fn security_version(facts: &Facts) -> Option<(u8, u8)> {
    let tcb = facts.snp_platform.known()?.current_tcb.to_le_bytes();
    match facts.cpu.generation()? {
        "milan" | "genoa" => Some((tcb[6], 0x1b)),
        "turin" => Some((tcb[3], 4)),
        _ => None,
    }
}
