//! Everything that the rules say about a host, and the verdicts that follow.

use host::Facts;
use serde::Serialize;

use crate::Technology;

use super::finding::{Effect, HostFinding, When};
use super::table::HOST_TABLE;

/// Whether a host can run a kind of guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Can,
    Cannot,
    /// Something that decides could not be read, or does not show.
    CouldNotTell,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Can => "can",
            Self::Cannot => "cannot",
            Self::CouldNotTell => "could not tell",
        })
    }
}

/// What can be said of one technology on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Judgement {
    pub technology: Technology,
    pub now: Verdict,
    pub next_boot: Verdict,
}

/// A judged host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostReport {
    /// Names the simulator where the secure processor is a simulated one.
    pub simulated: Option<String>,
    /// In the order of [`Technology::ALL`].
    pub judgements: Vec<Judgement>,
    /// In the order in which they are mended.
    pub findings: Vec<HostFinding>,
}

impl HostReport {
    pub fn judgement(&self, technology: Technology) -> Judgement {
        Judgement {
            technology,
            now: verdict(&self.findings, technology, When::Now),
            next_boot: verdict(&self.findings, technology, When::NextBoot),
        }
    }

    /// What stands against the technology at that time, what must be mended first in front.
    pub fn against(&self, technology: Technology, at: When) -> impl Iterator<Item = &HostFinding> {
        let of = move |effect| {
            self.findings
                .iter()
                .filter(move |finding| finding.effect == effect && finding.concerns(technology, at))
        };
        of(Effect::Prevents).chain(of(Effect::Unclear))
    }

    /// What to do first for the technology: about now, or else about the next boot.
    pub fn first(&self, technology: Technology) -> Option<&HostFinding> {
        let now = self.against(technology, When::Now).next();
        now.or_else(|| self.against(technology, When::NextBoot).next())
    }
}

/// Asks every rule about the host.
pub fn check(facts: &Facts) -> HostReport {
    let mut findings: Vec<HostFinding> = HOST_TABLE.iter().flat_map(|entry| (entry.check)(facts)).collect();
    drop_consequences(&mut findings);
    let mut report = HostReport { simulated: facts.simulated.clone(), judgements: Vec::new(), findings };
    report.judgements = Technology::ALL.map(|technology| report.judgement(technology)).into();
    report
}

/// What only follows from something that is said already is not said again.
fn drop_consequences(findings: &mut Vec<HostFinding>) {
    let causes: Vec<HostFinding> = findings
        .iter()
        .filter(|finding| finding.effect == Effect::Prevents && !finding.consequence)
        .cloned()
        .collect();
    for finding in findings.iter_mut().filter(|finding| finding.consequence) {
        let (when, code) = (finding.when, finding.code);
        finding.technologies.retain(|technology| {
            !causes.iter().any(|cause| cause.code != code && cause.concerns(*technology, when))
        });
    }
    findings.retain(|finding| !finding.technologies.is_empty());
}

fn verdict(findings: &[HostFinding], technology: Technology, at: When) -> Verdict {
    let any =
        |effect| findings.iter().any(|finding| finding.effect == effect && finding.concerns(technology, at));
    if any(Effect::Prevents) {
        Verdict::Cannot
    } else if any(Effect::Unclear) {
        Verdict::CouldNotTell
    } else {
        Verdict::Can
    }
}
