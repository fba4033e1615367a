//! SEV026: what a policy without SEV-ES leaves to the host.

use attest::sev::policy::Policy;
use domain::model::launch_security::LaunchSecurity;

use crate::finding::Finding;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "SEV026",
    name: "registers-in-the-clear",
    severity: Severity::Note,
    allowable: true,
    page: Page {
        what: "An SEV policy that does not ask for SEV-ES: bit 2 clear. The finding says in words what the policy does ask \
               for; `0x0003`, the usual one, forbids debugging (bit 0) and the sharing of keys (bit 1).",
        why: "The guest's memory is encrypted, its registers are not: whenever the guest leaves a processor the host sees and \
              can change them, and with them what the guest computes.",
        example: "<policy>0x0003</policy>",
        fix: "Set bit 2, `0x0007`, where the host offers SEV-ES and the guest's kernel knows it (Linux 5.10). There is no \
              automatic fix: the policy is what the guest's owner expects, and firmware and kernel must support SEV-ES.",
        since: "0.1",
        source: "AMD 55766 §3, guest policy; AMD, \"Protecting VM Register State with SEV-ES\".",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(LaunchSecurity::Sev(sev)) = &subject.domain.launch_security else { return Vec::new() };
    let Some(security) = subject.element(&["launchSecurity"]) else { return Vec::new() };
    let Some(element) = security.child("policy") else {
        let message = "no policy asks for SEV-ES: the host sees and can change the guest's registers";
        return vec![
            RULE.finding(security.start_tag_span(), message).help("0x0007 asks for SEV-ES, 0x0003 does not"),
        ];
    };
    let Some(policy) = sev.policy.map(Policy).filter(|policy| !policy.es()) else { return Vec::new() };
    let message = format!(
        "policy {}: the host sees and can change the guest's registers (bit 2, SEV-ES, is clear)",
        words(policy)
    );
    let offered = subject.facts.kvm_amd.known().and_then(|module| module.sev_es);
    let help = match offered {
        Some(true) => format!(
            "{:#06x} asks for SEV-ES, which {}'s kernel offers",
            policy.0 | Policy::ES,
            subject.host()
        ),
        Some(false) => format!(
            "{:#06x} would ask for SEV-ES, which {}'s kernel has off",
            policy.0 | Policy::ES,
            subject.host()
        ),
        None => format!("{:#06x} asks for SEV-ES", policy.0 | Policy::ES),
    };
    vec![RULE.finding(element.text_span(), message).help(help)]
}

/// As `attest` has it, with the digits that people write.
fn words(policy: Policy) -> String {
    let text = policy.to_string();
    match text.split_once(' ') {
        Some((_, words)) => format!("{:#06x} {words}", policy.0),
        None => text,
    }
}
