//! SEV019: an SEV-SNP policy that this host's kernel does not pass on.

use attest::snp::policy::Policy;
use domain::model::launch_security::LaunchSecurity;

use crate::finding::Finding;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;
use crate::version::{Version, older};

/// The first Linux that leaves SMT and the number of sockets to the firmware.
const FIRMWARE_DECIDES: Version = Version::new(6, 17, 0);
/// The first Linux that asks the firmware which of the newer bits it knows.
const NEWER_BITS: Version = Version::new(6, 19, 0);

pub(crate) static RULE: Rule = Rule {
    code: "SEV019",
    name: "policy-refused-by-kvm",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "An SEV-SNP policy with bits that KVM refuses: a migration agent (bit 18) in all versions; below Linux 6.17 \
               SMT forbidden (bit 16 clear) or one socket only (bit 20 set); below Linux 6.19 the bits 21 to 25.",
        why: "KVM checks the policy before it asks the firmware, and fails with nothing but a number: \"SNP_LAUNCH_START \
              ret=-22 fw_error=0\". It is a warning because distributions take changes over into older kernels.",
        example: "<launchSecurity type='sev-snp'>\n  <policy>0x20000</policy>\n</launchSecurity>",
        fix: "Use a newer kernel, or a policy that it takes, such as 0x30000. There is no automatic fix: the policy is what \
              the guest's owner expects.",
        since: "0.1",
        source: "Linux, arch/x86/kvm/svm/sev.c, snp_launch_start; \"KVM: SVM: Allow SNP guest policy disallow running with \
                 SMT enabled\" (2025); \"KVM: SEV: Publish supported SEV-SNP policy bits\" (2025); AMDESE/AMDSEV issue 240.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(LaunchSecurity::SevSnp(snp)) = &subject.domain.launch_security else { return Vec::new() };
    // Behind a simulated processor no KVM checks a policy.
    let (Some(policy), None) = (snp.policy, &subject.facts.simulated) else { return Vec::new() };
    let (Some(what), Some(element)) =
        (refused(policy, subject.kernel()), subject.element(&["launchSecurity", "policy"]))
    else {
        return Vec::new();
    };
    let kernel = subject.kernel().map_or_else(|| "Linux".to_owned(), |version| format!("Linux {version}"));
    let message = format!("{kernel} refuses policy {policy:#x}: {what}");
    vec![
        RULE.finding(element.text_span(), message)
            .help("use a newer kernel, or a policy that it takes, such as 0x30000"),
    ]
}

fn refused(policy: u64, kernel: Option<Version>) -> Option<&'static str> {
    const NEWER: u64 = Policy::CXL_ALLOW
        | Policy::MEM_AES_256_XTS
        | Policy::RAPL_DIS
        | Policy::CIPHERTEXT_HIDING_DRAM
        | Policy::PAGE_SWAP_DISABLE;
    if policy & Policy::MIGRATE_MA != 0 {
        return Some("it has no migration agents (bit 18)");
    }
    let old = older(kernel, FIRMWARE_DECIDES);
    if old && policy & Policy::SMT == 0 {
        return Some("before 6.17 SMT must be allowed (bit 16)");
    }
    if old && policy & Policy::SINGLE_SOCKET != 0 {
        return Some("before 6.17 a guest cannot be held to one socket (bit 20)");
    }
    (older(kernel, NEWER_BITS) && policy & NEWER != 0).then_some("before 6.19 it does not know bits 21 to 25")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kernel_refuses_its_own() {
        let (old, middle, new) = (Version::new(6, 12, 0), Version::new(6, 17, 3), Version::new(6, 19, 0));
        for (policy, by_old, by_middle, by_new) in [
            (0x30000, false, false, false),
            (0xb0137, false, false, false),
            (0x20000, true, false, false),
            (0x0013_0000, true, false, false),
            (0x0103_0000, true, true, false),
            (0x70000, true, true, true),
        ] {
            let is_refused = |kernel| refused(policy, kernel).is_some();
            let found =
                [is_refused(Some(old)), is_refused(Some(middle)), is_refused(Some(new)), is_refused(None)];
            assert_eq!(found, [by_old, by_middle, by_new, by_new], "{policy:#x}");
        }
    }
}
