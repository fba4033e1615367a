//! DEV004: virtio devices that speak the legacy protocol too.

use domain::Span;

use super::non_transitional_for_old_libvirt::FIRST_LIBVIRT;
use super::virtio_without_iommu::BY_ITSELF;
use crate::finding::{Finding, MOST};
use crate::fix::Fix;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;
use crate::version::older;
use crate::virtio::{Form, Virtio};

pub(crate) static RULE: Rule = Rule {
    code: "DEV004",
    name: "legacy-virtio",
    severity: Severity::Error,
    allowable: true,
    page: Page {
        what: "A virtio device of a confidential guest that is transitional: its model says so, or it sits on a \
               conventional PCI bus (all of the legacy PC machine; bus 0 and what is behind a bridge on Q35) and QEMU is \
               older than 6.0. On such a bus QEMU 6.0 and newer leave the legacy protocol out by themselves, which is a \
               note.",
        why: "The legacy protocol has no way to negotiate VIRTIO_F_ACCESS_PLATFORM, without which a device cannot reach a \
              confidential guest's memory. QEMU refuses to start the guest: \"VIRTIO_F_IOMMU_PLATFORM was supported by \
              neither legacy nor transitional device\".",
        example: "<rng model='virtio-transitional'>\n  <backend model='random'>/dev/urandom</backend>\n</rng>",
        fix: "Use the model `virtio-non-transitional` (libvirt 5.2.0 or newer), or Q35 with its usual addresses. `sevirt \
              fix --unsafe` writes the model; it is unsafe because the guest sees another device.",
        since: "0.1",
        source: "libvirt, \"Launch security with AMD SEV\", section \"Virtio\"; QEMU, hw/virtio/virtio-pci.c, \
                 virtio_pci_device_plugged and virtio_pci_realize; QEMU 6.0, hw/core/machine.c.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    if subject.technology().is_none() {
        return Vec::new();
    }
    subject.virtio().filter_map(|device| judge(subject, &device)).take(MOST).collect()
}

fn judge(subject: &Subject<'_>, device: &Virtio<'_>) -> Option<Finding> {
    let message = match device.form {
        Form::Transitional => {
            let name = device.name();
            format!("this {name} is transitional, which cannot reach a confidential guest's memory")
        }
        Form::Either if device.kind.has_forms() && subject.is_on_conventional_bus(device) => {
            if !older(subject.qemu(), BY_ITSELF) {
                return Some(left_to_qemu(subject, device));
            }
            let (version, name) = (subject.qemu()?, device.name());
            format!(
                "on a conventional PCI bus QEMU {version} makes this {name} transitional, \
                 which cannot reach a confidential guest's memory"
            )
        }
        Form::Either | Form::NonTransitional => return None,
    };
    let finding = RULE.finding(model(device), message);
    let libvirt = subject.libvirt().filter(|version| *version < FIRST_LIBVIRT);
    Some(match (libvirt, device.make_non_transitional()) {
        (Some(version), _) => finding.help(format!(
            "use a Q35 machine: libvirt {version} does not know the model `virtio-non-transitional`, {FIRST_LIBVIRT} does"
        )),
        (None, Some(edit)) => finding
            .help("use the model `virtio-non-transitional`, or a Q35 machine")
            .fix(Fix::unsafe_(format!("make the {} non-transitional", device.name()), vec![edit])),
        (None, None) => finding.help("use a Q35 machine"),
    })
}

fn left_to_qemu(subject: &Subject<'_>, device: &Virtio<'_>) -> Finding {
    let qemu = subject.qemu().map_or_else(|| "QEMU".to_owned(), |version| format!("QEMU {version}"));
    let name = device.name();
    RULE.finding(
        model(device),
        format!("on a conventional PCI bus this {name} relies on {qemu} to leave legacy virtio out"),
    )
    .severity(Severity::Note)
    .help("a QEMU before 6.0 would need the model `virtio-non-transitional`")
}

/// Where the device says its model.
fn model(device: &Virtio<'_>) -> Span {
    let element = device.element;
    let model = element.attribute("model");
    let model = model.or_else(|| element.child("model").and_then(|model| model.attribute("type")));
    model.map_or_else(|| device.span(), |model| model.value_span())
}
