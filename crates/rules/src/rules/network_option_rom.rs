//! DEV007: a network card with a boot ROM that knows nothing of encrypted memory.

use domain::{Edit, Element, NewElement, Span};

use crate::finding::{Finding, MOST};
use crate::fix::Fix;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;
use crate::virtio::Kind;

pub(crate) static RULE: Rule = Rule {
    code: "DEV007",
    name: "network-option-rom",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "A virtio network interface of a confidential guest whose option ROM is not disabled.",
        why: "The ROM holds iPXE, which knows nothing of memory encryption: it gives the device addresses of encrypted \
              memory, and may hang the firmware that runs it. It is also code from the host that is not measured at \
              launch. OVMF has a network driver of its own.",
        example: "<interface type='network'>\n  <source network='default'/>\n  <model type='virtio'/>\n</interface>",
        fix: "Write `<rom enabled='no'/>`. `sevirt fix --unsafe` does; it is unsafe because the guest sees a device \
              without a ROM.",
        since: "0.1",
        source: "libvirt, \"Launch security with AMD SEV\", section \"Virtio-net\".",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    if subject.technology().is_none() {
        return Vec::new();
    }
    let interfaces = subject.virtio().filter(|device| device.kind == Kind::Interface);
    let with_rom = interfaces.filter(|device| !is_disabled(device.element.child("rom")));
    with_rom
        .take(MOST)
        .map(|device| {
            let (span, edit) = match device.element.child("rom") {
                Some(rom) => (rom.start_tag_span(), disable(rom)),
                None => (device.span(), add(device.element)),
            };
            RULE.finding(
                span,
                "this virtio network interface offers its boot ROM, iPXE, which cannot run encrypted",
            )
            .help("write `<rom enabled='no'/>`")
            .fix(Fix::unsafe_("disable the network interface's boot ROM", vec![edit]))
        })
        .collect()
}

/// `enabled='no'`, or one of the two older ways to say it.
fn is_disabled(rom: Option<Element<'_>>) -> bool {
    let is = |name: &str, value: &str| {
        rom.and_then(|rom| rom.attribute(name)).is_some_and(|attribute| attribute.value() == value)
    };
    is("enabled", "no") || is("bar", "off") || is("file", "")
}

/// libvirt takes no other attribute beside `enabled='no'`.
fn disable(rom: Element<'_>) -> Edit {
    match (rom.attributes().next(), rom.attributes().last()) {
        (Some(first), Some(last)) => {
            Edit::replace(Span::new(first.span().start, last.span().end), "enabled='no'")
        }
        _ => Edit::set_attribute(rom, "enabled", "no"),
    }
}

fn add(interface: Element<'_>) -> Edit {
    let rom = NewElement::new("rom").attribute("enabled", "no");
    let before = interface.child("driver").or_else(|| interface.child("model"));
    match before {
        Some(before) => Edit::insert_after(before, &rom),
        None => Edit::insert_child(interface, &rom),
    }
}
