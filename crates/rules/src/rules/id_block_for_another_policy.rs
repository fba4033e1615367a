//! SEV018: an ID block that was made for another policy.

use domain::model::launch_security::LaunchSecurity;

use super::malformed_snp_blob::ID_BLOCK_LEN;
use crate::blob;
use crate::finding::Finding;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "SEV018",
    name: "id-block-for-another-policy",
    severity: Severity::Error,
    allowable: true,
    page: Page {
        what: "An `<idBlock>` whose policy (its bytes 88 to 95) is not the `<policy>` of the guest.",
        why: "The firmware compares the two at the end of the launch and refuses the guest (POLICY_FAILURE): the ID block is \
              there so that its author decides the policy.",
        example: "<policy>0x30000</policy>\n<idBlock>…</idBlock> <!-- made for 0xb0000 -->",
        fix: "Write the policy of the ID block, or have the block made anew for this policy. There is no automatic fix: \
              which of the two is right is not known.",
        since: "0.1",
        source: "AMD 56860, SNP_LAUNCH_FINISH, ID block, POLICY.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(LaunchSecurity::SevSnp(snp)) = &subject.domain.launch_security else { return Vec::new() };
    let block = snp.id_block.as_deref().and_then(|text| blob::decode(text).ok());
    let in_block = block.filter(|block| block.len() == ID_BLOCK_LEN).and_then(|block| {
        let field = block.get(88..)?;
        field.try_into().ok().map(u64::from_le_bytes)
    });
    let (Some(policy), Some(in_block)) = (snp.policy, in_block) else { return Vec::new() };
    let (Some(element), Some(written)) =
        (subject.element(&["launchSecurity", "idBlock"]), subject.element(&["launchSecurity", "policy"]))
    else {
        return Vec::new();
    };
    if policy == in_block {
        return Vec::new();
    }
    let message = format!("this ID block is for policy {in_block:#x}, but the guest's policy is {policy:#x}");
    vec![
        RULE.finding(element.text_span(), message)
            .label(written.text_span(), "the guest's policy")
            .help(format!("write the policy {in_block:#x}, or have the block made for {policy:#x}")),
    ]
}
