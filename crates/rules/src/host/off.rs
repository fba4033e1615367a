//! What all rules about a parameter of `kvm_amd` that is off have in common.

use host::Facts;

use crate::Technology;
use crate::rule::Rule;

use super::boot::{Line, comes_on, setting};
use super::finding::{HostFinding, When};
use super::mend::{REBOOT, enable};
use super::state::parameter_evidence;

/// The findings that `parameter` is off: whether that lasts, and what turns it on.
pub(super) fn findings(
    rule: &'static Rule,
    facts: &Facts,
    parameter: Technology,
    technologies: &[Technology],
    message: String,
) -> Vec<HostFinding> {
    let (running, next) =
        (setting(facts, Line::Running, parameter), setting(facts, Line::NextBoot, parameter));
    let evidence = [parameter_evidence(facts, parameter), running.evidence(facts)];
    let finding = rule.about(technologies, message).evidence(evidence);
    match comes_on(facts, parameter) {
        Some(true) => vec![
            finding
                .when(When::Now)
                .help(format!("{} turns it on at the next boot", next.because()))
                .command(REBOOT)
                .evidence([next.evidence(facts)]),
        ],
        // It is configured, and the kernel refused: the rule knows better.
        Some(false) if running.on => vec![finding],
        Some(false) => vec![finding.command(enable(parameter)).command(REBOOT)],
        None => vec![
            finding.when(When::Now).command(enable(parameter)).command(REBOOT),
            rule.unclear(technologies, "whether the next boot turns it on cannot be told")
                .when(When::NextBoot)
                .evidence([next.evidence(facts)]),
        ],
    }
}
