//! MEM002: a limit that the guest cannot live with.

use qemu::memory::{Largest, Pinning};

use super::limit_beyond_host;
use crate::finding::Finding;
use crate::fix::Fix;
use crate::memory::{mib, told};
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "MEM002",
    name: "hard-limit-below-demand",
    severity: Severity::Error,
    allowable: true,
    page: Page {
        what: "A `<memtune><hard_limit>` below what the confidential guest takes of the host's memory.",
        why: "The limit bounds what QEMU may lock (RLIMIT_MEMLOCK) and what its control group may be charged for. SEV and \
              SEV-ES pin all of QEMU's memory while the guest is started: RAM, flash, option ROMs, video memory, ACPI \
              tables. Below that KVM refuses (\"failed to register region\"), which is an error. Above it, but below \
              what QEMU itself, the kernel's tables and, with `<locked/>`, all threads' stacks and heaps take, the \
              kernel kills the guest sooner or later, which is a warning; so is a limit that is too small for an \
              SEV-SNP guest, whose memory is charged as it is used.",
        example: "<memory unit='GiB'>4</memory>\n<memtune>\n  <hard_limit unit='GiB'>4</hard_limit>\n</memtune>",
        fix: "Set a limit that covers what is computed, item by item, from the domain itself. `sevirt fix` does; it is a \
              safe fix, the guest sees no difference.",
        since: "0.1",
        source: "Linux, arch/x86/kvm/svm/sev.c, sev_pin_memory; libvirt, \"Launch security with AMD SEV\", section \
                 \"Memory\"; docs/memory.md for the sums and how they were measured.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let (Some(technology), Some(limit), Some(element)) =
        (subject.technology(), subject.hard_limit(), subject.element(&["memtune", "hard_limit"]))
    else {
        return Vec::new();
    };
    let sums = subject.sums();
    let (largest, needed) = sums.needed();
    if limit >= needed || subject.is_malformed(element) {
        return Vec::new();
    }
    let pinned = sums.pinned.total();
    // The sizes of files that nobody has looked at are within a hundredth of the sum.
    let is_pinned = sums.pinning == Pinning::Registered || sums.locked;
    let cannot_start = is_pinned && (limit <= subject.domain.memory.bytes() || limit < pinned - pinned / 100);
    let (message, sum) = if cannot_start {
        let message = format!(
            "hard_limit is {}, but this {technology} guest pins {}: it cannot start",
            mib(limit),
            mib(pinned)
        );
        (message, &sums.pinned)
    } else {
        let what = match largest {
            Largest::Pinned => "pins",
            Largest::AddressSpace => "locks",
            Largest::Charge => "may use",
        };
        (
            format!("hard_limit is {}, but this {technology} guest {what} {}", mib(limit), mib(needed)),
            sums.largest(),
        )
    };
    let wanted = sums.limit();
    let mut finding = RULE.finding(element.text_span(), message).help(format!(
        "{}; {} leaves room for what may come later",
        told(sum),
        mib(wanted)
    ));
    if limit_beyond_host::exceeded(subject, wanted).is_none() {
        let title = format!("set hard_limit to {}", mib(wanted));
        finding = finding.fix(Fix::safe(title, subject.set_hard_limit(wanted)));
    }
    if !cannot_start {
        finding.severity = Severity::Warning;
    }
    vec![finding]
}
