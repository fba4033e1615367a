//! HOST017: SELinux keeps QEMU from /dev/sev.

use host::{Fact, Facts};

use crate::host::state::{candidates, shown};
use crate::host::{Evidence, HostFinding};
use crate::rule::{Page, Rule, Severity};

const DEVICE_TYPE: &str = "sev_device_t";

pub(crate) static RULE: Rule = Rule {
    code: "HOST017",
    name: "selinux-denies-sev",
    severity: Severity::Error,
    allowable: false,
    page: Page {
        what: "A loaded SELinux policy that does not let virtual machines (`svirt_t`) use `sev_device_t`, or a \
               `/dev/sev` that is labelled as something else. Enforcing it is an error, permissive a warning.",
        why: "Policies before 3.14.2.40 do not know `/dev/sev`. The kernel is asked what its policy allows; the \
              package's version is evidence only, because policies are adapted on the spot.",
        example: "$ ls -Z /dev/sev\nsystem_u:object_r:device_t:s0 /dev/sev",
        fix: "Upgrade the policy, or allow it in a module of your own (`audit2allow`); give the node its label with \
              `restorecon`.",
        since: "0.1",
        source: "libvirt, \"Launch security with AMD SEV\", section \"Limitations\".",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    let technologies = candidates(facts);
    let (Some(selinux), Some(device)) = (facts.selinux.known(), facts.sev_device.known()) else {
        return Vec::new();
    };
    if technologies.is_empty() {
        return Vec::new();
    }
    let label = device.label.known().map(String::as_str);
    let mislabelled = label.is_some_and(|label| label.split(':').nth(2) != Some(DEVICE_TYPE));
    let evidence = [
        Evidence::new("selinux.enforcing", "/sys/fs/selinux/enforce", selinux.enforcing),
        Evidence::new("selinux.svirt_may_use_sev", "/sys/fs/selinux/access", &selinux.svirt_may_use_sev),
        Evidence::new("sev_device.label", "/dev/sev", &device.label),
        Evidence::new("selinux.policy_package", "package database", &selinux.policy_package),
    ];
    let finding = match &selinux.svirt_may_use_sev {
        Fact::Known(false) => RULE
            .about(&technologies, "SELinux's policy does not let virtual machines use /dev/sev")
            .help("selinux-policy 3.14.2.40 is the first that does")
            .command("dnf upgrade selinux-policy"),
        Fact::Known(true) | Fact::Absent if mislabelled => RULE
            .about(
                &technologies,
                format!("/dev/sev has the wrong SELinux label ({})", label.unwrap_or_default()),
            )
            .help("a label that is still wrong afterwards comes from a policy older than 3.14.2.40")
            .command("restorecon -v /dev/sev"),
        Fact::Known(true) | Fact::Absent => return Vec::new(),
        Fact::Unreadable { .. } if selinux.enforcing => RULE.unclear(
            &technologies,
            format!("what SELinux lets virtual machines do: {}", shown(&selinux.svirt_may_use_sev)),
        ),
        Fact::Unreadable { .. } => return Vec::new(),
    };
    let finding = finding.evidence(evidence);
    vec![if selinux.enforcing { finding } else { finding.remark(Severity::Warning) }]
}
