//! SEV003: the host cannot do what the domain asks for.

use host::{Facts, MemoryEncryption};

use crate::finding::Finding;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;
use crate::technology::Technology;

pub(crate) static RULE: Rule = Rule {
    code: "SEV003",
    name: "unavailable-technology",
    severity: Severity::Error,
    allowable: true,
    page: Page {
        what: "A guest that asks for SEV, SEV-ES (bit 2 of the policy) or SEV-SNP on a host that does not offer it.",
        why: "The guest cannot start there. The finding says which of the parts is missing: the processor, the \
              kernel module or its parameter, the address space identifiers, the device.",
        example: "<launchSecurity type='sev'>\n  <policy>0x0007</policy>\n</launchSecurity>",
        fix: "Enable the technology on the host, or run the guest on another one. `sevirt lab run FILE` runs it on a \
              simulated platform, where memory is not encrypted.",
        since: "0.1",
        source: "libvirt, \"Launch security with AMD SEV\", section \"Enabling SEV on the host\"; AMD APM volume 3, \
                 CPUID 8000_001F; Linux, kvm_amd parameters.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(technology) = subject.technology() else { return Vec::new() };
    let Some(lack) = lack(technology, subject.facts) else { return Vec::new() };
    let policy = subject.element(&["launchSecurity", "policy"]).filter(|_| technology == Technology::SevEs);
    let span = policy.map_or_else(|| subject.nearest(&["launchSecurity"]), |policy| policy.text_span());
    vec![
        RULE.finding(span, format!("{} cannot run {technology} guests: {lack}", subject.host()))
            .help("`sevirt lab run FILE` runs the guest on a simulated platform"),
    ]
}

fn lack(technology: Technology, facts: &Facts) -> Option<String> {
    let offers = |cpu: &MemoryEncryption| match technology {
        Technology::Sev => cpu.sev,
        Technology::SevEs => cpu.sev_es,
        Technology::SevSnp => cpu.sev_snp,
    };
    let cpu = facts.cpu.memory_encryption.known();
    if !cpu.is_some_and(offers) {
        return Some(format!("its processor has no {technology}"));
    }
    let Some(module) = facts.kvm_amd.known() else {
        return Some("the kernel module kvm_amd is not loaded".into());
    };
    let (parameter, value) = match technology {
        Technology::Sev => ("sev", module.sev),
        Technology::SevEs => ("sev_es", module.sev_es),
        Technology::SevSnp => ("sev_snp", module.sev_snp),
    };
    match value {
        Some(true) => {}
        Some(false) => return Some(format!("the parameter `{parameter}` of kvm_amd is off")),
        None => return Some(format!("its kernel has no parameter `{parameter}` of kvm_amd")),
    }
    if let Some(lack) = cpu.and_then(|cpu| lacking_identifiers(technology, cpu)) {
        return Some(lack);
    }
    facts.sev_device.known().is_none().then(|| format!("/dev/sev is {}", absence(facts)))
}

/// Guests with encrypted state use the identifiers below `min_sev_asid`, all others those from it on.
fn lacking_identifiers(technology: Technology, cpu: &MemoryEncryption) -> Option<String> {
    let MemoryEncryption { asids, min_sev_asid, .. } = *cpu;
    let none = match technology {
        Technology::Sev => asids < min_sev_asid,
        Technology::SevEs | Technology::SevSnp => min_sev_asid <= 1,
    };
    none.then(|| {
        format!("none of its {asids} address space identifiers is for {technology} (those of SEV start at {min_sev_asid})")
    })
}

fn absence(facts: &Facts) -> String {
    match &facts.sev_device {
        host::Fact::Unreadable { why, .. } => format!("unreadable: {why}"),
        host::Fact::Known(_) | host::Fact::Absent => "absent".into(),
    }
}
