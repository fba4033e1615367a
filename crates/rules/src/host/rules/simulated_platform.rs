//! HOST034: the secure processor is a simulation.

use host::Facts;

use crate::Technology;
use crate::host::state::candidates;
use crate::host::{Evidence, HostFinding};
use crate::rule::{Page, Rule, Severity};

pub(crate) static RULE: Rule = Rule {
    code: "HOST034",
    name: "simulated-platform",
    severity: Severity::Error,
    allowable: false,
    page: Page {
        what: "A host whose secure processor is sevirt's simulation, as in the lab.",
        why: "SEV guests run there and believe in their SEV; their memory is not encrypted, and nothing outside trusts \
              the simulator's keys. SEV-ES and SEV-SNP guests are launched and measured, and cannot run: encrypted \
              registers, and the exceptions by which such guests talk to the host, need the real processor.",
        example: "$ cat /run/sevirt/simulated\nsevirt lab: the secure processor is simulated and memory is not encrypted",
        fix: "`sevirt lab run FILE -- --paused-only` launches and attests an SEV-ES or SEV-SNP guest without running \
              it. To run it, take a host with an EPYC processor.",
        since: "0.1",
        source: "README.md, section \"The lab\".",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    let Some(simulator) = &facts.simulated else { return Vec::new() };
    let evidence = || [Evidence::new("simulated", "/run/sevirt/simulated", simulator)];
    let (plain, encrypted): (Vec<_>, Vec<_>) =
        candidates(facts).into_iter().partition(|technology| *technology == Technology::Sev);
    let runs = RULE
        .about(&plain, "the platform is simulated: SEV guests run, and their memory is not encrypted")
        .remark(Severity::Note)
        .evidence(evidence());
    let launched = RULE
        .about(
            &encrypted,
            "the platform is simulated: encrypted registers need the real processor, so that such a guest is \
             launched and measured, but cannot run",
        )
        .evidence(evidence())
        .help("the lab launches and attests it without running it")
        .command("sevirt lab run FILE -- --paused-only");
    [runs, launched].into_iter().filter(|finding| !finding.technologies.is_empty()).collect()
}
