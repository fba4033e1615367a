//! DEV005: a model of device that this host's libvirt does not know.

use crate::finding::{Finding, MOST};
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;
use crate::version::Version;
use crate::virtio::Form;

/// The first libvirt with the non-transitional models.
pub(super) const FIRST_LIBVIRT: Version = Version::new(5, 2, 0);

pub(crate) static RULE: Rule = Rule {
    code: "DEV005",
    name: "non-transitional-for-old-libvirt",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "A device of the model `virtio-non-transitional` on a host whose libvirt is older than 5.2.0.",
        why: "That libvirt does not know the model and refuses the domain. sevirt runs it.",
        example: "<memballoon model='virtio-non-transitional'>\n  <driver iommu='on'/>\n</memballoon>",
        fix: "Update libvirt, or use a Q35 machine with the model `virtio`, which is not transitional there.",
        since: "0.1",
        source: "libvirt, \"Launch security with AMD SEV\", section \"Virtio\"; libvirt, release notes of 5.2.0.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(version) = subject.libvirt().filter(|version| *version < FIRST_LIBVIRT) else {
        return Vec::new();
    };
    if subject.technology().is_none() {
        return Vec::new();
    }
    let devices = subject.virtio().filter(|device| device.form == Form::NonTransitional);
    devices
        .take(MOST)
        .map(|device| {
            let name = device.name();
            let message = format!(
                "libvirt {version} refuses the model of this {name}: `virtio-non-transitional` came with {FIRST_LIBVIRT}"
            );
            RULE.finding(device.span(), message).help("update libvirt, or use a Q35 machine with model `virtio`")
        })
        .collect()
}
