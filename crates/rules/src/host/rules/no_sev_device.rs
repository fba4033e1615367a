//! HOST015: there is no /dev/sev.

use host::{Fact, Facts};

use crate::Technology;
use crate::host::mend::KERNEL_LOG;
use crate::host::state::{candidates, kernel_lacks, off_in_bios, shown};
use crate::host::{Evidence, HostFinding};
use crate::rule::{Page, Rule, Severity};

pub(crate) static RULE: Rule = Rule {
    code: "HOST015",
    name: "no-sev-device",
    severity: Severity::Error,
    allowable: false,
    page: Page {
        what: "A host without `/dev/sev`.",
        why: "It is the way to the AMD secure processor, which makes the guests' keys. The driver `ccp` offers it, \
              unless it was not loaded, or the secure processor is off in BIOS or does not answer.",
        example: "$ ls /dev/sev\nls: cannot access '/dev/sev': No such file or directory",
        fix: "Load `ccp`; when the device does not appear, the kernel's log says why.",
        since: "0.1",
        source: "Linux, drivers/crypto/ccp/sev-dev.c; github.com/AMDESE/AMDSEV issues 33, 191.",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    let technologies = candidates(facts);
    if technologies.is_empty() || off_in_bios(facts) || kernel_lacks(facts, Technology::Sev) {
        return Vec::new();
    }
    let evidence = [Evidence::new("sev_device", "/dev/sev", shown(&facts.sev_device))];
    match &facts.sev_device {
        Fact::Known(_) => Vec::new(),
        Fact::Absent => vec![
            RULE.about(&technologies, "/dev/sev is absent")
                .evidence(evidence)
                .help("the driver ccp makes it, where the secure processor is on in BIOS and answers")
                .command("modprobe ccp")
                .command(KERNEL_LOG),
        ],
        Fact::Unreadable { .. } => {
            vec![RULE.unclear(&technologies, "/dev/sev could not be looked at").evidence(evidence)]
        }
    }
}
