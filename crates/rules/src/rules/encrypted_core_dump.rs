//! OPS003: dumps of encrypted memory.

use domain::{Edit, Element};

use crate::Technology;
use crate::finding::{Finding, MOST};
use crate::fix::Fix;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "OPS003",
    name: "encrypted-core-dump",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "A confidential guest that is to be dumped: `<on_crash>` with `coredump-destroy` or `coredump-restart`, a \
               `<watchdog action='dump'>`, or `<memory dumpCore='on'>`.",
        why: "The host reads nothing but ciphertext, so that the dump is as large as the guest and says nothing; with SEV-SNP \
              it cannot read the memory at all. Have the guest dump itself (kdump).",
        example: "<on_crash>coredump-restart</on_crash>",
        fix: "Write `destroy` or `restart`, another watchdog action, and leave dumpCore out. `sevirt fix` does, all but the \
              watchdog; it is a safe fix, because the guest does not see it.",
        since: "0.1",
        source: "AMD APM volume 2 §15.34, SEV; QEMU, dump/dump.c; libvirt, \"Domain XML format\", section \"Events \
                 configuration\".",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(technology) = subject.technology() else { return Vec::new() };
    let crash = subject.element(&["on_crash"]).and_then(|action| judge_crash(technology, action));
    let core = subject.element(&["memory"]).and_then(|memory| judge_memory(technology, memory));
    let devices = subject.element(&["devices"]).into_iter();
    let watchdogs = devices
        .flat_map(|devices| devices.children_named("watchdog"))
        .filter_map(|watchdog| judge_watchdog(technology, watchdog))
        .take(MOST);
    core.into_iter().chain(crash).chain(watchdogs).collect()
}

fn judge_crash(technology: Technology, action: Element<'_>) -> Option<Finding> {
    let text = action.text();
    let instead =
        text.trim().strip_prefix("coredump-").filter(|word| matches!(*word, "destroy" | "restart"))?;
    let message = format!("a dump of an {technology} guest has nothing but ciphertext");
    let edit = Edit::set_text(action, instead);
    Some(
        RULE.finding(action.text_span(), message)
            .help(format!("write `{instead}`, and have the guest dump itself (kdump)"))
            .fix(Fix::safe(format!("{instead} a crashed guest without a dump"), vec![edit])),
    )
}

fn judge_memory(technology: Technology, memory: Element<'_>) -> Option<Finding> {
    let core = memory.attribute("dumpCore").filter(|core| core.value() == "on")?;
    let message =
        format!("the memory of an {technology} guest says nothing in a core dump of QEMU: it is encrypted");
    let edit = Edit::remove_attribute(memory, "dumpCore")?;
    Some(
        RULE.finding(core.span(), message)
            .help("remove dumpCore")
            .fix(Fix::safe("leave the guest's memory out of core dumps", vec![edit])),
    )
}

fn judge_watchdog(technology: Technology, watchdog: Element<'_>) -> Option<Finding> {
    let action = watchdog.attribute("action").filter(|action| action.value() == "dump")?;
    let message = format!("a dump of an {technology} guest has nothing but ciphertext");
    Some(RULE.finding(action.value_span(), message).help("choose another action, such as `pause`"))
}
