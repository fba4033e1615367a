//! DEV009: a floppy drive.

use crate::finding::{Finding, MOST};
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "DEV009",
    name: "floppy-drive",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "A floppy drive in a confidential guest.",
        why: "The drive moves its data by ISA DMA, and Linux' driver gives it addresses of encrypted memory: it does not \
              use the DMA API, which would give it bounce buffers. What is read is garbage.",
        example: "<disk type='file' device='floppy'>\n  <source file='/var/lib/libvirt/images/driver.img'/>\n  <target \
                  dev='fda' bus='fdc'/>\n</disk>",
        fix: "Give the image as a disk or a CD-ROM. There is no automatic fix: the guest finds it elsewhere.",
        since: "0.1",
        source: "Linux, arch/x86/include/asm/floppy.h, hard_dma_setup; Linux, Documentation/core-api/dma-isa-lpc.rst.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let (Some(technology), Some(devices)) = (subject.technology(), subject.element(&["devices"])) else {
        return Vec::new();
    };
    let drives = devices
        .children_named("disk")
        .filter(|disk| disk.attribute("device").is_some_and(|device| device.value() == "floppy"));
    drives
        .take(MOST)
        .map(|disk| {
            let message =
                format!("a floppy drive cannot reach the encrypted memory of an {technology} guest");
            RULE.finding(disk.start_tag_span(), message).help("give the image as a disk or a CD-ROM")
        })
        .collect()
}
