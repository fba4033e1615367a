//! HOST025: QEMU was built without the objects of confidential guests.

use host::Facts;

use crate::host::emulator::{Lack, best};
use crate::host::mend::{QEMU, install};
use crate::host::state::candidates;
use crate::host::{Evidence, HostFinding};
use crate::rule::{Page, Rule, Severity};

pub(crate) static RULE: Rule = Rule {
    code: "HOST025",
    name: "qemu-without-sev",
    severity: Severity::Error,
    allowable: false,
    page: Page {
        what: "A QEMU that is new enough and has no object `sev-guest` (SEV, SEV-ES) or `sev-snp-guest` (SEV-SNP).",
        why: "It was built without SEV (CONFIG_SEV), as some minimal builds are.",
        example: "$ qemu-system-x86_64 -object help | grep sev\n$",
        fix: "Install the distribution's full build.",
        since: "0.1",
        source: "QEMU, qapi/qom.json; QEMU, target/i386/Kconfig.",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    let mut findings: Vec<HostFinding> = Vec::new();
    for technology in candidates(facts) {
        let Some((emulator, lack @ Lack::NoObject(_))) = best(facts, technology) else { continue };
        let Some(message) = lack.message(technology) else { continue };
        if let Some(same) = findings.iter_mut().find(|finding| finding.message == message) {
            same.technologies.push(technology);
            continue;
        }
        let path = emulator.path.display().to_string();
        let objects =
            if emulator.sev_objects.is_empty() { "none".to_owned() } else { emulator.sev_objects.join(" ") };
        let evidence = Evidence::new("emulators.sev_objects", path, objects);
        let finding = RULE.about(&[technology], message).evidence([evidence]);
        findings.push(match install(facts, QEMU) {
            Some(command) => finding.command(command),
            None => finding.help("install a QEMU that was built with SEV"),
        });
    }
    findings
}
