//! MEM004: a limit that limits nothing.

use domain::model::memory::MemTune;
use host::Slice;

use crate::finding::Finding;
use crate::fix::Fix;
use crate::memory::mib;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "MEM004",
    name: "limit-beyond-host",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "A `<hard_limit>` of a confidential guest above the host's RAM, or above the ceiling of machine.slice.",
        why: "Such a limit protects nothing: the guest may lock all that the host has, or all that the other guests are \
              left with.",
        example: "<memtune>\n  <hard_limit unit='TiB'>4</hard_limit>\n</memtune>",
        fix: "Set what the guest needs. `sevirt fix` computes and writes it; it is a safe fix, the guest sees no \
              difference.",
        since: "0.1",
        source: "libvirt, \"Launch security with AMD SEV\", section \"Memory\"; Linux, \
                 Documentation/admin-guide/cgroup-v2.rst, memory.max.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let (Some(_), Some(limit), Some(element)) =
        (subject.technology(), subject.hard_limit(), subject.element(&["memtune", "hard_limit"]))
    else {
        return Vec::new();
    };
    let Some((what, most)) = exceeded(subject, limit) else { return Vec::new() };
    let wanted = subject.sums().limit();
    let message =
        format!("hard_limit is {}, more than {what} on {}, {}", mib(limit), subject.host(), mib(most));
    let finding = RULE.finding(element.text_span(), message);
    // A guest that needs so much is another rule's.
    if wanted > most {
        return vec![finding];
    }
    vec![
        finding
            .help(format!("{} are enough for this guest", mib(wanted)))
            .fix(Fix::safe(format!("set hard_limit to {}", mib(wanted)), subject.set_hard_limit(wanted))),
    ]
}

/// What a limit in bytes is more than on this host, and how much that is. No fix sets such a limit.
pub(super) fn exceeded(subject: &Subject<'_>, limit: u64) -> Option<(&'static str, u64)> {
    let ram = subject.facts.memory_bytes();
    let ceiling = subject.facts.machine_slice.known().and_then(Slice::ceiling);
    let unlimited = MemTune::UNLIMITED.bytes();
    match (ram, ceiling) {
        _ if limit >= unlimited => Some(("libvirt takes for a limit", unlimited)),
        (_, Some(ceiling)) if limit > ceiling => Some(("the ceiling of machine.slice", ceiling)),
        (Some(ram), _) if limit > ram => Some(("all of its RAM", ram)),
        _ => None,
    }
}
