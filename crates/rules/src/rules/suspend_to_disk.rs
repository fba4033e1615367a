//! OPS001: hibernation inside a confidential guest.

use domain::Edit;
use domain::model::Switch;

use crate::finding::Finding;
use crate::fix::Fix;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "OPS001",
    name: "suspend-to-disk",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "`<suspend-to-disk enabled='yes'/>` in a confidential guest.",
        why: "A guest that hibernates writes its memory to its disk, decrypted, for the host to read and change, unless the \
              disk's encryption is the guest's own. Waking up is a new launch, which must be attested anew.",
        example: "<pm>\n  <suspend-to-disk enabled='yes'/>\n</pm>",
        fix: "Write `enabled='no'`. `sevirt fix --unsafe` does; it is unsafe because the guest sees other ACPI tables.",
        since: "0.1",
        source: "AMD 55766 §2.1, threat model: disks are the host's; Linux, Documentation/power/swsusp.rst.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let element = subject.element(&["pm", "suspend-to-disk"]);
    let asked = subject.domain.pm.suspend_to_disk == Some(Switch::On);
    let (Some(technology), Some(element)) = (subject.technology(), element.filter(|_| asked)) else {
        return Vec::new();
    };
    let message =
        format!("an {technology} guest that hibernates writes its memory to the host's disk in the clear");
    let edit = Edit::set_attribute(element, "enabled", "no");
    vec![
        RULE.finding(element.start_tag_span(), message)
            .help("write `<suspend-to-disk enabled='no'/>`")
            .fix(Fix::unsafe_("offer no suspend to disk", vec![edit])),
    ]
}
