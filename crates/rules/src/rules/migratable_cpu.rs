//! OPS006: a processor kept migratable for a guest that is not.

use domain::Edit;
use domain::model::Switch;
use domain::model::cpu::CpuMode;

use crate::finding::Finding;
use crate::fix::Fix;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "OPS006",
    name: "migratable-cpu",
    severity: Severity::Note,
    allowable: true,
    page: Page {
        what: "`migratable='on'` at the `<cpu>` of a confidential guest with `host-passthrough` or `maximum`.",
        why: "It takes features away that would bind the guest to this host (invtsc), and the guest is bound to it anyway: \
              QEMU cannot migrate confidential guests.",
        example: "<cpu mode='host-passthrough' migratable='on'/>",
        fix: "Write `migratable='off'`, or leave it. `sevirt fix --unsafe` writes it; it is unsafe because the guest sees \
              more features.",
        since: "0.1",
        source: "QEMU, target/i386/cpu.c, migratable; target/i386/sev.c, migration blocker.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let cpu = subject.domain.cpu.as_ref();
    let bound = cpu.is_some_and(|cpu| {
        matches!(cpu.mode, Some(CpuMode::HostPassthrough | CpuMode::Maximum))
            && cpu.migratable == Some(Switch::On)
    });
    let (Some(technology), Some(element)) =
        (subject.technology(), subject.element(&["cpu"]).filter(|_| bound))
    else {
        return Vec::new();
    };
    let Some(place) = element.attribute("migratable") else { return Vec::new() };
    let edit = Edit::set_attribute(element, "migratable", "off");
    let message =
        format!("migratable='on' takes features from an {technology} guest that cannot be migrated");
    vec![
        RULE.finding(place.span(), message)
            .help("write `migratable='off'`, or leave it")
            .fix(Fix::unsafe_("give the guest all features", vec![edit])),
    ]
}
