//! SEV022: virtual CPUs that are to be plugged into a guest whose registers are encrypted.

use crate::Technology;
use crate::finding::Finding;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "SEV022",
    name: "late-vcpus",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "An SEV-ES or SEV-SNP guest that starts with fewer vCPUs than it may have (`<vcpu current='1'>4</vcpu>`).",
        why: "The registers of each vCPU are encrypted and measured while the guest is launched (LAUNCH_UPDATE_VMSA), and \
              only then. A vCPU that is plugged in later has no encrypted state and cannot run.",
        example: "<vcpu current='1'>4</vcpu>",
        fix: "Start the guest with all of its vCPUs: remove `current`. There is no automatic fix: the number of vCPUs is part \
              of the launch measurement.",
        since: "0.1",
        source: "AMD 55766, LAUNCH_UPDATE_VMSA; AMD 56860, SNP_LAUNCH_UPDATE, page type VMSA; QEMU, \
                 target/i386/sev.c, sev_launch_get_measure.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(technology @ (Technology::SevEs | Technology::SevSnp)) = subject.technology() else {
        return Vec::new();
    };
    let vcpu = &subject.domain.vcpu;
    let missing =
        vcpu.current.and_then(|current| vcpu.count.checked_sub(current)).filter(|missing| *missing > 0);
    let place = subject.element(&["vcpu"]).and_then(|vcpu| vcpu.attribute("current"));
    let (Some(missing), Some(place)) = (missing, place) else { return Vec::new() };
    let which = if missing == 1 { "the last vCPU".to_owned() } else { format!("the other {missing} vCPUs") };
    let message = format!("{which} cannot be plugged into an {technology} guest that runs");
    vec![RULE.finding(place.span(), message).help("start it with all of them: remove `current`")]
}
