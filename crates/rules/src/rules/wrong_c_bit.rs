//! SEV004: memory encryption parameters of another host.

use domain::{Edit, Span};

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
        what: "A `<cbitpos>` or `<reducedPhysBits>` that is not this host's.",
        why: "Both are properties of the processor: the C-bit is 47 on EPYC 7001 and 7002 (Naples, Rome) and 51 on \
              later ones. With another C-bit QEMU refuses to start the guest (\"cbitpos check failed\"); with other \
              reduced bits the guest believes in another physical address width than it has.",
        example: "<launchSecurity type='sev'>\n  <cbitpos>47</cbitpos>\n  <reducedPhysBits>1</reducedPhysBits>",
        fix: "Leave both out: they are filled in at start. Or write this host's. `sevirt fix` writes this host's; it \
              is a safe fix, neither is measured.",
        since: "0.1",
        source: "AMD APM volume 3, CPUID 8000_001F EBX; QEMU, target/i386/sev.c.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let (Some(security), Some(cpu)) =
        (&subject.domain.launch_security, subject.facts.cpu.memory_encryption.known())
    else {
        return Vec::new();
    };
    // A processor without SEV has no C-bit to compare with.
    if !cpu.sev {
        return Vec::new();
    }
    let both = [
        ("cbitpos", "C-bit", security.cbitpos(), cpu.cbitpos),
        (
            "reducedPhysBits",
            "reduction of physical address bits",
            security.reduced_phys_bits(),
            cpu.reduced_phys_bits,
        ),
    ];
    let host = subject.host();
    both.into_iter()
        .filter_map(|(name, meaning, written, real)| {
            let written = written.filter(|written| *written != real)?;
            let element = subject.element(&["launchSecurity", name])?;
            let span: Span = element.text_span();
            let edit = Edit::set_text(element, &real.to_string());
            let finding = RULE
                .finding(span, format!("{name} is {written}, but {host}'s {meaning} is {real}"))
                .help(format!("leave `<{name}>` out to get each host's own, or write {real}"))
                .fix(Fix::safe(format!("set {name} to {real}"), vec![edit]));
            Some(finding)
        })
        .collect()
}
