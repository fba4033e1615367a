//! OPS004: resets of a guest whose registers are encrypted.

use crate::Technology;
use crate::finding::{Finding, MOST};
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "OPS004",
    name: "reset-of-encrypted-state",
    severity: Severity::Note,
    allowable: true,
    page: Page {
        what: "An SEV-ES or SEV-SNP guest with `<on_reboot>` or `<on_crash>` `restart` or `rename-restart`, or with a \
               `<watchdog action='reset'>`.",
        why: "The host cannot set encrypted registers back to where a processor starts. When such a guest reboots QEMU ends \
              (\"cpus are not resettable, terminating\"), and what looks like a power-off to libvirt follows. sevirt's daemon \
              launches it anew for `restart`, measured anew; with `sevirt run` it ends. Either way it is another launch, \
              with a new session for SEV-ES, which its owner must attest again.",
        example: "<on_reboot>restart</on_reboot>\n<launchSecurity type='sev'>\n  <policy>0x0007</policy>\n</launchSecurity>",
        fix: "Attest the guest again after each reboot, or write `destroy` and have it started anew by whoever attests it.",
        since: "0.1",
        source: "QEMU 6.0, system/runstate.c, qemu_system_reset_request; AMDESE/AMDSEV issues 47 and 61.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(technology @ (Technology::SevEs | Technology::SevSnp)) = subject.technology() else {
        return Vec::new();
    };
    let told = |span, when: &str| {
        let message = format!(
            "{when} this {technology} guest ends: it cannot be reset, only launched and attested anew"
        );
        RULE.finding(span, message)
            .help("attest it again after that, or have it stay off (`destroy`; `poweroff` for a watchdog)")
    };
    let restarts = |text: &str| matches!(text.trim(), "restart" | "rename-restart" | "coredump-restart");
    let events = [("on_reboot", "when it reboots"), ("on_crash", "when it crashes")];
    let mut findings: Vec<Finding> = events
        .into_iter()
        .filter_map(|(name, when)| {
            let action = subject.element(&[name]).filter(|action| restarts(&action.text()))?;
            Some(told(action.text_span(), when))
        })
        .collect();
    let devices = subject.element(&["devices"]).into_iter();
    let actions = devices
        .flat_map(|devices| devices.children_named("watchdog"))
        .filter_map(|watchdog| watchdog.attribute("action").filter(|action| action.value() == "reset"));
    findings.extend(actions.take(MOST).map(|action| told(action.value_span(), "when this watchdog fires")));
    findings
}
