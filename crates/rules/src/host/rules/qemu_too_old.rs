//! HOST024: QEMU is older than the technology.

use host::Facts;

use crate::host::HostFinding;
use crate::host::emulator::{Lack, best, evidence};
use crate::host::mend::{QEMU, install};
use crate::host::state::candidates;
use crate::rule::{Page, Rule, Severity};

pub(crate) static RULE: Rule = Rule {
    code: "HOST024",
    name: "qemu-too-old",
    severity: Severity::Error,
    allowable: false,
    page: Page {
        what: "No QEMU of this host is new enough: 2.12 for SEV, 6.0 for SEV-ES, 9.1 for SEV-SNP.",
        why: "Older ones do not know how to launch such a guest.",
        example: "$ qemu-system-x86_64 --version\nQEMU emulator version 7.2.17",
        fix: "Install a newer QEMU: the distribution's backports often have one.",
        since: "0.1",
        source: "libvirt, \"Launch security with AMD SEV\", section \"Checking SEV support in the virt stack\"; QEMU, \
                 change logs of 2.12, 6.0 and 9.1.",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    let each = candidates(facts).into_iter().filter_map(|technology| {
        let (emulator, lack @ Lack::TooOld { .. }) = best(facts, technology)? else { return None };
        let message = lack.message(technology)?;
        let finding = RULE.about(&[technology], message).evidence([evidence(emulator)]);
        Some(match install(facts, QEMU) {
            Some(command) => finding.command(command),
            None => finding.help("install a newer QEMU"),
        })
    });
    each.collect()
}
