//! SEV024: an SEV-ES guest where SEV-SNP is on.

use crate::Technology;
use crate::finding::Finding;
use crate::host::{Effect, sev_es_beside_snp};
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "SEV024",
    name: "es-beside-snp",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "An SEV-ES guest on a host whose kernel has SEV-SNP on.",
        why: "An SEV-ES guest can attack SEV-SNP guests of the same machine (CVE-2025-48514). Newer firmware refuses \
              SEV-ES guests there, which is an error (SEV003, HOST033); older firmware lets them run, and which one \
              it is does not always show.",
        example: "<launchSecurity type='sev'>\n  <policy>0x0007</policy>\n</launchSecurity>",
        fix: "Make it an SEV-SNP guest, or run it on a host with `kvm_amd.sev_snp=0`.",
        since: "0.1",
        source: "AMD-SB-3023; kubevirt issue 17118.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    if subject.technology() != Some(Technology::SevEs) {
        return Vec::new();
    }
    let Some(policy) = subject.element(&["launchSecurity", "policy"]) else { return Vec::new() };
    // Where it prevents the guest, SEV003 says so.
    let of_host = sev_es_beside_snp::check(subject.facts).into_iter();
    let host = subject.host();
    of_host
        .filter(|finding| finding.effect != Effect::Prevents)
        .map(|finding| {
            RULE.finding(policy.text_span(), format!("on {host} {}", finding.message))
                .help("make it an SEV-SNP guest, or use a host without SEV-SNP")
        })
        .collect()
}
