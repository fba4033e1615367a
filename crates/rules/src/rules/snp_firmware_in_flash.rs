//! FW006: SEV-SNP firmware in flash.

use domain::Edit;
use domain::model::os::LoaderKind;

use crate::Technology;
use crate::finding::Finding;
use crate::fix::Fix;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "FW006",
    name: "snp-firmware-in-flash",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "An SEV-SNP guest whose `<loader>` is of `type='pflash'`, or that has an `<nvram>`.",
        why: "KVM offers no read-only memory to SEV-SNP guests, so QEMU cannot give them flash (\"pflash with kvm \
              requires KVM readonly memory support\"), and without flash there is no place for variables. sevirt loads \
              such a firmware as a ROM and leaves `<nvram>` out; libvirt 11.3 fails to start the guest.",
        example: "<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF.amdsev.fd</loader>\n\
                  <nvram>/var/lib/libvirt/qemu/nvram/guest_VARS.fd</nvram>",
        fix: "Write `type='rom'` and remove `<nvram>`. `sevirt fix` does both; it is a safe fix, because that is how the \
              guest is started anyway.",
        since: "0.1",
        source: "QEMU, hw/i386/pc_sysfw.c; Linux, KVM_CAP_READONLY_MEM of an SEV-SNP VM.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    if subject.technology() != Some(Technology::SevSnp) {
        return Vec::new();
    }
    let loader = subject.element(&["os", "loader"]);
    let kind = subject.domain.os.loader.as_ref().and_then(|loader| loader.kind);
    let mut edits = Vec::new();
    let mut spans = Vec::new();
    if let (Some(loader), Some(LoaderKind::Pflash)) = (loader, kind) {
        spans
            .push(loader.attribute("type").map_or_else(|| loader.start_tag_span(), |kind| kind.value_span()));
        edits.push(Edit::set_attribute(loader, "type", "rom"));
        edits.extend(Edit::remove_attribute(loader, "readonly"));
    }
    if let Some(nvram) = subject.element(&["os", "nvram"]) {
        spans.push(nvram.start_tag_span());
        edits.push(Edit::remove_element(nvram));
    }
    let Some((first, others)) = spans.split_first() else { return Vec::new() };
    let finding = RULE
        .finding(*first, "an SEV-SNP guest cannot have flash: its firmware is loaded as a ROM")
        .help("write `type='rom'` and leave out `<nvram>`; libvirt would fail to start the guest")
        .fix(Fix::safe("load the firmware as a ROM, without variables", edits));
    let finding = others
        .iter()
        .fold(finding, |finding, span| finding.label(*span, "there is no flash to keep these variables in"));
    vec![finding]
}
