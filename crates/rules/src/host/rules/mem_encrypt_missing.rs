//! HOST014: the host's own memory is not encrypted.

use host::Facts;

use crate::Technology;
use crate::host::HostFinding;
use crate::host::boot::{Line, mem_encrypt, running_line};
use crate::host::mend::{REBOOT, enable};
use crate::host::state::{candidates, off_in_bios};
use crate::rule::{Page, Rule, Severity};

pub(crate) static RULE: Rule = Rule {
    code: "HOST014",
    name: "mem-encrypt-missing",
    severity: Severity::Warning,
    allowable: false,
    page: Page {
        what: "A kernel that was booted without `mem_encrypt=on`, or with `mem_encrypt=off`.",
        why: "The switch governs SME, the encryption of the host's own memory, which protects the hypervisor against \
              somebody who takes the memory modules. SEV guests run without it: their keys are their own.",
        example: "$ cat /proc/cmdline\nroot=/dev/sda1 ro kvm_amd.sev=1",
        fix: "`sevirt host enable --apply` puts `mem_encrypt=on` on the kernel's command line; then reboot.",
        since: "0.1",
        source: "libvirt, \"Launch security with AMD SEV\", section \"Enabling SEV on the host\"; Linux, \
                 Documentation/arch/x86/amd-memory-encryption.rst.",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    let sme = facts.cpu.memory_encryption.known().is_some_and(|cpu| cpu.sme);
    if !sme || off_in_bios(facts) || facts.simulated.is_some() {
        return Vec::new();
    }
    let Some(line) = facts.kernel_command_line.known() else { return Vec::new() };
    let running = mem_encrypt(facts, Line::Running);
    if running == Some("mem_encrypt=on") {
        return Vec::new();
    }
    let message = match running {
        Some(word) => format!("`{word}`: the host's own memory is not encrypted"),
        None => "mem_encrypt=on is missing: the host's own memory is not encrypted".to_owned(),
    };
    let finding = RULE.about(&candidates(facts), message).evidence([running_line(line)]);
    let finding = finding.help("guests' memory is encrypted all the same");
    vec![match mem_encrypt(facts, Line::NextBoot) {
        Some("mem_encrypt=on") => finding.command(REBOOT),
        _ => finding.command(enable(Technology::Sev)).command(REBOOT),
    }]
}
