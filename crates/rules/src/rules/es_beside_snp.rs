//! SEV024: an SEV-ES guest where SEV-SNP is on.

use crate::finding::Finding;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;
use crate::technology::Technology;

/// The first API of the firmware that refuses SEV-ES guests beside SEV-SNP.
const REFUSING: (u8, u8) = (1, 58);

pub(crate) static RULE: Rule = Rule {
    code: "SEV024",
    name: "es-beside-snp",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "An SEV-ES guest on a host whose kernel has SEV-SNP on.",
        why: "An SEV-ES guest can attack SEV-SNP guests of the same machine (CVE-2025-48514). Firmware from API 1.58 on refuses \
              SEV-ES guests there; older firmware lets them run.",
        example: "<launchSecurity type='sev'>\n  <policy>0x0007</policy>\n</launchSecurity>",
        fix: "Make it an SEV-SNP guest, or run it on a host with `kvm_amd.sev_snp=0`.",
        since: "0.1",
        source: "CVE-2025-48514; kubevirt issue 17118.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let facts = subject.facts;
    let snp = facts.kvm_amd.known().and_then(|module| module.sev_snp) == Some(true);
    if subject.technology() != Some(Technology::SevEs) || !snp || facts.simulated.is_some() {
        return Vec::new();
    }
    let Some(policy) = subject.element(&["launchSecurity", "policy"]) else { return Vec::new() };
    let message = match facts.platform.known() {
        Some(platform) if (platform.api_major, platform.api_minor) >= REFUSING => format!(
            "this host has SEV-SNP on, and its firmware (API {}.{}) refuses SEV-ES guests then",
            platform.api_major, platform.api_minor
        ),
        Some(platform) => format!(
            "this host has SEV-SNP on; its firmware (API {}.{}) still runs SEV-ES guests beside it, from 1.58 on it does not",
            platform.api_major, platform.api_minor
        ),
        None => {
            "this host has SEV-SNP on, and firmware from API 1.58 on refuses SEV-ES guests then".to_owned()
        }
    };
    vec![
        RULE.finding(policy.text_span(), message)
            .help("make it an SEV-SNP guest, or use a host without SEV-SNP"),
    ]
}
