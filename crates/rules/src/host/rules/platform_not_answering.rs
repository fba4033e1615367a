//! HOST019: the secure processor does not say what it is.

use host::{Fact, Facts, PlatformState};

use crate::Technology;
use crate::host::mend::{AS_ROOT, KERNEL_LOG};
use crate::host::state::{candidates, shown};
use crate::host::{Evidence, HostFinding};
use crate::rule::{Page, Rule, Severity};

/// `EPERM` and `EACCES`: whoever asks may not, which says nothing about the platform.
const MAY_NOT: [i32; 2] = [1, 13];

pub(crate) static RULE: Rule = Rule {
    code: "HOST019",
    name: "platform-not-answering",
    severity: Severity::Error,
    allowable: false,
    page: Page {
        what: "A secure processor that does not answer PLATFORM_STATUS, or is in a state that the specification does \
               not know.",
        why: "Before it is initialised, initialised and working are all states in which guests can be launched; \
              anything else means that its firmware failed. Whoever may not open `/dev/sev` only does not learn the \
              firmware's version, which decides about SEV-SNP.",
        example: "$ sevirt host facts | grep platform\nplatform   unreadable (/dev/sev: Input/output error)",
        fix: "Run as root. When the secure processor fails, look into the kernel's log, update the SEV firmware, or \
              reset the machine by its power supply.",
        since: "0.1",
        source: "AMD 55766, SEV API, sections 5.1.2 and 5.6.",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    let mut technologies = candidates(facts);
    let evidence = |value: String| [Evidence::new("platform", "/dev/sev, PLATFORM_STATUS", value)];
    let finding = match &facts.platform {
        Fact::Unreadable { errno, .. } if MAY_NOT.contains(errno) => {
            technologies.retain(|technology| *technology == Technology::SevSnp);
            let message = "the version of the secure processor's firmware could not be read";
            RULE.unclear(&technologies, message)
                .evidence(evidence(shown(&facts.platform)))
                .help("root may")
                .command(AS_ROOT)
        }
        Fact::Unreadable { .. } => RULE
            .unclear(&technologies, "the secure processor does not answer")
            .evidence(evidence(shown(&facts.platform)))
            .command(KERNEL_LOG),
        Fact::Known(platform) => {
            let PlatformState::Unknown(state) = platform.state else { return Vec::new() };
            RULE.unclear(&technologies, format!("the secure processor is in the unknown state {state}"))
                .evidence(evidence(format!("state {state}")))
                .command(KERNEL_LOG)
        }
        Fact::Absent => return Vec::new(),
    };
    if technologies.is_empty() { Vec::new() } else { vec![finding] }
}
