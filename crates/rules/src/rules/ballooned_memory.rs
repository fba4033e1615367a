//! MEM007: a balloon that takes memory from the guest and gives none to the host.

use domain::Edit;

use crate::finding::Finding;
use crate::fix::Fix;
use crate::memory::{mib, set_kib};
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "MEM007",
    name: "ballooned-memory",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "A confidential guest whose `<currentMemory>` is less than its `<memory>`, or whose balloon reports free \
               pages (`freePageReporting='on'`).",
        why: "A balloon takes pages from the guest so that the host can use them. Pages of a confidential guest are pinned: \
              QEMU leaves them where they are. The guest loses the memory and nobody gains it.",
        example: "<memory unit='GiB'>8</memory>\n<currentMemory unit='GiB'>4</currentMemory>",
        fix: "Give the guest from the start what it is to have: both the same. `sevirt fix --unsafe` raises currentMemory; it \
              is unsafe because the guest then sees more memory. Reporting is turned off by a safe fix: it did nothing.",
        since: "0.1",
        source: "QEMU, target/i386/sev.c, ram_block_discard_disable; QEMU, system/balloon.c.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(technology) = subject.technology() else { return Vec::new() };
    let domain = subject.domain;
    let mut findings = Vec::new();
    if let (Some(current), Some(element)) = (domain.current_memory, subject.element(&["currentMemory"]))
        && current < domain.memory
        && !subject.is_malformed(element)
    {
        let message = format!(
            "the balloon takes {} from this {technology} guest, and the host cannot use them: they stay pinned",
            mib(domain.memory.bytes() - current.bytes())
        );
        findings.push(
            RULE.finding(element.text_span(), message)
                .help("give the guest from the start what it is to have")
                .fix(Fix::unsafe_("set currentMemory to memory", set_kib(element, domain.memory))),
        );
    }
    let balloon = subject.element(&["devices", "memballoon"]);
    if let Some(balloon) = balloon.filter(|balloon| {
        balloon.attribute("freePageReporting").is_some_and(|reporting| reporting.value() == "on")
    }) && let Some(edit) = Edit::remove_attribute(balloon, "freePageReporting")
    {
        let span =
            balloon.attribute("freePageReporting").map_or_else(|| balloon.start_tag_span(), |it| it.span());
        let message = format!(
            "the host cannot use the free pages that an {technology} guest reports: they stay pinned"
        );
        findings.push(RULE.finding(span, message).fix(Fix::safe("report no free pages", vec![edit])));
    }
    findings
}
