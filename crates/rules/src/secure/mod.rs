//! An ordinary domain becomes a confidential one: `sevirt secure`.
//!
//! What has to change is a list of [`Change`]s, each with what it does to the guest. The first ones are the steps of
//! this module, which no rule can ask for before the domain is confidential; then come the fixes of the rules
//! themselves. Each change is proposed on the document as the changes before it left it, and made only where
//! whoever asks decides so. Nothing is proposed for what is as it should be: secured twice, a domain stays as it is.

mod accelerator;
mod boot_disk;
mod firmware;
mod launch_security;
mod machine;
mod management_mode;
mod policy;

use std::collections::BTreeSet;

use domain::{Document, Domain, Edit};
use host::Facts;

use crate::Technology;
use crate::allow::Allowed;
use crate::finding::Finding;
use crate::fix::Safety;
use crate::lint::{Report, lint};
use crate::rule::Severity;
use crate::subject::Subject;
use crate::table;

pub use policy::{Policy, PolicyError};

/// What a domain is to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    pub technology: Technology,
    /// None: what the domain says, or else [`Policy::usual`].
    pub policy: Option<Policy>,
}

/// One change on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What it is about, in a word or two; of a rule's fix the rule's code and name.
    pub topic: String,
    /// What is done, in the imperative.
    pub title: String,
    /// What that does to the guest.
    pub effect: String,
    pub safety: Safety,
    edits: Vec<Edit>,
}

/// A domain after its changes.
#[derive(Debug)]
pub struct Secured {
    pub document: Document,
    /// In the order in which they were made.
    pub made: Vec<Change>,
    /// What was proposed and not wanted.
    pub left_out: Vec<Change>,
    /// What lint says of the result.
    pub report: Report,
}

/// A step looks at the domain and proposes a change, or nothing.
type Step = fn(&Subject<'_>, &Wish) -> Option<Change>;

/// Launch security first: what suits the guest depends on it. Firmware after the machine that it must fit.
const STEPS: &[Step] = &[
    launch_security::step,
    accelerator::step,
    machine::step,
    management_mode::step,
    firmware::step,
    boot_disk::step,
];

/// Makes those changes that `wanted` says yes to.
pub fn secure(
    document: &Document,
    facts: &Facts,
    allowed: &Allowed,
    wish: &Wish,
    mut wanted: impl FnMut(&Change) -> bool,
) -> Secured {
    let mut document = document.clone();
    let (mut made, mut left_out) = (Vec::new(), Vec::new());
    for step in STEPS {
        let (domain, problems) = Domain::read(&document);
        let subject = Subject { document: &document, domain: &domain, problems: &problems, facts };
        let Some(change) = step(&subject, wish) else { continue };
        if !wanted(&change) {
            left_out.push(change);
        } else if let Ok(changed) = document.apply(&change.edits) {
            document = changed;
            made.push(change);
        }
    }
    let mut mending =
        Mending { allowed, facts, policy: wish.policy, left_out, made, refused: BTreeSet::new() };
    let report = mending.run(&mut document, &mut wanted);
    Secured { document, made: mending.made, left_out: mending.left_out, report }
}

/// The rules' own fixes, one at a time.
struct Mending<'a> {
    allowed: &'a Allowed,
    facts: &'a Facts,
    /// Who asked for a policy gets that one, whatever lint thinks of it.
    policy: Option<Policy>,
    made: Vec<Change>,
    left_out: Vec<Change>,
    /// Fixes that were not wanted, by rule, title and the text that they are about: offsets move.
    refused: BTreeSet<(&'static str, String, String)>,
}

impl Mending<'_> {
    fn run(&mut self, document: &mut Document, wanted: &mut impl FnMut(&Change) -> bool) -> Report {
        /// A domain with more faults than this is mended by hand.
        const MOST: usize = 1000;
        for _ in 0..MOST {
            let report = lint(document, self.facts, self.allowed);
            let Some(changed) = self.next(document, &report.findings, wanted) else { return report };
            *document = changed;
        }
        lint(document, self.facts, self.allowed)
    }

    fn next(
        &mut self,
        document: &Document,
        findings: &[Finding],
        wanted: &mut impl FnMut(&Change) -> bool,
    ) -> Option<Document> {
        let policy = document.root().child("launchSecurity").and_then(|it| it.child("policy"));
        let asked = policy.filter(|_| self.policy.is_some()).map(|policy| policy.span());
        for finding in findings {
            // What is only worth knowing is no reason to change a guest.
            let asked_for = asked.is_some_and(|policy| policy.encloses(finding.span));
            if asked_for || finding.severity == Severity::Note || self.was_left_out(finding) {
                continue;
            }
            let Some(change) = Change::of(finding) else { continue };
            let about = finding.span.of(document.text()).to_owned();
            let key = (finding.code, change.title.clone(), about);
            if self.refused.contains(&key) {
                continue;
            }
            match document.apply(&change.edits) {
                Ok(changed) if wanted(&change) => {
                    self.made.push(change);
                    return Some(changed);
                }
                Ok(_) => {
                    self.left_out.push(change);
                    self.refused.insert(key);
                }
                // Not for this document, whatever the reason: lint goes on telling it.
                Err(_) => {
                    self.refused.insert(key);
                }
            }
        }
        None
    }
}

impl Mending<'_> {
    /// Whether a step has proposed all that this finding's fix does.
    fn was_left_out(&self, finding: &Finding) -> bool {
        finding.code == "FW002" && self.left_out.iter().any(|change| change.topic == firmware::TOPIC)
    }
}

impl Change {
    /// The fix of a finding.
    fn of(finding: &Finding) -> Option<Self> {
        let fix = finding.fix.as_ref()?;
        let because = table::rule(finding.code).and_then(|rule| rule.page.unsafe_because());
        let effect = match (fix.safety, because) {
            (Safety::Safe, _) => "the guest sees no difference".to_owned(),
            (Safety::Unsafe, Some(because)) => because.to_owned(),
            (Safety::Unsafe, None) => "the guest sees other devices, or is measured differently".to_owned(),
        };
        Some(Self {
            topic: format!("{} {}", finding.code, finding.name),
            title: fix.title.clone(),
            effect,
            safety: fix.safety,
            edits: fix.edits.clone(),
        })
    }

    fn new(topic: &str, safety: Safety, title: String, effect: impl Into<String>, edits: Vec<Edit>) -> Self {
        Self { topic: topic.to_owned(), title, effect: effect.into(), safety, edits }
    }
}

#[cfg(test)]
mod tests;
