//! FW008: `firmware='efi'` where no firmware fits.

use domain::Span;
use domain::model::os::Firmware as Selection;
use host::Fact;

use crate::finding::Finding;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "FW008",
    name: "no-suitable-firmware",
    severity: Severity::Error,
    allowable: true,
    page: Page {
        what: "A confidential guest with `firmware='efi'` for which no firmware descriptor of this host fits, or whose \
               chosen descriptor names an image that is not there.",
        why: "Firmware is chosen by the descriptors in /etc/qemu/firmware and /usr/share/qemu/firmware: by machine \
              type, by the need of SMM, by the features asked for, and by whether the image can boot such a guest. \
              When none fits the guest cannot start.",
        example: "<os firmware='efi'>\n  <type arch='x86_64' machine='q35'>hvm</type>\n</os>",
        fix: "Install a firmware that fits, write a descriptor for one that you have, or name it in `<loader>`.",
        since: "0.1",
        source: "QEMU, docs/interop/firmware.json.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let asked = subject.domain.os.firmware == Some(Selection::Efi) && subject.loader_path().is_none();
    let Some(technology) = subject.technology().filter(|_| asked) else { return Vec::new() };
    let span = choice(subject);
    let Some(selected) = subject.selected() else {
        if subject.facts.firmware.is_empty() && subject.facts.unsaid.contains("firmware") {
            return Vec::new();
        }
        let message = format!("no firmware of this host can be chosen for an {technology} guest");
        let help = match subject.facts.firmware.len() {
            0 => "this host has no firmware descriptors: install OVMF".to_owned(),
            number => format!(
                "none of the {number} descriptors fits machine type, features, SMM and {} together",
                technology.feature()
            ),
        };
        return vec![RULE.finding(span, message).help(help)];
    };
    let image = selected.descriptor.executable();
    let why = match &selected.image {
        Fact::Known(_) => return Vec::new(),
        Fact::Absent => "which does not exist".to_owned(),
        Fact::Unreadable { why, .. } => format!("which cannot be read: {why}"),
    };
    let message = format!("the firmware descriptor that is chosen names `{image}`, {why}");
    vec![RULE.finding(span, message).help(format!("mend or mask `{}`", selected.path.display()))]
}

/// Where the domain asks for a choice of firmware.
pub(super) fn choice(subject: &Subject<'_>) -> Span {
    let firmware = subject.element(&["os"]).and_then(|os| os.attribute("firmware"));
    firmware.map_or_else(|| subject.nearest(&["os"]), |firmware| firmware.value_span())
}
