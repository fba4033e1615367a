//! SEV025: an SEV-SNP guest that forbids simultaneous multithreading.

use attest::snp::policy::Policy;
use domain::model::launch_security::LaunchSecurity;

use crate::finding::Finding;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "SEV025",
    name: "smt-forbidden",
    severity: Severity::Note,
    allowable: true,
    page: Page {
        what: "An SEV-SNP policy that does not allow simultaneous multithreading (bit 16 clear).",
        why: "The firmware refuses the launch (POLICY_FAILURE) unless SMT is off in the machine's own set-up; turning it off \
              in the kernel is not enough.",
        example: "<launchSecurity type='sev-snp'>\n  <policy>0x20000</policy>\n</launchSecurity>",
        fix: "Turn SMT off in the machine's set-up, or allow it: 0x30000. There is no automatic fix: the policy is what the \
              guest's owner expects.",
        since: "0.1",
        source: "AMD 56860 §4.3, SMT; Linux, \"KVM: SVM: Allow SNP guest policy disallow running with SMT enabled\" (2025).",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(LaunchSecurity::SevSnp(snp)) = &subject.domain.launch_security else { return Vec::new() };
    // Without bit 17 the policy is no policy at all, which SEV006 tells.
    let policy =
        snp.policy.filter(|policy| policy & (Policy::SMT | Policy::RESERVED_ONE) == Policy::RESERVED_ONE);
    let (Some(policy), Some(element)) = (policy, subject.element(&["launchSecurity", "policy"])) else {
        return Vec::new();
    };
    if subject.facts.simulated.is_some() {
        let message = format!("policy {policy:#x} forbids SMT, and the simulated platform has it on");
        let finding = RULE.finding(element.text_span(), message).severity(Severity::Error);
        return vec![finding.help("write 0x30000")];
    }
    let host = subject.host();
    let message =
        format!("policy {policy:#x} forbids SMT: {host} runs the guest only if its own set-up has SMT off");
    vec![
        RULE.finding(element.text_span(), message)
            .help("turn SMT off in the machine's set-up, or write 0x30000"),
    ]
}
