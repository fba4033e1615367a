//! DEV011: an IOMMU whose tables QEMU cannot read.

use crate::finding::Finding;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "DEV011",
    name: "emulated-iommu",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "An emulated hardware IOMMU (`<iommu model='intel'>`, `amd`) in a confidential guest.",
        why: "The guest's kernel keeps the IOMMU's tables in its own memory, which is encrypted, and QEMU, which emulates \
              the IOMMU, reads them there. Devices behind it get nowhere once the guest turns it on. `iommu='on'` at \
              virtio devices does not need an IOMMU: it only means that the guest uses the DMA API.",
        example: "<iommu model='intel'/>",
        fix: "Remove it. There is no automatic fix: the guest sees another machine.",
        since: "0.1",
        source: "QEMU, hw/i386/intel_iommu.c and amd_iommu.c: tables are read by dma_memory_read; Linux, \
                 drivers/iommu/intel: tables are ordinary kernel memory.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(technology) = subject.technology() else { return Vec::new() };
    let element = subject.element(&["devices", "iommu"]);
    let Some(model) = element.and_then(|iommu| iommu.attribute("model")) else { return Vec::new() };
    if !matches!(&*model.value(), "intel" | "amd") {
        return Vec::new();
    }
    let message = format!(
        "QEMU cannot read the tables of this IOMMU: they are in the {technology} guest's encrypted memory"
    );
    vec![
        RULE.finding(model.value_span(), message)
            .help("remove the IOMMU; virtio's iommu='on' does not need one"),
    ]
}
