//! SEV003: the host cannot do what the domain asks for.

use std::path::Path;

use crate::finding::Finding;
use crate::host::emulator::lack;
use crate::host::{HostFinding, When, check as check_host};
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;
use crate::technology::Technology;
use crate::version::DEFAULT_EMULATOR;

/// What of a host does not decide about a domain: other QEMUs and other firmware than its own, and that a simulated
/// platform launches guests that it cannot run, which whoever asks it to run one is told.
const NOT_OF_THE_DOMAIN: [&str; 6] = ["HOST023", "HOST024", "HOST025", "HOST026", "HOST030", "HOST034"];

pub(crate) static RULE: Rule = Rule {
    code: "SEV003",
    name: "unavailable-technology",
    severity: Severity::Error,
    allowable: true,
    page: Page {
        what: "A guest that asks for SEV, SEV-ES (bit 2 of the policy) or SEV-SNP on a host that does not offer it.",
        why: "The guest cannot start there. The finding says which of the parts is missing: the processor, BIOS, the \
              kernel, its module or parameter, the address space identifiers, the device or access to it, QEMU. It is \
              the first reason of `sevirt host check`, whose rules (HOST) it is judged by.",
        example: "<launchSecurity type='sev'>\n  <policy>0x0007</policy>\n</launchSecurity>",
        fix: "`sevirt host check` tells all reasons and what to type. Enable the technology on the host, or run the guest on another one. `sevirt lab run FILE` runs it on a \
              simulated platform, where memory is not encrypted.",
        since: "0.1",
        source: "libvirt, \"Launch security with AMD SEV\", section \"Enabling SEV on the host\"; AMD APM volume 3, \
                 CPUID 8000_001F; Linux, kvm_amd parameters.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(technology) = subject.technology() else { return Vec::new() };
    let Some((message, help)) = of_host(subject, technology).or_else(|| of_emulator(subject, technology))
    else {
        return Vec::new();
    };
    let policy = subject.element(&["launchSecurity", "policy"]).filter(|_| technology == Technology::SevEs);
    let span = policy.map_or_else(|| subject.nearest(&["launchSecurity"]), |policy| policy.text_span());
    let message = format!("{} cannot run {technology} guests: {message}", subject.host());
    vec![RULE.finding(span, message).help(help)]
}

/// The first reason that the host gives, and what to do.
fn of_host(subject: &Subject<'_>, technology: Technology) -> Option<(String, String)> {
    let report = check_host(subject.facts);
    let reason = report
        .against(technology, When::Now)
        .filter(|finding| finding.effect == crate::host::Effect::Prevents)
        .find(|finding| !NOT_OF_THE_DOMAIN.contains(&finding.code))?;
    Some((reason.message.clone(), help(reason)))
}

fn help(reason: &HostFinding) -> String {
    let HostFinding { code, commands, help, .. } = reason;
    let lab = "`sevirt lab run FILE` runs the guest on a simulated platform";
    match (help, commands.first()) {
        _ if *code == "HOST001" => lab.to_owned(),
        (_, Some(command)) => format!("first `{command}` ({code}: `sevirt host check` tells more); {lab}"),
        (Some(help), None) => format!("{help} ({code}); {lab}"),
        (None, None) => format!("`sevirt explain {code}` tells more; {lab}"),
    }
}

/// What the domain's own QEMU lacks, where it was asked.
fn of_emulator(subject: &Subject<'_>, technology: Technology) -> Option<(String, String)> {
    let path = subject.domain.devices.emulator.as_deref().unwrap_or(DEFAULT_EMULATOR);
    let emulator = subject.facts.emulators.iter().find(|emulator| emulator.path == Path::new(path))?;
    let message = lack(emulator, technology)?.message(technology)?;
    Some((message, format!("name another QEMU than `{path}`, or see `sevirt host check`")))
}
