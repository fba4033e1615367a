//! SEV016: half of what identifies an SEV-SNP guest.

use domain::model::launch_security::LaunchSecurity;

use crate::finding::Finding;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "SEV016",
    name: "half-an-identity",
    severity: Severity::Error,
    allowable: true,
    page: Page {
        what: "An `<idBlock>` without `<idAuth>`, which is an error; or an `<idAuth>` without `<idBlock>`, a warning.",
        why: "The ID block says which launch digest the guest's owner expects, and the authentication information holds \
              the signature that proves it. Without the signature the launch fails at its end (KVM_SEV_SNP_LAUNCH_FINISH, \
              EINVAL); without the block QEMU hands over neither, and any launch digest is accepted.",
        example: "<launchSecurity type='sev-snp'>\n  <policy>0x30000</policy>\n  <idBlock>…</idBlock>\n</launchSecurity>",
        fix: "Write both, or neither. There is no automatic fix: they are the guest owner's.",
        since: "0.1",
        source: "AMD 56860, SNP_LAUNCH_FINISH, ID_BLOCK_EN; Linux, arch/x86/kvm/svm/sev.c, snp_launch_finish; QEMU, \
                 target/i386/sev.c, sev_snp_guest_set_id_block.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(LaunchSecurity::SevSnp(_)) = &subject.domain.launch_security else { return Vec::new() };
    let element = |name| subject.element(&["launchSecurity", name]);
    let finding = match (element("idBlock"), element("idAuth")) {
        (Some(block), None) => RULE.finding(
            block.start_tag_span(),
            "this ID block has no idAuth, and the launch fails without its signature",
        ),
        (None, Some(auth)) => RULE
            .finding(
                auth.start_tag_span(),
                "idAuth has no effect without idBlock: any launch digest is accepted",
            )
            .severity(Severity::Warning),
        _ => return Vec::new(),
    };
    vec![finding.help("write both, or neither")]
}
