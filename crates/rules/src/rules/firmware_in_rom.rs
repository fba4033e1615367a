//! FW004: SEV firmware that is not in flash.

use domain::Edit;
use domain::model::os::LoaderKind;

use crate::Technology;
use crate::finding::Finding;
use crate::fix::Fix;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "FW004",
    name: "firmware-in-rom",
    severity: Severity::Error,
    allowable: true,
    page: Page {
        what: "An SEV or SEV-ES guest whose `<loader>` is not of `type='pflash'`.",
        why: "QEMU encrypts and measures the firmware of such guests only when it is in flash. From a ROM the guest \
              would execute plain text as if it were encrypted, and nothing would be measured.",
        example: "<loader readonly='yes' type='rom'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>",
        fix: "Write `type='pflash'`. `sevirt fix` does; it is a safe fix, because the guest could not run before. \
              SEV-SNP is the other way round, see FW006.",
        since: "0.1",
        source: "libvirt, \"Launch security with AMD SEV\", section \"Boot loader\"; QEMU, hw/i386/pc_sysfw.c.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(technology @ (Technology::Sev | Technology::SevEs)) = subject.technology() else {
        return Vec::new();
    };
    let (Some(model), Some(element)) = (&subject.domain.os.loader, subject.element(&["os", "loader"])) else {
        return Vec::new();
    };
    if model.path.is_none() || model.kind == Some(LoaderKind::Pflash) || subject.is_malformed(element) {
        return Vec::new();
    }
    let span = element.attribute("type").map_or_else(|| element.start_tag_span(), |kind| kind.value_span());
    // Flash is writable unless told otherwise.
    let edits = ["readonly", "type"].into_iter().zip(["yes", "pflash"]);
    let edits = edits.map(|(name, value)| Edit::set_attribute(element, name, value)).collect();
    vec![
        RULE.finding(span, format!("the firmware of an {technology} guest must be in flash"))
            .help("write `type='pflash'`")
            .fix(Fix::safe("put the firmware into flash", edits)),
    ]
}
