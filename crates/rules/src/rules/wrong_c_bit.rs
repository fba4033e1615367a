//! SEV004: memory encryption parameters of another host.

use domain::Edit;

use crate::finding::Finding;
use crate::fix::Fix;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "SEV004",
    name: "wrong-c-bit",
    severity: Severity::Error,
    allowable: true,
    page: Page {
        what: "A `<cbitpos>` that is not this host's, or a `<reducedPhysBits>` that is not 1.",
        why: "The C-bit is a property of the processor: 47 on EPYC 7001 and 7002 (Naples, Rome) and 51 on later ones. With \
              another one QEMU refuses to start the guest (\"cbitpos check failed\"). A guest loses one bit of physical \
              address, the C-bit itself, on every processor; what CPUID reports (often 5) is what the host loses. QEMU \
              refuses values that are not from 1 to 63; with one from 2 on the guest believes in fewer address bits than \
              it has, which is a warning.",
        example: "<launchSecurity type='sev'>\n  <cbitpos>47</cbitpos>\n  <reducedPhysBits>1</reducedPhysBits>",
        fix: "Leave both out: they are filled in at start. Or write this host's. `sevirt fix` writes this host's C-bit, \
              and 1; it is a safe fix for the C-bit and where QEMU refuses the guest, otherwise an unsafe one, because \
              the guest sees another address width.",
        since: "0.1",
        source: "AMD APM volume 3, CPUID 8000_001F EBX; QEMU, target/i386/sev.c, sev_common_kvm_init and \
                 docs/system/i386/amd-memory-encryption.rst, reduced-phys-bits.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(security) = &subject.domain.launch_security else { return Vec::new() };
    let c_bit = security.cbitpos().and_then(|written| judge_c_bit(subject, written));
    let reduction = security.reduced_phys_bits().and_then(|written| judge_reduction(subject, written));
    c_bit.into_iter().chain(reduction).collect()
}

fn judge_c_bit(subject: &Subject<'_>, written: u32) -> Option<Finding> {
    // A processor without SEV has no C-bit to compare with.
    let cpu = subject.facts.cpu.memory_encryption.known().filter(|cpu| cpu.sev)?;
    let (real, host) = (cpu.cbitpos, subject.host());
    let element = subject.element(&["launchSecurity", "cbitpos"]).filter(|_| written != real)?;
    let edit = Edit::set_text(element, &real.to_string());
    Some(
        RULE.finding(element.text_span(), format!("cbitpos is {written}, but {host}'s C-bit is {real}"))
            .help(format!("leave `<cbitpos>` out to get each host's own, or write {real}"))
            .fix(Fix::safe(format!("set cbitpos to {real}"), vec![edit])),
    )
}

fn judge_reduction(subject: &Subject<'_>, written: u32) -> Option<Finding> {
    let element = subject.element(&["launchSecurity", "reducedPhysBits"]).filter(|_| written != 1)?;
    let edits = vec![Edit::set_text(element, "1")];
    let title = "set reducedPhysBits to 1";
    let span = element.text_span();
    let finding = if (2..=63).contains(&written) {
        let message = format!(
            "reducedPhysBits is {written}: the guest believes in {} address bits fewer than it has",
            written - 1
        );
        RULE.finding(span, message).severity(Severity::Warning).fix(Fix::unsafe_(title, edits))
    } else {
        let message = format!("reducedPhysBits is {written}, which QEMU refuses: it must be from 1 to 63");
        RULE.finding(span, message).fix(Fix::safe(title, edits))
    };
    Some(finding.help(
        "leave `<reducedPhysBits>` out, or write 1: a guest loses one bit, the C-bit, on every processor",
    ))
}
