//! OPS002: sleep of a guest whose registers are encrypted.

use domain::Edit;
use domain::model::Switch;

use crate::Technology;
use crate::finding::Finding;
use crate::fix::Fix;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "OPS002",
    name: "suspend-to-memory",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "`<suspend-to-mem enabled='yes'/>` in an SEV-ES or SEV-SNP guest.",
        why: "To wake a guest up QEMU resets its vCPUs, which it cannot where their registers are encrypted: the guest does \
              not come back.",
        example: "<pm>\n  <suspend-to-mem enabled='yes'/>\n</pm>",
        fix: "Write `enabled='no'`. `sevirt fix --unsafe` does; it is unsafe because the guest sees other ACPI tables.",
        since: "0.1",
        source: "QEMU, system/runstate.c, qemu_system_wakeup and cpus_are_resettable.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(technology @ (Technology::SevEs | Technology::SevSnp)) = subject.technology() else {
        return Vec::new();
    };
    let asked = subject.domain.pm.suspend_to_mem == Some(Switch::On);
    let Some(element) = subject.element(&["pm", "suspend-to-mem"]).filter(|_| asked) else {
        return Vec::new();
    };
    let message = format!("an {technology} guest that sleeps does not wake up: its vCPUs cannot be reset");
    let edit = Edit::set_attribute(element, "enabled", "no");
    vec![
        RULE.finding(element.start_tag_span(), message)
            .help("write `<suspend-to-mem enabled='no'/>`")
            .fix(Fix::unsafe_("offer no suspend to memory", vec![edit])),
    ]
}
