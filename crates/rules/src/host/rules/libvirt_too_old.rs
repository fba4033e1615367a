//! HOST027: the installed libvirt knows nothing of SEV.

use host::Facts;

use crate::Technology;
use crate::host::mend::{LIBVIRT, install};
use crate::host::state::{candidates, libvirt};
use crate::host::{Evidence, HostFinding};
use crate::rule::{Page, Rule, Severity};
use crate::version::Version;

pub(crate) static RULE: Rule = Rule {
    code: "HOST027",
    name: "libvirt-too-old",
    severity: Severity::Warning,
    allowable: false,
    page: Page {
        what: "An installed libvirt older than 4.5.0, or than 10.5.0 on a host with SEV-SNP.",
        why: "`<launchSecurity type='sev'>` came with 4.5.0, `type='sev-snp'` with 10.5.0. sevirt does not need \
              libvirt; whoever uses both meets two answers.",
        example: "$ libvirtd --version\nlibvirtd (libvirt) 4.0.0",
        fix: "Upgrade libvirt, or use sevirt's daemon in its place.",
        since: "0.1",
        source: "libvirt, \"Launch security with AMD SEV\", section \"Checking SEV support in the virt stack\"; libvirt, \
                 NEWS of 4.5.0 and 10.5.0.",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    let Some(version) = libvirt(facts) else { return Vec::new() };
    let first = |technology| match technology {
        Technology::Sev | Technology::SevEs => Version::new(4, 5, 0),
        Technology::SevSnp => Version::new(10, 5, 0),
    };
    let mut technologies = candidates(facts);
    technologies.retain(|technology| version < first(*technology));
    let Some(&least) = technologies.first() else { return Vec::new() };
    let message = format!("libvirt {version} is older than {}, the first that knows {least}", first(least));
    let finding =
        RULE.about(&technologies, message).evidence([Evidence::new("libvirt.version", "libvirt", version)]);
    vec![match install(facts, LIBVIRT) {
        Some(command) => finding.command(command),
        None => finding.help("upgrade libvirt"),
    }]
}
