//! SEV021: a choice of memory that an SEV-SNP guest hardly uses.

use domain::model::memory::MemorySource;

use crate::Technology;
use crate::finding::Finding;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "SEV021",
    name: "snp-memory-backing",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "An SEV-SNP guest whose `<memoryBacking>` asks for huge pages or a file.",
        why: "The private memory of such a guest, nearly all that it uses, is in a guest_memfd of ordinary pages. What is \
              asked for backs only what the guest shares with the host, but is reserved for all of its memory: with huge \
              pages, or allocated at once, the guest takes up to twice its size.",
        example: "<memoryBacking>\n  <hugepages/>\n</memoryBacking>",
        fix: "Remove it. There is no automatic fix: a device such as virtiofs may need shared memory.",
        since: "0.1",
        source: "Linux, Documentation/virt/kvm/api.rst, KVM_CREATE_GUEST_MEMFD; QEMU, system/physmem.c, RAM_GUEST_MEMFD.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    if subject.technology() != Some(Technology::SevSnp) {
        return Vec::new();
    }
    let backing = &subject.domain.memory_backing;
    let hugepages = backing.hugepages.is_some().then_some(("hugepages", "huge pages back"));
    let file = (backing.source == Some(MemorySource::File)).then_some(("source", "this file backs"));
    let asked = hugepages.into_iter().chain(file);
    asked
        .filter_map(|(name, what)| {
            let element = subject.element(&["memoryBacking", name])?;
            let message =
                format!("{what} only what an SEV-SNP guest shares with the host, not its private memory");
            Some(
                RULE.finding(element.start_tag_span(), message)
                    .help("remove it: with it the guest may take up to twice its memory"),
            )
        })
        .collect()
}
