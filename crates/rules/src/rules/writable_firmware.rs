//! FW005: a firmware image that the guest can write to.

use domain::Edit;
use domain::model::Switch;
use domain::model::os::LoaderKind;

use crate::finding::Finding;
use crate::fix::Fix;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "FW005",
    name: "writable-firmware",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "A confidential guest whose firmware image in flash is not read-only.",
        why: "The guest can then write into the image file. The next start would measure other bytes than the \
              guest's owner expects, and every other guest that uses the same file would get them too.",
        example: "<loader type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>",
        fix: "Write `readonly='yes'` and keep the guest's variables in `<nvram>`. `sevirt fix --unsafe` adds the \
              attribute; it is unsafe because a firmware that keeps its variables in the same image loses them.",
        since: "0.1",
        source: "libvirt, \"Launch security with AMD SEV\", section \"Boot loader\".",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let (Some(model), Some(element)) = (&subject.domain.os.loader, subject.element(&["os", "loader"])) else {
        return Vec::new();
    };
    let in_flash = model.path.is_some() && model.kind == Some(LoaderKind::Pflash);
    if subject.technology().is_none() || !in_flash || model.readonly == Some(Switch::On) {
        return Vec::new();
    }
    let span =
        element.attribute("readonly").map_or_else(|| element.start_tag_span(), |attribute| attribute.span());
    let edit = Edit::set_attribute(element, "readonly", "yes");
    vec![
        RULE.finding(span, "the guest can write to its firmware image")
            .help("write `readonly='yes'`")
            .fix(Fix::unsafe_("make the firmware read-only", vec![edit])),
    ]
}
