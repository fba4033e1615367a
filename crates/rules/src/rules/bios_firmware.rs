//! FW002: a confidential guest that would boot with a BIOS.

use domain::Edit;
use domain::model::os::Firmware as Selection;

use crate::finding::Finding;
use crate::firmware::is_uefi;
use crate::fix::Fix;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "FW002",
    name: "bios-firmware",
    severity: Severity::Error,
    allowable: true,
    page: Page {
        what: "A confidential guest without UEFI firmware: neither a `<loader>` with a path nor `firmware='efi'`, or \
               a loader that is known to be a BIOS.",
        why: "Only UEFI (OVMF) knows how to set up encrypted memory. Without a loader QEMU starts SeaBIOS, which \
              never sets the C-bit, and nothing that a guest owner could verify is measured.",
        example: "<os>\n  <type arch='x86_64' machine='q35'>hvm</type>\n</os>",
        fix: "Let sevirt choose a firmware that fits, `<os firmware='efi'>`, or name one in `<loader>`. `sevirt fix \
              --unsafe` does the first; it is unsafe because the guest's firmware, and with it the measurement, \
              becomes another.",
        since: "0.1",
        source: "libvirt, \"Launch security with AMD SEV\", section \"Boot loader\".",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(technology) = subject.technology() else { return Vec::new() };
    let os = &subject.domain.os;
    let element = subject.element(&["os"]);
    let fix = |finding: Finding| match element.filter(|_| can_choose(subject)) {
        Some(os) => {
            let edit = Edit::set_attribute(os, "firmware", "efi");
            finding.fix(Fix::unsafe_("choose a UEFI firmware by its descriptor", vec![edit]))
        }
        None => finding,
    };
    if os.firmware == Some(Selection::Bios) {
        let span = element.and_then(|os| os.attribute("firmware")).map(|firmware| firmware.value_span());
        let span = span.unwrap_or_else(|| subject.nearest(&["os"]));
        return vec![fix(
            RULE.finding(span, format!("{technology} works only with UEFI firmware, not with a BIOS"))
        )];
    }
    if subject.loader_path().is_none() {
        if os.firmware == Some(Selection::Efi) {
            return Vec::new();
        }
        let message = format!("no firmware is named, which means SeaBIOS; {technology} works only with UEFI");
        let finding = RULE.finding(subject.nearest(&["os"]), message);
        return vec![fix(finding).help("write `<os firmware='efi'>`, or name an OVMF image in `<loader>`")];
    }
    let descriptor = subject.firmware().and_then(|firmware| firmware.descriptor);
    match (descriptor, subject.element(&["os", "loader"])) {
        (Some(descriptor), Some(loader)) if !is_uefi(descriptor) => {
            let message = format!("this firmware is no UEFI; {technology} works only with UEFI");
            vec![RULE.finding(loader.text_span(), message).help(crate::firmware::suggestion(subject))]
        }
        _ => Vec::new(),
    }
}

/// Whether `firmware='efi'` would find something to choose.
fn can_choose(subject: &Subject<'_>) -> bool {
    let mut domain = subject.domain.clone();
    domain.os.firmware = Some(Selection::Efi);
    let asking = Subject { domain: &domain, ..*subject };
    asking.selected().is_some_and(|loader| loader.image.known().is_some())
}
