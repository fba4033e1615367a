//! OPS005: snapshots that hold a confidential guest's memory.

use domain::Edit;

use crate::finding::{Finding, MOST};
use crate::fix::Fix;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "OPS005",
    name: "snapshot-with-memory",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "A disk of a confidential guest with `snapshot='internal'`.",
        why: "An internal snapshot of a guest that runs holds its memory, and QEMU cannot save that: the snapshot fails \
              (\"SEV: Migration is not implemented\"). Snapshots of the disk alone work.",
        example: "<disk type='file' device='disk' snapshot='internal'>",
        fix: "Write `snapshot='external'`. `sevirt fix` does; it is a safe fix, because the guest does not see it.",
        since: "0.1",
        source: "QEMU, target/i386/sev.c, migration blocker; libvirt, \"Snapshot XML format\", section \"Types of \
                 snapshots\".",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let (Some(technology), Some(devices)) = (subject.technology(), subject.element(&["devices"])) else {
        return Vec::new();
    };
    let internal = devices.children_named("disk").filter_map(|disk| {
        let snapshot = disk.attribute("snapshot").filter(|snapshot| snapshot.value() == "internal")?;
        Some((disk, snapshot))
    });
    internal
        .take(MOST)
        .map(|(disk, snapshot)| {
            let message = format!(
                "an internal snapshot fails while this {technology} guest runs: its memory cannot be saved"
            );
            let edit = Edit::set_attribute(disk, "snapshot", "external");
            RULE.finding(snapshot.value_span(), message)
                .help("write `snapshot='external'`: the disk alone can be snapshot")
                .fix(Fix::safe("snapshot the disk into a file of its own", vec![edit]))
        })
        .collect()
}
