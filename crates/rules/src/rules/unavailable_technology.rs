//! SEV003: the host cannot do what the domain asks for.

use std::path::Path;

use crate::Technology;
use crate::finding::Finding;
use crate::host::emulator::lack;
use crate::host::{HostFinding, When, check as check_host};
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;
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

#[cfg(test)]
mod tests {
    use domain::Document;
    use host::{Facts, Selinux};

    use crate::{Allowed, lint};

    const GOOD_HOST: &str = include_str!("../../test_data/good-host.json");

    #[track_caller]
    fn check(launch_security: &str, change: impl FnOnce(&mut Facts), expected: Option<&str>) {
        let mut facts: Facts = serde_json::from_str(GOOD_HOST).unwrap();
        change(&mut facts);
        let text = format!(
            "<domain type='kvm'><name>a</name><devices><emulator>/usr/bin/qemu-system-x86_64</emulator></devices>\
             {launch_security}</domain>"
        );
        let findings = lint(&Document::parse(&text).unwrap(), &facts, &Allowed::default()).findings;
        let of_rule: Vec<_> = findings.iter().filter(|finding| finding.code == super::RULE.code).collect();
        let message = of_rule.first().map(|finding| finding.message.as_str());
        assert_eq!((message, of_rule.len() > 1), (expected, false));
    }

    fn assume(text: &'static str) -> impl FnOnce(&mut Facts) {
        move |facts| facts.assume(text).unwrap()
    }

    const SEV: &str = "<launchSecurity type='sev'><policy>0x3</policy></launchSecurity>";
    const ES: &str = "<launchSecurity type='sev'><policy>0x7</policy></launchSecurity>";
    const SNP: &str = "<launchSecurity type='sev-snp'><policy>0x30000</policy></launchSecurity>";

    #[test]
    fn a_host_that_can_is_no_reason() {
        for security in [SEV, ES, SNP] {
            check(security, |_| (), None);
        }
        check("", assume("kvm_amd.sev=false"), None);
    }

    #[test]
    fn the_reason_is_the_first_of_the_host_check() {
        let off = "this host cannot run SEV guests: the parameter `sev` of kvm_amd is off, though the default of this \
                   kernel turns it on";
        check(SEV, assume("kvm_amd.sev=false"), Some(off));
        let closed = "this host cannot run SEV guests: QEMU's user `sevirt-qemu` may not open /dev/sev";
        check(SEV, assume("sev_device.mode=0600"), Some(closed));
        let all = |facts: &mut Facts| facts.asids = host::Fact::Known(ASIDS);
        check(SEV, all, None);
        let none_left = "this host cannot run SEV-SNP guests: all 99 address space identifiers for SEV-ES and SEV-SNP \
                         are in use";
        check(SNP, all, Some(none_left));
        let denied = |facts: &mut Facts| {
            let denied = host::Fact::Known(false);
            let policy =
                Selinux { enforcing: true, svirt_may_use_sev: denied, policy_package: host::Fact::Absent };
            facts.selinux = host::Fact::Known(policy);
        };
        let selinux =
            "this host cannot run SEV guests: SELinux's policy does not let virtual machines use /dev/sev";
        check(SEV, denied, Some(selinux));
    }

    const ASIDS: host::Asids = host::Asids {
        sev: host::Count { capacity: 410, used: 409 },
        sev_es: host::Count { capacity: 99, used: 99 },
    };

    #[test]
    fn the_domain_s_own_qemu_counts_and_no_other() {
        let refusal = |words: &'static str| {
            move |facts: &mut Facts| facts.emulators[0].sev_refusal = Some(words.into())
        };
        let refused = "this host cannot run SEV guests: its QEMU refuses: SEV is not enabled in KVM";
        check(SEV, refusal("SEV is not enabled in KVM"), Some(refused));
        check(SEV, refusal("Failed to open /dev/sev 'Permission denied'"), None);
        check(SEV, |facts| facts.emulators[0].path = "/opt/qemu".into(), None);
        let old =
            "this host cannot run SEV-SNP guests: its QEMU 8.2.0 is older than 9.1.0, the first with SEV-SNP";
        check(SNP, assume("qemu=8.2.0"), Some(old));
        check(SEV, assume("qemu=8.2.0"), None);
    }

    #[test]
    fn a_simulated_platform_launches_what_it_cannot_run() {
        let simulated = |facts: &mut Facts| facts.simulated = Some("sevirt lab".into());
        check(ES, simulated, None);
        check(SNP, simulated, None);
    }

    #[test]
    fn what_is_not_known_is_no_reason() {
        check(
            SEV,
            |facts| *facts = Facts::default(),
            Some("this host cannot run SEV guests: it has no /dev/kvm"),
        );
        let gone = || host::Fact::Unreadable { path: "/sys".into(), errno: 5, why: "gone".into() };
        check(SEV, |facts| facts.kvm_amd = gone(), None);
        check(SEV, |facts| facts.boot.command_line = host::Fact::Absent, None);
    }
}
