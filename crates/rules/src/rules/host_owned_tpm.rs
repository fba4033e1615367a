//! DEV012: a TPM that belongs to the host.

use crate::finding::{Finding, MOST};
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "DEV012",
    name: "host-owned-tpm",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "A `<tpm>` in a confidential guest.",
        why: "The TPM, emulated or passed through, is the host's: it reads what is sealed in it, and can replay or forge \
              its registers. Neither disk keys bound to it nor a measured boot recorded in it say anything to the \
              guest's owner. Only what the secure processor measures does.",
        example: "<tpm model='tpm-crb'>\n  <backend type='emulator' version='2.0'/>\n</tpm>",
        fix: "Give the guest its keys as a launch secret (SEV, SEV-ES) or after it has proved itself by an attestation \
              report (SEV-SNP). There is no automatic fix: the guest may need a TPM for other things.",
        since: "0.1",
        source: "AMD, \"AMD SEV-SNP: Strengthening VM Isolation with Integrity Protection and More\", threat model: devices \
                 are not trusted; swtpm(8), --tpmstate.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let (Some(technology), Some(devices)) = (subject.technology(), subject.element(&["devices"])) else {
        return Vec::new();
    };
    devices
        .children_named("tpm")
        .take(MOST)
        .map(|tpm| {
            let message = format!(
                "the host owns this TPM: nothing in it is secret or proven to the {technology} guest"
            );
            RULE.finding(tpm.start_tag_span(), message).help(
                "do not bind disk keys to it; inject them at launch, or hand them out after attestation",
            )
        })
        .collect()
}
