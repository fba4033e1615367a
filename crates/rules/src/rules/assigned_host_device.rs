//! DEV010: a device of the host in a confidential guest.

use domain::Element;

use crate::Technology;
use crate::finding::{Finding, MOST};
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;
use crate::version::Version;

/// The only series of QEMU that had SEV-SNP and could not assign devices to its guests.
const BROKEN: Version = Version::new(9, 1, 0);
const MENDED: Version = Version::new(9, 2, 0);

pub(crate) static RULE: Rule = Rule {
    code: "DEV010",
    name: "assigned-host-device",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "A PCI or mediated device of the host that is assigned to a confidential guest: a `<hostdev>`, or an \
               `<interface type='hostdev'>`. For an SEV-SNP guest with QEMU 9.1 a warning, otherwise a note.",
        why: "The device cannot reach encrypted memory. Drivers that use the DMA API get bounce buffers, and all that the \
              device sees lies open to the host; drivers that do not use it fail. QEMU 9.1 cannot start SEV-SNP guests \
              with such a device at all (\"Cannot set discarding of RAM broken\").",
        example: "<hostdev mode='subsystem' type='pci' managed='yes'>\n  <source>\n    <address domain='0' bus='0x21' \
                  slot='0' function='0'/>\n  </source>\n</hostdev>",
        fix: "Encrypt what goes over the device, inside the guest. With SEV-SNP use QEMU 9.2 or newer.",
        since: "0.1",
        source: "Linux, Documentation/core-api/swiotlb.rst; QEMU 9.2, ChangeLog, VFIO; kubevirt issue 16407.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let (Some(technology), Some(devices)) = (subject.technology(), subject.element(&["devices"])) else {
        return Vec::new();
    };
    devices
        .children()
        .filter(is_assigned)
        .take(MOST)
        .map(|device| {
            let span = device.start_tag_span();
            let broken = subject.qemu().filter(|version| (BROKEN..MENDED).contains(version));
            match broken.filter(|_| technology == Technology::SevSnp) {
                Some(version) => {
                    let message = format!(
                        "QEMU {version} cannot start an SEV-SNP guest with a device of the host; {MENDED} can"
                    );
                    RULE.finding(span, message).help("update QEMU")
                }
                None => {
                    let message = format!(
                        "a device of the host reaches only what the {technology} guest shares with the host"
                    );
                    RULE.finding(span, message)
                        .severity(Severity::Note)
                        .help("the guest's driver must use the DMA API; encrypt what goes over the device")
                }
            }
        })
        .collect()
}

fn is_assigned(device: &Element<'_>) -> bool {
    let is_kind =
        |kinds: &[&str]| device.attribute("type").is_some_and(|kind| kinds.contains(&&*kind.value()));
    match device.name() {
        "hostdev" => is_kind(&["pci", "mdev"]),
        "interface" => is_kind(&["hostdev"]),
        _ => false,
    }
}
