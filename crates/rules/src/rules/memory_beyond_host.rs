//! MEM005: a guest that is larger than its host.

use host::Slice;

use crate::finding::Finding;
use crate::memory::{mib, told};
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "MEM005",
    name: "memory-beyond-host",
    severity: Severity::Error,
    allowable: true,
    page: Page {
        what: "A confidential guest that needs more memory than the host has, or than machine.slice allows.",
        why: "The memory of an SEV or SEV-ES guest is pinned as a whole when it starts, and that of an SEV-SNP guest is \
              never swapped out. More RAM than the host has is an error. RAM that fits where all that the guest needs \
              does not is a warning, as is a guest that does not fit below the ceiling of machine.slice: it may be \
              killed, or stand still.",
        example: "<memory unit='TiB'>64</memory>",
        fix: "Give the guest less memory, or raise the ceiling (`sevirt host limits`). There is no automatic fix: how much \
              memory the guest needs is its user's choice.",
        since: "0.1",
        source: "Linux, arch/x86/kvm/svm/sev.c, sev_pin_memory; Linux, Documentation/admin-guide/cgroup-v2.rst.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let (Some(technology), Some(element)) = (subject.technology(), subject.element(&["memory"])) else {
        return Vec::new();
    };
    let ram = subject.facts.memory_bytes();
    let ceiling = subject.facts.machine_slice.known().and_then(Slice::ceiling);
    let smallest = ram.into_iter().chain(ceiling).min();
    // What a guest needs beside its RAM is never so much that a far larger host need be asked about it.
    let own = subject.domain.memory.bytes();
    if smallest.is_none_or(|smallest| own < smallest / 4) || subject.is_malformed(element) {
        return Vec::new();
    }
    let sums = subject.sums();
    let (_, needed) = sums.needed();
    let host = subject.host();
    let (severity, message) = match (ram, ceiling) {
        (Some(ram), _) if own > ram => {
            let message = format!("this {technology} guest has {} of memory, {host} {}", mib(own), mib(ram));
            (Severity::Error, message)
        }
        (_, Some(ceiling)) if needed > ceiling => {
            let message = format!(
                "this {technology} guest needs {}, machine.slice on {host} allows {}",
                mib(needed),
                mib(ceiling)
            );
            (Severity::Warning, message)
        }
        (Some(ram), _) if needed > ram => (
            Severity::Warning,
            format!("this {technology} guest needs {}, {host} has {}", mib(needed), mib(ram)),
        ),
        _ => return Vec::new(),
    };
    let mut finding = RULE.finding(element.text_span(), message).help(told(sums.largest()));
    finding.severity = severity;
    vec![finding]
}
