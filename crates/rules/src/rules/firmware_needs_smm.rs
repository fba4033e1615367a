//! FW011: firmware that needs system management mode where the guest has none.

use domain::model::Switch;

use crate::Technology;
use crate::finding::Finding;
use crate::firmware::suggestion;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "FW011",
    name: "firmware-needs-smm",
    severity: Severity::Error,
    allowable: true,
    page: Page {
        what: "A `<loader>` whose firmware descriptor says `requires-smm` in a confidential guest that has no system \
               management mode: SEV-ES and SEV-SNP guests never have it, no guest has it with `<smm state='off'/>`, and on \
               the legacy PC machine such firmware cannot use it.",
        why: "The firmware stops in its first phase, in an endless loop and without a word.",
        example: "<os>\n  <type arch='x86_64' machine='q35'>hvm</type>\n  <loader readonly='yes' \
                  type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.secboot.fd</loader>\n</os>\n<launchSecurity type='sev'>\n  \
                  <policy>0x0007</policy>\n</launchSecurity>",
        fix: "Name a firmware that does not need it; the finding lists those of this host. There is no automatic fix: \
              another image has another launch measurement.",
        since: "0.1",
        source: "QEMU, docs/interop/firmware.json, requires-smm; OVMF, OvmfPkg/SmmAccess/SmmAccessPei.c; libvirt, \"Launch \
                 security with AMD SEV\", section \"Machine type\".",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let (Some(technology), Some(path)) = (subject.technology(), subject.loader_path()) else {
        return Vec::new();
    };
    let needs = subject.described(path).is_some_and(|loader| loader.descriptor.has("requires-smm"));
    let off = subject.domain.features.smm.is_some_and(|smm| smm.state == Switch::Off);
    let without = match technology {
        _ if !needs => return Vec::new(),
        Technology::SevEs | Technology::SevSnp => format!("{technology} guests do not have it"),
        Technology::Sev if off => "this domain turns it off".to_owned(),
        Technology::Sev if subject.is_legacy_pc() => "it can use it on Q35 machines only".to_owned(),
        Technology::Sev => return Vec::new(),
    };
    let Some(loader) = subject.element(&["os", "loader"]) else { return Vec::new() };
    let message = format!("firmware `{path}` needs system management mode, and {without}");
    vec![RULE.finding(loader.text_span(), message).help(suggestion(subject))]
}
