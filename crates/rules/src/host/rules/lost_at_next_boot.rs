//! HOST013: on now, and off after the next boot.

use host::{Fact, Facts};

use crate::Technology;
use crate::host::boot::{Line, setting};
use crate::host::mend::{AS_ROOT, enable};
use crate::host::state::{Parameter, candidates, parameter, parameter_evidence, shown};
use crate::host::{Evidence, HostFinding, When};
use crate::rule::{Page, Rule, Severity};

pub(crate) static RULE: Rule = Rule {
    code: "HOST013",
    name: "lost-at-next-boot",
    severity: Severity::Error,
    allowable: false,
    page: Page {
        what: "A parameter of `kvm_amd` that is on now, while what is configured for the next boot (the boot loader's \
               command line, modprobe.d) or, where that says nothing, the kernel's own default turns it off.",
        why: "It was set by hand: with `modprobe kvm_amd sev=1`, or in the boot menu. After the next reboot no \
              confidential guest starts, on a host that nobody changed.",
        example: "$ cat /sys/module/kvm_amd/parameters/sev\n1\n$ grep -r sev /etc/default/grub /etc/modprobe.d\n$",
        fix: "`sevirt host enable --apply`.",
        since: "0.1",
        source: "libvirt, \"Launch security with AMD SEV\", section \"Enabling SEV on the host\"; Linux, commit \
                 6c2c7bf5803c: on by default from 5.13.",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    let mut on = candidates(facts);
    on.retain(|technology| parameter(facts, *technology) == Parameter::On);
    if on.is_empty() {
        return Vec::new();
    }
    if let Fact::Unreadable { .. } = facts.boot.command_line {
        let evidence = Evidence::new("boot.command_line", "boot loader", shown(&facts.boot.command_line));
        let finding = RULE.unclear(&on, "what the next boot will do could not be read").when(When::NextBoot);
        return vec![finding.evidence([evidence]).help("root may").command(AS_ROOT)];
    }
    let lost = |technology: &Technology| !setting(facts, Line::NextBoot, *technology).on;
    let Some(least) = on.iter().copied().find(lost) else { return Vec::new() };
    on.retain(|technology| *technology >= least);
    let setting = setting(facts, Line::NextBoot, least);
    let message = format!("{least} is on now and lost at the next boot, by {}", setting.because());
    vec![
        RULE.about(&on, message)
            .when(When::NextBoot)
            .evidence([parameter_evidence(facts, least), setting.evidence(facts)])
            .command(enable(least)),
    ]
}
