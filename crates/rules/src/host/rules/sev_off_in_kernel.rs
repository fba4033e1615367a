//! HOST007: `kvm_amd` has SEV off.

use host::{Fact, Facts};

use crate::Technology;
use crate::host::HostFinding;
use crate::host::boot::{Line, Origin, setting};
use crate::host::mend::KERNEL_LOG;
use crate::host::state::{lacks_asids, off};
use crate::rule::{Page, Rule, Severity};

pub(crate) static RULE: Rule = Rule {
    code: "HOST007",
    name: "sev-off-in-kernel",
    severity: Severity::Error,
    allowable: false,
    page: Page {
        what: "The parameter `sev` of `kvm_amd` is off, and the kernel's command line does not say so: an `options` line in \
               modprobe.d does, or the kernel's own default (before 5.13), or the kernel refused.",
        why: "Without it KVM creates no encrypted guest of any kind.",
        example: "$ cat /sys/module/kvm_amd/parameters/sev\nN",
        fix: "`sevirt host enable --apply` puts `kvm_amd.sev=1` on the kernel's command line; then reboot. When it stays \
              off, the kernel's log says why (nested paging off by `kvm_amd.npt=0` is one reason).",
        since: "0.1",
        source: "libvirt, \"Launch security with AMD SEV\", section \"Enabling SEV on the host\"; Linux, commit 6c2c7bf5803c: on \
                 by default from 5.13.",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    let Some((Technology::Sev, technologies)) = off(facts) else { return Vec::new() };
    let setting = setting(facts, Line::Running, Technology::Sev);
    if matches!(setting.origin, Origin::CommandLine(..)) && !setting.on || explained(facts, setting.on) {
        return Vec::new();
    }
    let message = "the parameter `sev` of kvm_amd is off";
    let message = match setting.on {
        true => format!("{message}, though {} turns it on", setting.because()),
        false => format!("{message}, by {}", setting.because()),
    };
    let findings = crate::host::off::findings(&RULE, facts, Technology::Sev, &technologies, message);
    let refused = |finding: HostFinding| match setting.on && finding.help.is_none() {
        true => finding.help("when it stays off the kernel refuses it: its log says why").command(KERNEL_LOG),
        false => finding,
    };
    findings.into_iter().map(refused).collect()
}

/// Whether another rule tells the reason: no identifiers, or no secure processor, without which newer kernels turn
/// SEV off themselves.
fn explained(facts: &Facts, configured: bool) -> bool {
    lacks_asids(facts, Technology::Sev) || configured && facts.sev_device == Fact::Absent
}
