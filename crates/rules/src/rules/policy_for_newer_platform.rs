//! SEV009: a policy that asks for newer firmware than the platform has.

use attest::sev::policy::Policy;
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
        what: "An SEV policy whose bits 16 to 31 ask for a newer API version than that of the platform's firmware.",
        why: "The secure processor refuses to launch the guest (POLICY_FAILURE).",
        example: "<policy>0x37020003</policy>",
        fix: "Update the platform's SEV firmware, or agree with the guest's owner on an older version. There is no \
              automatic fix: the policy is part of the launch measurement.",
        since: "0.1",
        source: "AMD 55766 §3, API_MAJOR and API_MINOR; §6.2, LAUNCH_START.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let (Some(LaunchSecurity::Sev(sev)), Some(platform)) =
        (&subject.domain.launch_security, subject.facts.platform.known())
    else {
        return Vec::new();
    };
    let Some(asked) = sev.policy.map(|policy| Policy(policy).minimum_api()) else { return Vec::new() };
    if (asked.major, asked.minor) <= (platform.api_major, platform.api_minor) {
        return Vec::new();
    }
    let Some(element) = subject.element(&["launchSecurity", "policy"]) else { return Vec::new() };
    let (major, minor) = (platform.api_major, platform.api_minor);
    let message =
        format!("the policy asks for API {asked}, but this platform's firmware has {major}.{minor}");
    vec![
        RULE.finding(element.text_span(), message)
            .help("update the SEV firmware, or ask for an older version"),
    ]
}
