//! SEV006: policy bits that firmware refuses.

use attest::sev::policy::Policy;
use domain::Edit;
use domain::model::launch_security::LaunchSecurity;

use crate::finding::Finding;
use crate::fix::{Fix, Safety};
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
        why: "What such a policy means is not defined. KVM refuses it for SEV-SNP; for SEV, firmware may refuse it, or a \
              later firmware give the bits a meaning that nobody intended.",
        example: "<policy>0x00c3</policy>",
        fix: "Clear the reserved bits, and set bit 17 for SEV-SNP. `sevirt fix` does for SEV-SNP, where it is \
              a safe fix, because the guest could not start before; for SEV `sevirt fix --unsafe` does, because the \
              policy is part of the launch measurement.",
        since: "0.1",
        source: "AMD 55766 §3; AMD 56860 §4.3.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let fault = match &subject.domain.launch_security {
        Some(LaunchSecurity::Sev(sev)) => sev.policy.and_then(sev_fault),
        Some(LaunchSecurity::SevSnp(snp)) => snp.policy.and_then(snp_fault),
        Some(LaunchSecurity::Other { .. }) | None => None,
    };
    let (Some(Fault { message, mended, safety }), Some(element)) =
        (fault, subject.element(&["launchSecurity", "policy"]))
    else {
        return Vec::new();
    };
    let edits = vec![Edit::set_text(element, &mended)];
    vec![
        RULE.finding(element.text_span(), message)
            .help(format!("{mended} says the same in defined bits"))
            .fix(Fix { title: format!("set the policy to {mended}"), safety, edits }),
    ]
}

struct Fault {
    message: String,
    mended: String,
    safety: Safety,
}

fn sev_fault(policy: u32) -> Option<Fault> {
    let reserved = Policy(policy).reserved();
    (reserved != 0).then(|| Fault {
        message: format!("the policy sets reserved bits ({reserved:#x})"),
        mended: format!("{:#06x}", policy & !reserved),
        safety: Safety::Unsafe,
    })
}

fn snp_fault(policy: u64) -> Option<Fault> {
    let reserved = policy & SNP_RESERVED;
    let message = match (reserved, policy & SNP_ONE) {
        (0, SNP_ONE) => return None,
        (0, _) => "bit 17 of an SEV-SNP policy must be set".to_owned(),
        (_, SNP_ONE) => format!("the policy sets reserved bits ({reserved:#x})"),
        _ => format!("the policy sets reserved bits ({reserved:#x}) and leaves out bit 17"),
    };
    // KVM refuses the guest as it is.
    Some(Fault { message, mended: format!("{:#x}", policy & !SNP_RESERVED | SNP_ONE), safety: Safety::Safe })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_that_have_a_meaning_are_left_alone() {
        assert!(sev_fault(0x3701_003f).is_none());
        assert!(snp_fault(0x03ff_ffff).is_none());
        assert_eq!(sev_fault(0x3701_ffff).unwrap().mended, "0x3701003f");
        assert_eq!(snp_fault(0x0401_0000).unwrap().mended, "0x30000");
        assert!(snp_fault(0x1_0000).unwrap().message.contains("bit 17"));
    }
}
