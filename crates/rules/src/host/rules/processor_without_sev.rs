//! HOST001: the processor does not have the technology.

use host::Facts;

use crate::Technology;
use crate::host::HostFinding;
use crate::host::state::{cpuid, flags, foreign_processor, processor_has, vendor};
use crate::rule::{Page, Rule, Severity};

pub(crate) static RULE: Rule = Rule {
    code: "HOST001",
    name: "processor-without-sev",
    severity: Severity::Error,
    allowable: false,
    page: Page {
        what: "A processor that is not AMD's, or that lacks SEV, SEV-ES or SEV-SNP.",
        why: "Memory encryption per guest is a part of the processor: SEV came with EPYC 7001 (Naples), SEV-ES with \
              7001 and in use with 7002 (Rome), SEV-SNP with 7003 (Milan). Nothing else can stand in for it.",
        example: "$ grep -w sev /proc/cpuinfo\n$",
        fix: "Run the guest on another host. `sevirt lab run FILE` runs it on a simulated platform, where memory is \
              not encrypted.",
        since: "0.1",
        source: "AMD APM volume 3, CPUID 8000_001F; libvirt, \"Launch security with AMD SEV\", section \"Enabling SEV \
                 on the host\".",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    let lacking = |state| -> Vec<Technology> {
        Technology::ALL.into_iter().filter(|technology| processor_has(facts, *technology) == state).collect()
    };
    let evidence = || [Some(vendor(facts)), cpuid(facts), flags(facts)].into_iter().flatten();
    let mut findings = Vec::new();
    let without = lacking(Some(false));
    if let Some(&least) = without.first() {
        let message = match foreign_processor(facts) {
            Some(vendor) => format!("its processor is not AMD's ({vendor})"),
            None => format!("its processor has no {least}"),
        };
        let finding = RULE.about(&without, message).evidence(evidence());
        findings.push(
            finding.help("the lab runs a guest on a simulated platform").command("sevirt lab run FILE"),
        );
    }
    let unknown = lacking(None);
    if !unknown.is_empty() {
        let message = "what its processor can do could not be read";
        findings.push(RULE.unclear(&unknown, message).evidence(evidence()));
    }
    findings
}
