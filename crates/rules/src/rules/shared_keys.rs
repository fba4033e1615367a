//! SEV008: a policy that lets guests share a key.

use attest::sev::policy::Policy;
use domain::Edit;
use domain::model::launch_security::LaunchSecurity;

use crate::finding::Finding;
use crate::fix::Fix;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "SEV008",
    name: "shared-keys",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "An SEV policy that allows key sharing: bit 1 clear.",
        why: "The host can then launch another guest with the same memory encryption key, which can read this one's \
              memory. SEV-SNP guests never share keys.",
        example: "<policy>0x0001</policy>",
        fix: "Set bit 1. `sevirt fix --unsafe` does; it is unsafe because the policy is part of the launch \
              measurement, and a session blob is bound to it.",
        since: "0.1",
        source: "AMD 55766 §3, NOKS.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(LaunchSecurity::Sev(sev)) = &subject.domain.launch_security else { return Vec::new() };
    let Some(policy) = sev.policy.filter(|policy| !Policy(*policy).no_key_sharing()) else {
        return Vec::new();
    };
    let Some(element) = subject.element(&["launchSecurity", "policy"]) else { return Vec::new() };
    let mended = format!("{:#06x}", policy | Policy::NO_KEY_SHARING);
    let edit = Edit::set_text(element, &mended);
    let message = format!("policy {policy:#06x} lets another guest share this one's key (bit 1 is clear)");
    vec![
        RULE.finding(element.text_span(), message)
            .help(format!("{mended} forbids it"))
            .fix(Fix::unsafe_(format!("set the policy to {mended}"), vec![edit])),
    ]
}
