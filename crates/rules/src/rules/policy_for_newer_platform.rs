//! SEV009: a policy that asks for newer firmware than the platform has.

use attest::sev::policy::Policy;
use attest::snp;
use domain::model::launch_security::LaunchSecurity;

use crate::finding::Finding;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "SEV009",
    name: "policy-for-newer-platform",
    severity: Severity::Error,
    allowable: true,
    page: Page {
        what: "An SEV policy whose bits 16 to 31, or an SEV-SNP policy whose bits 0 to 15, ask for a newer API version than \
               that of the platform's firmware.",
        why: "The secure processor refuses to launch the guest (POLICY_FAILURE).",
        example: "<policy>0x37020003</policy>",
        fix: "Update the platform's SEV firmware, or agree with the guest's owner on an older version. There is no \
              automatic fix: the policy is part of the launch measurement.",
        since: "0.1",
        source: "AMD 55766 §3, API_MAJOR and API_MINOR; §6.2, LAUNCH_START; AMD 56860 §4.3, ABI_MAJOR and ABI_MINOR.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let facts = subject.facts;
    let (asked, has) = match &subject.domain.launch_security {
        Some(LaunchSecurity::Sev(sev)) => (
            sev.policy.map(|policy| Policy(policy).minimum_api()),
            facts.platform.known().map(|platform| (platform.api_major, platform.api_minor)),
        ),
        Some(LaunchSecurity::SevSnp(snp)) => (
            snp.policy.map(|policy| snp::policy::Policy(policy).minimum_abi()),
            facts.snp_platform.known().map(|platform| (platform.api_major, platform.api_minor)),
        ),
        Some(LaunchSecurity::Other { .. }) | None => return Vec::new(),
    };
    let (Some(asked), Some((major, minor))) = (asked, has) else { return Vec::new() };
    if (asked.major, asked.minor) <= (major, minor) {
        return Vec::new();
    }
    let Some(element) = subject.element(&["launchSecurity", "policy"]) else { return Vec::new() };
    let message =
        format!("the policy asks for API {asked}, but this platform's firmware has {major}.{minor}");
    vec![
        RULE.finding(element.text_span(), message)
            .help("update the SEV firmware, or ask for an older version"),
    ]
}
