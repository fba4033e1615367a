//! DEV003: what QEMU does by itself since 6.0, written down.

use domain::Span;
use domain::model::Switch;

use super::virtio_without_iommu::BY_ITSELF;
use crate::finding::Finding;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;
use crate::version::older;
use crate::virtio::Virtio;

/// More places than these are not worth pointing at.
const MOST_LABELS: usize = 20;

pub(crate) static RULE: Rule = Rule {
    code: "DEV003",
    name: "superfluous-virtio-iommu",
    severity: Severity::Note,
    allowable: true,
    page: Page {
        what: "`<driver iommu='on'/>` in virtio devices of a confidential guest where QEMU is 6.0 or newer.",
        why: "QEMU turns it on by itself there. It does no harm, and a domain that must run with an older QEMU too needs \
              it (DEV002).",
        example: "<memballoon model='virtio'>\n  <driver iommu='on'/>\n</memballoon>",
        fix: "Leave it out, or leave it in. There is no automatic fix: nothing is wrong.",
        since: "0.1",
        source: "libvirt, \"Launch security with AMD SEV\", section \"Virtio\"; QEMU 6.0, hw/core/machine.c.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    if subject.technology().is_none() || older(subject.qemu(), BY_ITSELF) {
        return Vec::new();
    }
    let written: Vec<Virtio<'_>> =
        subject.virtio().filter(|device| device.iommu == Some(Switch::On)).collect();
    let Some((first, others)) = written.split_first() else { return Vec::new() };
    let qemu = subject.qemu().map_or_else(|| "QEMU".to_owned(), |version| format!("QEMU {version}"));
    let devices = match written.len() {
        1 => "a virtio device of this guest".to_owned(),
        number => format!("{number} virtio devices of this guest"),
    };
    let message =
        format!("iommu='on' is superfluous in {devices}: {qemu} turns it on, as all from 6.0 on do");
    let finding = RULE
        .finding(place(first), message)
        .help("it can be left out; keep it if the domain must run with a QEMU before 6.0 too");
    let labelled = others.iter().take(MOST_LABELS);
    vec![labelled.fold(finding, |finding, device| finding.label(place(device), device.name()))]
}

fn place(device: &Virtio<'_>) -> Span {
    let attribute = device.element.child("driver").and_then(|driver| driver.attribute("iommu"));
    attribute.map_or_else(|| device.span(), |iommu| iommu.span())
}
