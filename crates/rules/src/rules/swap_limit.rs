//! MEM006: a limit on swapping for memory that is never swapped.

use domain::Edit;

use crate::finding::Finding;
use crate::fix::Fix;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "MEM006",
    name: "swap-limit",
    severity: Severity::Note,
    allowable: true,
    page: Page {
        what: "A `<memtune><swap_hard_limit>` of a confidential guest.",
        why: "The memory of such a guest is pinned and never swapped out, so that there is nothing to limit: what the guest \
              may take is `<hard_limit>` alone. Whoever relies on swap for more guests than fit is mistaken.",
        example: "<memtune>\n  <swap_hard_limit unit='GiB'>8</swap_hard_limit>\n</memtune>",
        fix: "Remove it. `sevirt fix` does; it is a safe fix, the guest sees no difference.",
        since: "0.1",
        source: "Linux, arch/x86/kvm/svm/sev.c, sev_pin_memory; libvirt, formatdomain, \"Memory Tuning\".",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(technology) = subject.technology() else { return Vec::new() };
    let Some(element) = subject.element(&["memtune", "swap_hard_limit"]) else { return Vec::new() };
    let message = format!("the memory of an {technology} guest is never swapped out: this limits nothing");
    let fix = Fix::safe("remove swap_hard_limit", vec![Edit::remove_element(element)]);
    vec![RULE.finding(element.start_tag_span(), message).fix(fix)]
}
