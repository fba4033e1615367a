//! SEV006: policy bits that firmware refuses.

use attest::sev::policy::Policy;
use domain::Edit;
use domain::model::launch_security::LaunchSecurity;

use crate::finding::Finding;
use crate::fix::Fix;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

/// Bits 26 to 63 of an SEV-SNP policy are reserved (AMD 56860 §4.3).
const SNP_RESERVED: u64 = !0 << 26;
/// Bit 17 must be set.
const SNP_ONE: u64 = 1 << 17;

pub(crate) static RULE: Rule = Rule {
    code: "SEV006",
    name: "reserved-policy-bits",
    severity: Severity::Error,
    allowable: true,
    page: Page {
        what: "A policy that sets reserved bits: 6 to 15 for SEV, 26 and above for SEV-SNP; or an SEV-SNP policy \
               without bit 17, which must be set.",
        why: "The secure processor refuses to launch a guest with such a policy.",
        example: "<policy>0x00c3</policy>",
        fix: "Clear the reserved bits, and set bit 17 for SEV-SNP. `sevirt fix` does; it is a safe fix, because the \
              guest could not start before.",
        since: "0.1",
        source: "AMD 55766 §3; AMD 56860 §4.3.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let (message, mended) = match &subject.domain.launch_security {
        Some(LaunchSecurity::Sev(sev)) => {
            let Some(policy) = sev.policy else { return Vec::new() };
            let reserved = Policy(policy).reserved();
            if reserved == 0 {
                return Vec::new();
            }
            (format!("the policy sets reserved bits ({reserved:#x})"), format!("{:#06x}", policy & !reserved))
        }
        Some(LaunchSecurity::SevSnp(snp)) => {
            let Some(policy) = snp.policy else { return Vec::new() };
            let reserved = policy & SNP_RESERVED;
            let message = match (reserved, policy & SNP_ONE) {
                (0, SNP_ONE) => return Vec::new(),
                (0, _) => "bit 17 of an SEV-SNP policy must be set".to_owned(),
                (_, SNP_ONE) => format!("the policy sets reserved bits ({reserved:#x})"),
                _ => format!("the policy sets reserved bits ({reserved:#x}) and leaves out bit 17"),
            };
            (message, format!("{:#x}", policy & !SNP_RESERVED | SNP_ONE))
        }
        Some(LaunchSecurity::Other { .. }) | None => return Vec::new(),
    };
    let Some(element) = subject.element(&["launchSecurity", "policy"]) else { return Vec::new() };
    let edit = Edit::set_text(element, &mended);
    vec![
        RULE.finding(element.text_span(), message)
            .help(format!("the secure processor refuses it; {mended} has the same meaning without them"))
            .fix(Fix::safe(format!("set the policy to {mended}"), vec![edit])),
    ]
}
