//! FW003: a loader that is not there.

use host::Fact;

use crate::finding::Finding;
use crate::firmware::suggestion;
use crate::fix::Fix;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "FW003",
    name: "missing-firmware",
    severity: Severity::Error,
    allowable: true,
    page: Page {
        what: "A `<loader>` whose file does not exist on this host, or cannot be read.",
        why: "Distributions keep OVMF in different places, so a domain that was written on one host often names a \
              path that another does not have. The guest cannot start.",
        example: "<loader readonly='yes' type='pflash'>/usr/share/edk2/ovmf/OVMF_CODE.fd</loader>",
        fix: "Name one of the images that this host has; the finding lists them. `sevirt fix --unsafe` writes the \
              first. It is unsafe because another image has another launch measurement, which the guest's owner \
              must expect. `sevirt lab run` substitutes an image by itself and says so.",
        since: "0.1",
        source: "QEMU, docs/interop/firmware.json.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let (Some(path), Some(loader)) = (subject.loader_path(), subject.element(&["os", "loader"])) else {
        return Vec::new();
    };
    let message = match subject.firmware().and_then(|firmware| firmware.image) {
        Some(Fact::Absent) => format!("firmware image `{path}` does not exist on this host"),
        Some(Fact::Unreadable { why, .. }) => format!("firmware image `{path}` cannot be read: {why}"),
        Some(Fact::Known(_)) | None => return Vec::new(),
    };
    let finding = RULE.finding(loader.text_span(), message).help(suggestion(subject));
    let found = subject.usable().next().map(|loader| loader.descriptor.executable().to_owned());
    vec![match found {
        Some(found) => {
            let edit = domain::Edit::set_text(loader, &found);
            finding.fix(Fix::unsafe_(format!("use {found}"), vec![edit]))
        }
        None => finding,
    }]
}
