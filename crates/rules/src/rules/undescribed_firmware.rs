//! FW020: `firmware='efi'` where every descriptor's image is one that cannot start.

use domain::model::os::Firmware as Selection;

use crate::finding::Finding;
use crate::rule::{Page, Rule, Severity};
use crate::rules::no_suitable_firmware::choice;
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "FW020",
    name: "undescribed-firmware",
    severity: Severity::Note,
    allowable: true,
    page: Page {
        what: "A confidential guest with `firmware='efi'` for which no firmware descriptor of this host names an image \
               that could start, so that sevirt takes one that no descriptor names.",
        why: "Debian 12's descriptors name builds whose first code is of 32 bits (FW007); the build for SEV lies beside \
              them as OVMF_CODE.fd. sevirt looks at three places where distributions put such builds and takes the first \
              whose first code is of 64 bits, always the same one. libvirt believes descriptors only: with it the same \
              definition hangs in its firmware's first instructions.",
        example: "<os firmware='efi'>\n  <type arch='x86_64' machine='q35'>hvm</type>\n</os>",
        fix: "Nothing needs to be done: the definition that is stored names the image and the guest's own variables. To \
              have libvirt choose it too, put a descriptor that names it into /etc/qemu/firmware.",
        since: "0.1",
        source: "QEMU, docs/interop/firmware.json; libvirt, src/qemu/qemu_firmware.c.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let asked = subject.domain.os.firmware == Some(Selection::Efi) && subject.loader_path().is_none();
    let (Some(technology), Some(selected)) = (
        subject.technology().filter(|_| asked),
        subject.selected().filter(|selected| selected.is_undescribed()),
    ) else {
        return Vec::new();
    };
    let message = format!(
        "no firmware descriptor of {} names an image that can start an {technology} guest",
        subject.host()
    );
    let help = format!("sevirt takes `{}`", selected.descriptor.executable());
    vec![RULE.finding(choice(subject), message).help(help)]
}
