//! MEM001: nothing says how much memory QEMU may lock.

use super::limit_beyond_host;
use crate::Technology;
use crate::finding::Finding;
use crate::fix::Fix;
use crate::memory::{mib, told};
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "MEM001",
    name: "unpinned-memory",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "An SEV or SEV-ES guest with neither `<memoryBacking><locked/>` nor `<memtune><hard_limit>`.",
        why: "QEMU pins all of such a guest's memory: RAM, flash, option ROMs, video memory. With nothing said \
              libvirt leaves the limit of its own process in force (8 MiB by default), and the guest dies while it \
              is started (\"failed to register region\").",
        example: "<domain type='kvm'>\n  <memory unit='GiB'>4</memory>\n  <launchSecurity type='sev'>…",
        fix: "Give a `<hard_limit>` that covers what the guest pins and what QEMU takes beside: `sevirt fix` computes it \
              from the domain, item by item, and writes it; it is a safe fix, the guest sees no difference. Or write \
              `<memoryBacking><locked/></memoryBacking>` and limit all guests together, by `sevirt host limits --apply` or \
              `systemctl set-property machine.slice MemoryMax=…`. SEV-SNP guests need neither: the kernel itself never \
              moves their memory.",
        since: "0.1",
        source: "libvirt, \"Launch security with AMD SEV\", section \"Memory\".",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(technology @ (Technology::Sev | Technology::SevEs)) = subject.technology() else {
        return Vec::new();
    };
    if subject.domain.memory_backing.locked || subject.hard_limit().is_some() {
        return Vec::new();
    }
    let sums = subject.sums();
    let message = format!(
        "nothing says how much memory this {technology} guest may pin; it pins {}",
        mib(sums.pinned.total())
    );
    let limit = sums.limit();
    let finding = RULE.finding(subject.nearest(&["memory"]), message).help(format!(
        "{}; write a hard_limit of {}, or `<memoryBacking><locked/></memoryBacking>` with a ceiling on machine.slice",
        told(&sums.pinned),
        mib(limit)
    ));
    if limit_beyond_host::exceeded(subject, limit).is_some() {
        return vec![finding];
    }
    let title = format!("set hard_limit to {}", mib(limit));
    vec![finding.fix(Fix::safe(title, subject.set_hard_limit(limit)))]
}
