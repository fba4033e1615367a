//! HOST026: QEMU says that it cannot, and why.

use host::Facts;

use crate::host::emulator::{Lack, best};
use crate::host::mend::{AS_ROOT, KERNEL_LOG};
use crate::host::state::candidates;
use crate::host::{Evidence, HostFinding};
use crate::rule::{Page, Rule, Severity};

pub(crate) static RULE: Rule = Rule {
    code: "HOST026",
    name: "qemu-refuses-sev",
    severity: Severity::Error,
    allowable: false,
    page: Page {
        what: "QEMU answers `query-sev-capabilities` with an error. The error's words are shown, where nothing else \
               that was found explains them.",
        why: "QEMU asks the kernel and the secure processor themselves, so that its word is the last one. libvirt \
              throws the words away and shows `<sev supported='no'/>`.",
        example: "{\"error\": {\"class\": \"GenericError\", \"desc\": \"SEV is not enabled in KVM\"}}",
        fix: "What the words say; the kernel's log often says more.",
        since: "0.1",
        source: "QEMU, target/i386/sev.c, sev_get_capabilities.",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    let mut findings: Vec<HostFinding> = Vec::new();
    for technology in candidates(facts) {
        let Some((emulator, lack)) = best(facts, technology) else { continue };
        let finding = match &lack {
            Lack::Refusal(words) => RULE
                .about(&[technology], format!("its QEMU refuses: {}", words.trim_end_matches('.')))
                .command(KERNEL_LOG),
            Lack::Denied(words) => RULE
                .unclear(&[technology], format!("its QEMU could not look: {}", words.trim_end_matches('.')))
                .help("root may")
                .command(AS_ROOT),
            Lack::Missing | Lack::Unreadable(_) | Lack::TooOld { .. } | Lack::NoObject(_) => continue,
        };
        match findings.iter_mut().find(|other| other.message == finding.message) {
            Some(same) => same.technologies.push(technology),
            None => {
                let words = emulator.sev_refusal.clone().unwrap_or_default();
                let evidence =
                    Evidence::new("emulators.sev_refusal", emulator.path.display().to_string(), words);
                findings.push(finding.evidence([evidence]).consequence());
            }
        }
    }
    findings
}
