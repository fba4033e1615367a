//! MEM001: nothing says how much memory QEMU may lock.

use domain::model::memory::MemTune;
use domain::{Edit, NewElement};

use crate::finding::Finding;
use crate::fix::Fix;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;
use crate::technology::Technology;

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
        fix: "Write `<memoryBacking><locked/></memoryBacking>` and limit all guests together, by \
              `systemctl set-property machine.slice MemoryMax=…`; or give a `<hard_limit>` of the guest's memory and \
              at least 256 MiB more. `sevirt fix` writes the first; it is a safe fix, the guest sees no difference. \
              SEV-SNP guests need neither: the kernel itself never moves their memory.",
        since: "0.1",
        source: "libvirt, \"Launch security with AMD SEV\", section \"Memory\".",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(technology @ (Technology::Sev | Technology::SevEs)) = subject.technology() else {
        return Vec::new();
    };
    let domain = subject.domain;
    let limited = domain.memtune.hard_limit.is_some_and(|limit| limit < MemTune::UNLIMITED);
    if domain.memory_backing.locked || limited {
        return Vec::new();
    }
    let mebibytes = domain.memory.0.div_ceil(1024);
    let message = format!(
        "nothing says how much memory this {technology} guest may pin; it pins all of its {mebibytes} MiB, and more"
    );
    let span = subject.nearest(&["memory"]);
    vec![
        RULE.finding(span, message)
            .help("write `<memoryBacking><locked/></memoryBacking>`, with a ceiling on machine.slice; or a hard_limit")
            .fix(Fix::safe("lock the guest's memory", vec![lock(subject)])),
    ]
}

fn lock(subject: &Subject<'_>) -> Edit {
    let locked = NewElement::new("locked");
    if let Some(backing) = subject.element(&["memoryBacking"]) {
        return Edit::insert_child(backing, &locked);
    }
    let backing = NewElement::new("memoryBacking").child(locked);
    match subject.element(&["currentMemory"]).or_else(|| subject.element(&["memory"])) {
        Some(before) => Edit::insert_after(before, &backing),
        None => Edit::insert_child(subject.document.root(), &backing),
    }
}
