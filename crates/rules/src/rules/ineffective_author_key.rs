//! SEV017: an author key that nobody looks at.

use domain::Edit;
use domain::model::Switch;
use domain::model::launch_security::LaunchSecurity;

use crate::finding::Finding;
use crate::fix::Fix;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "SEV017",
    name: "ineffective-author-key",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "`authorKey='yes'` without both `<idBlock>` and `<idAuth>`.",
        why: "The author key is part of the ID authentication information and signs the key that signs the ID block. \
              Without them there is none: Linux leaves the flag out, and the guest is bound to no author, whatever the \
              domain says.",
        example: "<launchSecurity type='sev-snp' authorKey='yes'>\n  <policy>0x30000</policy>\n</launchSecurity>",
        fix: "Write `<idBlock>` and `<idAuth>`, or remove the attribute. `sevirt fix` removes it where there is no \
              `<idBlock>`; it is a safe fix, because it has no effect.",
        since: "0.1",
        source: "AMD 56860, SNP_LAUNCH_FINISH, AUTHOR_KEY_EN; Linux, arch/x86/kvm/svm/sev.c, snp_launch_finish.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(LaunchSecurity::SevSnp(snp)) = &subject.domain.launch_security else { return Vec::new() };
    let Some(security) = subject.element(&["launchSecurity"]) else { return Vec::new() };
    let (Some(Switch::On), Some(attribute)) = (snp.author_key, security.attribute("authorKey")) else {
        return Vec::new();
    };
    let has = |name| security.child(name).is_some();
    if has("idBlock") && has("idAuth") {
        return Vec::new();
    }
    let finding = RULE
        .finding(attribute.span(), "authorKey has no effect without idBlock and idAuth")
        .help("write both, or remove authorKey");
    let edit = Edit::remove_attribute(security, "authorKey").filter(|_| !has("idBlock"));
    vec![match edit {
        Some(edit) => finding.fix(Fix::safe("remove authorKey", vec![edit])),
        None => finding,
    }]
}
