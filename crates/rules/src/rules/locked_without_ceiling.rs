//! MEM003: a guest that may lock all of the host's memory.

use crate::finding::Finding;
use crate::fix::Fix;
use crate::memory::mib;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "MEM003",
    name: "locked-without-ceiling",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "`<memoryBacking><locked/>` without a `<hard_limit>`, on a host whose machine.slice has no memory ceiling.",
        why: "With `<locked/>` nothing limits what QEMU may lock. A malicious or broken QEMU can then lock all of the \
              host's memory: a denial of service against the host and every other guest.",
        example: "<memoryBacking>\n  <locked/>\n</memoryBacking>",
        fix: "Set a ceiling for all guests together: `sevirt host limits --apply` computes and sets it. Or limit this guest \
              by a `<hard_limit>`, which also keeps guests from harming each other; `sevirt fix` writes the computed one, \
              a safe fix that the guest does not see.",
        since: "0.1",
        source: "libvirt, \"Launch security with AMD SEV\", section \"Memory\".",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let (Some(_), Some(slice)) = (subject.technology(), subject.facts.machine_slice.known()) else {
        return Vec::new();
    };
    let has_ceiling = slice.memory_high.is_some() || slice.memory_max.is_some();
    let Some(locked) = subject.element(&["memoryBacking", "locked"]) else { return Vec::new() };
    if has_ceiling || subject.hard_limit().is_some() {
        return Vec::new();
    }
    let sums = subject.sums();
    let (_, needed) = sums.needed();
    let message = format!(
        "this guest locks {}, and nothing on {} keeps it from locking all memory: machine.slice has no ceiling",
        mib(needed),
        subject.host()
    );
    let limit = sums.limit();
    vec![
        RULE.finding(locked.start_tag_span(), message)
            .help(format!(
                "set a ceiling for all guests (`sevirt host limits --apply`), or a hard_limit of {} for this one",
                mib(limit)
            ))
            .fix(Fix::safe(format!("set hard_limit to {}", mib(limit)), subject.set_hard_limit(limit))),
    ]
}
