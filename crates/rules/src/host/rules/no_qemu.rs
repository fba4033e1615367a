//! HOST023: no QEMU.

use host::{Fact, Facts};

use crate::host::emulator::{Lack, best, evidence};
use crate::host::mend::{QEMU, install};
use crate::host::state::candidates;
use crate::host::{Evidence, HostFinding};
use crate::rule::{Page, Rule, Severity};

pub(crate) static RULE: Rule = Rule {
    code: "HOST023",
    name: "no-qemu",
    severity: Severity::Error,
    allowable: false,
    page: Page {
        what: "A host on which no QEMU for x86-64 is known, or whose QEMU cannot be asked what it can do.",
        why: "QEMU launches the guests.",
        example: "$ qemu-system-x86_64 --version\nbash: qemu-system-x86_64: command not found",
        fix: "Install QEMU.",
        since: "0.1",
        source: "libvirt, \"Launch security with AMD SEV\", section \"Checking SEV support in the virt stack\".",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    let technologies = candidates(facts);
    if technologies.is_empty() {
        return Vec::new();
    }
    if facts.emulators.is_empty() && facts.unsaid.contains("emulators") {
        let evidence = Evidence::new("emulators", "--facts", "nothing is said");
        return vec![RULE.unclear(&technologies, "nothing is known of its QEMU").evidence([evidence])];
    }
    if facts.emulators.iter().all(|emulator| emulator.version == Fact::Absent) {
        let finding = RULE.about(&technologies, "no QEMU was found").evidence([Evidence::new(
            "emulators",
            "/usr/bin, /usr/libexec",
            "none",
        )]);
        return vec![match install(facts, QEMU) {
            Some(command) => finding.command(command),
            None => finding.help("install QEMU"),
        }];
    }
    let mut findings: Vec<HostFinding> = Vec::new();
    for technology in technologies {
        let Some((emulator, Lack::Unreadable(why))) = best(facts, technology) else { continue };
        let message = format!("{} could not be asked: {why}", emulator.path.display());
        match findings.iter_mut().find(|finding| finding.message == message) {
            Some(same) => same.technologies.push(technology),
            None => findings.push(RULE.unclear(&[technology], message).evidence([evidence(emulator)])),
        }
    }
    findings
}
