//! FW012: firmware that is made for other machine types.

use crate::finding::Finding;
use crate::firmware::suggestion;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "FW012",
    name: "firmware-for-another-machine",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "A `<loader>` whose firmware descriptors name other machine types or another architecture than the domain's.",
        why: "Distributions build some images for Q35 only, such as those with Secure Boot or the AmdSev build. On another \
              machine they may not start at all.",
        example: "<os>\n  <type arch='x86_64' machine='pc-i440fx-9.2'>hvm</type>\n  <loader type='pflash' \
                  readonly='yes'>/usr/share/OVMF/OVMF_CODE_4M.ms.fd</loader>\n</os>",
        fix: "Use a machine that the descriptor names, or another image; the finding lists those of this host. There is no \
              automatic fix: another image has another launch measurement.",
        since: "0.1",
        source: "QEMU, docs/interop/firmware.json, targets; libvirt, \"Launch security with AMD SEV\", section \"Machine \
                 type\".",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let (Some(_), Some(path)) = (subject.technology(), subject.loader_path()) else { return Vec::new() };
    let mut described =
        subject.facts.firmware.iter().filter(|loader| loader.descriptor.executable() == path).peekable();
    if described.peek().is_none() || described.any(|loader| subject.targets_match(&loader.descriptor)) {
        return Vec::new();
    }
    let Some(loader) = subject.element(&["os", "loader"]) else { return Vec::new() };
    let machine = subject.domain.os.machine.as_deref().unwrap_or("pc");
    let message = format!("firmware `{path}` is not made for machine `{machine}`, says its descriptor");
    vec![RULE.finding(loader.text_span(), message).help(suggestion(subject))]
}
