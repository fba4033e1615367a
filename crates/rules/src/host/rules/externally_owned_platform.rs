//! HOST021: somebody else has signed the platform's key.

use host::Facts;

use crate::host::state::candidates;
use crate::host::{Evidence, HostFinding};
use crate::rule::{Page, Rule, Severity};

pub(crate) static RULE: Rule = Rule {
    code: "HOST021",
    name: "externally-owned-platform",
    severity: Severity::Note,
    allowable: false,
    page: Page {
        what: "A platform whose endorsement key (PEK) was signed by an owner other than itself.",
        why: "Guests run as ever. Guest owners see the owner's certificate authority in the platform's chain, and the \
              owner alone can export the platform's certificates anew.",
        example: "$ sevctl show flags\nowned",
        fix: "Nothing, where that is wanted. Otherwise a factory reset makes the platform its own again: all its \
              certificates change then.",
        since: "0.1",
        source: "AMD 55766, SEV API, section 5.6 (PLATFORM_STATUS, FLAGS.OWNER).",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    let technologies = candidates(facts);
    if technologies.is_empty() || !facts.platform.known().is_some_and(|platform| platform.externally_owned) {
        return Vec::new();
    }
    let evidence = [Evidence::new("platform.externally_owned", "/dev/sev, PLATFORM_STATUS", true)];
    vec![RULE.about(&technologies, "the platform has an external owner").evidence(evidence)]
}
