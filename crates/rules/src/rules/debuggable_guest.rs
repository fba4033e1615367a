//! SEV007: a policy that lets the host debug the guest.

use attest::sev::policy::Policy;
use domain::Edit;
use domain::model::launch_security::LaunchSecurity;

use crate::finding::Finding;
use crate::fix::Fix;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

/// Bit 19 of an SEV-SNP policy allows debugging (AMD 56860 §4.3).
const SNP_DEBUG: u64 = 1 << 19;

pub(crate) static RULE: Rule = Rule {
    code: "SEV007",
    name: "debuggable-guest",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "A policy that allows debugging: bit 0 clear for SEV, bit 19 set for SEV-SNP.",
        why: "The host can then ask the secure processor to decrypt and encrypt the guest's memory, which is all that \
              SEV is there to prevent.",
        example: "<policy>0x0002</policy>",
        fix: "Set bit 0 (SEV), clear bit 19 (SEV-SNP). `sevirt fix --unsafe` does; it is unsafe because the policy is \
              part of the launch measurement, and a session blob is bound to it.",
        since: "0.1",
        source: "AMD 55766 §3, NODBG; AMD 56860 §4.3, DEBUG.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let (written, mended, what) = match &subject.domain.launch_security {
        Some(LaunchSecurity::Sev(sev)) => match sev.policy {
            Some(policy) if !Policy(policy).no_debug() => {
                let mended = format!("{:#06x}", policy | Policy::NO_DEBUG);
                (format!("{policy:#06x}"), mended, "bit 0 is clear")
            }
            _ => return Vec::new(),
        },
        Some(LaunchSecurity::SevSnp(snp)) => match snp.policy {
            Some(policy) if policy & SNP_DEBUG != 0 => {
                (format!("{policy:#x}"), format!("{:#x}", policy & !SNP_DEBUG), "bit 19 is set")
            }
            _ => return Vec::new(),
        },
        Some(LaunchSecurity::Other { .. }) | None => return Vec::new(),
    };
    let Some(element) = subject.element(&["launchSecurity", "policy"]) else { return Vec::new() };
    let edit = Edit::set_text(element, &mended);
    vec![
        RULE.finding(element.text_span(), format!("policy {written} lets the host debug the guest ({what})"))
            .help(format!("{mended} forbids it"))
            .fix(Fix::unsafe_(format!("set the policy to {mended}"), vec![edit])),
    ]
}
