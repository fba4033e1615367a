//! FW001: a confidential guest on the legacy PC machine.

use crate::finding::Finding;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "FW001",
    name: "i440fx-machine",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "A confidential guest whose machine type is the legacy PC (`pc`, `pc-i440fx-…`), or has none, which \
               means the same.",
        why: "OVMF built with Secure Boot needs SMM, which only Q35 has, and the firmware of most distributions is \
              made for Q35 first. Virtio devices sit on a conventional PCI bus there and are transitional unless \
              they say otherwise, and SEV does not work with legacy virtio.",
        example: "<os>\n  <type arch='x86_64' machine='pc-i440fx-3.0'>hvm</type>\n</os>",
        fix: "Use `machine='q35'`. There is no automatic fix: the PCI addresses of an existing domain belong to the \
              old machine, and the guest would see other devices.",
        since: "0.1",
        source: "libvirt, \"Launch security with AMD SEV\", section \"Machine type\".",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    if subject.technology().is_none() {
        return Vec::new();
    }
    let machine = subject.domain.os.machine.as_deref();
    let legacy = machine.is_none_or(|name| name == "pc" || name.starts_with("pc-i440fx-"));
    if !legacy {
        return Vec::new();
    }
    let span = subject
        .element(&["os", "type"])
        .and_then(|kind| kind.attribute("machine"))
        .map_or_else(|| subject.nearest(&["os", "type"]), |machine| machine.value_span());
    let message = match machine {
        Some(name) => format!("the legacy PC machine `{name}` is discouraged for confidential guests"),
        None => {
            "no machine type means the legacy PC, which is discouraged for confidential guests".to_owned()
        }
    };
    let help =
        "use `machine='q35'` in a new domain; in an existing one its PCI addresses must change as well";
    vec![RULE.finding(span, message).help(help)]
}
