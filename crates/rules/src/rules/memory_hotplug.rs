//! MEM008: memory that is plugged into a confidential guest.

use crate::finding::Finding;
use crate::memory::mib;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "MEM008",
    name: "memory-hotplug",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "A confidential guest with `<maxMemory>`, or with memory devices (`<memory model='dimm'>`, `nvdimm`, \
               `virtio-mem`, `virtio-pmem`).",
        why: "Memory that is plugged while an SEV or SEV-ES guest runs is pinned then and there, and the guest ends if the \
              limit does not allow it; virtio-mem gives nothing back, because pages stay pinned. To an SEV-SNP guest \
              memory that was not there at launch is unaccepted, and its kernel does not take it.",
        example: "<maxMemory slots='4' unit='GiB'>16</maxMemory>",
        fix: "Give the guest from the start what it is to have. There is no automatic fix: the guest sees other memory.",
        since: "0.1",
        source: "QEMU, target/i386/sev.c, sev_ram_block_added; QEMU, hw/virtio/virtio-mem.c, ram_block_coordinated_discard.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(technology) = subject.technology() else { return Vec::new() };
    let mut findings = Vec::new();
    if let (Some(max), Some(element)) = (subject.domain.max_memory, subject.element(&["maxMemory"])) {
        let room = max.size.bytes().saturating_sub(subject.domain.memory.bytes());
        let message =
            format!("up to {} may be plugged into this {technology} guest, which pins them", mib(room));
        let limited = subject.hard_limit().is_some();
        let help = if limited { "a hard_limit must cover them; " } else { "" };
        let help = format!("{help}give the guest from the start what it is to have");
        findings.push(RULE.finding(element.start_tag_span(), message).help(help));
    }
    let Some(devices) = subject.element(&["devices"]) else { return findings };
    for device in devices.children().filter(|device| device.name() == "memory") {
        let message = format!("a memory device in an {technology} guest");
        findings.push(RULE.finding(device.start_tag_span(), message));
    }
    findings
}
