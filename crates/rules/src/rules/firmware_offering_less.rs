//! FW018: firmware that can do more than its descriptor says.

use crate::finding::Finding;
use crate::firmware::is_uefi;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "FW018",
    name: "firmware-offering-less",
    severity: Severity::Note,
    allowable: true,
    page: Page {
        what: "A `<loader>` whose descriptor lacks `amd-sev-es` or `amd-sev-snp` in an SEV-ES or SEV-SNP guest, though the \
               image's own tables have what such a guest needs.",
        why: "The guest starts. But libvirt believes descriptors only: with `firmware='efi'` it would not choose this image, \
              and says that it found none.",
        example: "<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>",
        fix: "Nothing needs to be done while the path is written out. To have it chosen, put a descriptor that names the \
              feature into /etc/qemu/firmware.",
        since: "0.1",
        source: "QEMU, docs/interop/firmware.json, amd-sev-es and amd-sev-snp; libvirt, src/qemu/qemu_firmware.c.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let (Some(technology), Some(path)) = (subject.technology(), subject.loader_path()) else {
        return Vec::new();
    };
    let feature = technology.feature();
    let Some(described) = subject.described(path).filter(|loader| is_uefi(&loader.descriptor)) else {
        return Vec::new();
    };
    if described.descriptor.has(feature) || !described.offers(feature) || !described.can_boot_encrypted() {
        return Vec::new();
    }
    let Some(loader) = subject.element(&["os", "loader"]) else { return Vec::new() };
    let message = format!(
        "firmware `{path}` can boot {technology} guests, but its descriptor does not offer {feature}"
    );
    let help =
        "libvirt would not choose it for firmware='efi'; a descriptor in /etc/qemu/firmware may say more";
    vec![RULE.finding(loader.text_span(), message).help(help)]
}
