//! DEV006: a virtio device that has no non-transitional model, on the machine that asks for one.

use crate::finding::{Finding, MOST};
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;
use crate::virtio::Form;

pub(crate) static RULE: Rule = Rule {
    code: "DEV006",
    name: "virtio-without-non-transitional-model",
    severity: Severity::Note,
    allowable: true,
    page: Page {
        what: "A virtio video, sound, input, crypto, vsock or virtiofs device of a confidential guest on the legacy PC \
               machine.",
        why: "Virtio devices there should be of the model `virtio-non-transitional`, and these have none. libvirt's page \
              concludes that a virtio GPU cannot be used. QEMU itself makes these devices virtio 1.0 on every bus, so \
              that with `iommu='on'` they start (QEMU 10.0.2 was tried).",
        example: "<video>\n  <model type='virtio'/>\n</video>",
        fix: "Use a Q35 machine, or for video another model, such as `vga` or `bochs`.",
        since: "0.1",
        source: "libvirt, \"Launch security with AMD SEV\", section \"Virtio\", note; QEMU, hw/display/virtio-gpu-pci.c and \
                 its neighbours, virtio_pci_force_virtio_1.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    if subject.technology().is_none() || !subject.is_legacy_pc() {
        return Vec::new();
    }
    let devices = subject.virtio().filter(|device| device.form == Form::Either && !device.kind.has_forms());
    devices
        .take(MOST)
        .map(|device| {
            let name = device.name();
            let message =
                format!("a virtio {name} has no non-transitional model, as is asked for on this machine");
            RULE.finding(device.span(), message)
                .help("QEMU makes it a virtio 1.0 device by itself; a Q35 machine raises no such question")
        })
        .collect()
}
