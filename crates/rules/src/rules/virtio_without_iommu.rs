//! DEV002: a virtio device whose driver would give encrypted memory to the host.

use domain::model::Switch;
use domain::{Edit, NewElement};

use crate::Technology;
use crate::finding::{Finding, MOST};
use crate::fix::Fix;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;
use crate::version::{Version, older};
use crate::virtio::Virtio;

/// The first QEMU that turns the DMA API on for all virtio devices of a confidential guest.
pub(super) const BY_ITSELF: Version = Version::new(6, 0, 0);

pub(crate) static RULE: Rule = Rule {
    code: "DEV002",
    name: "virtio-without-iommu",
    severity: Severity::Error,
    allowable: true,
    page: Page {
        what: "A virtio device of a confidential guest without `<driver iommu='on'/>`: an error below QEMU 6.0, a note \
               from there on. With `iommu='off'` it is an error everywhere. Below QEMU 6.0 the memory balloon that a \
               guest gets unasked counts as well.",
        why: "Without the feature VIRTIO_F_ACCESS_PLATFORM the guest's driver hands the addresses of its own, encrypted \
              memory to the host instead of those of bounce buffers, and the host reads and writes what nobody can \
              make sense of: disks give garbage, networks are silent. From 6.0 on QEMU turns the feature on by itself \
              for every virtio device of a confidential guest that does not say otherwise.",
        example: "<memballoon model='virtio'/>",
        fix: "Write `<driver iommu='on'/>` in the device, or use QEMU 6.0 or newer. `sevirt fix --unsafe` writes it; it \
              is unsafe because the guest sees another feature of the device.",
        since: "0.1",
        source: "libvirt, \"Launch security with AMD SEV\", section \"Virtio\"; QEMU 6.0, hw/core/machine.c, \"confidential \
                 guest support: Alter virtio default properties for protected guests\"; virtio 1.2 §6, \
                 VIRTIO_F_ACCESS_PLATFORM.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(technology) = subject.technology() else { return Vec::new() };
    let qemu = subject.qemu();
    let missing = subject.virtio().filter(|device| device.iommu != Some(Switch::On));
    let mut findings: Vec<Finding> = missing.map(|device| judge(qemu, &device)).take(MOST).collect();
    findings.extend(unasked_balloon(subject, technology));
    findings
}

/// `device` does not say `iommu='on'`.
fn judge(qemu: Option<Version>, device: &Virtio<'_>) -> Finding {
    let name = device.name();
    let message = match qemu {
        _ if device.iommu.is_some() => {
            format!("iommu='off' leaves this virtio {name} without access to the guest's encrypted memory")
        }
        Some(version) if version < BY_ITSELF => format!(
            "this virtio {name} has no iommu='on', and QEMU {version} does not turn it on by itself as {} does",
            short(BY_ITSELF)
        ),
        version => {
            let qemu = version.map_or_else(|| "QEMU".to_owned(), |version| format!("QEMU {version}"));
            let first = short(BY_ITSELF);
            let message = format!(
                "this virtio {name} relies on {qemu} to turn iommu='on' by itself, as all from {first} on do"
            );
            let help = "write `<driver iommu='on'/>` if the domain must run with an older QEMU too";
            return RULE.finding(device.span(), message).severity(Severity::Note).help(help);
        }
    };
    let title = format!("turn the DMA API of the {name} on");
    RULE.finding(device.span(), message)
        .help("write `<driver iommu='on'/>` in it")
        .fix(Fix::unsafe_(title, vec![device.turn_on_iommu()]))
}

/// A guest without a `<memballoon>` gets one, and an old QEMU one that cannot work.
fn unasked_balloon(subject: &Subject<'_>, technology: Technology) -> Option<Finding> {
    let version = subject.qemu().filter(|_| older(subject.qemu(), BY_ITSELF))?;
    let devices = subject.element(&["devices"]).filter(|devices| devices.child("memballoon").is_none())?;
    let model = if subject.is_legacy_pc() { "virtio-non-transitional" } else { "virtio" };
    let driver = NewElement::new("driver").attribute("iommu", "on");
    let balloon = NewElement::new("memballoon").attribute("model", model).child(driver);
    let message = format!(
        "this {technology} guest gets a virtio memory balloon unasked, and QEMU {version} gives it no iommu='on'"
    );
    let edits = vec![Edit::insert_child(devices, &balloon)];
    Some(
        RULE.finding(devices.start_tag_span(), message)
            .help("write a `<memballoon>` with `<driver iommu='on'/>`, or `<memballoon model='none'/>`")
            .fix(Fix::unsafe_("write the memory balloon, with its DMA API on", edits)),
    )
}

/// As people say it: `6.0`.
fn short(version: Version) -> String {
    format!("{}.{}", version.major, version.minor)
}
