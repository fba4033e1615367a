//! XML002: content that could not be read.

use domain::{Problem, ProblemKind};

use crate::finding::Finding;
use crate::rule::{Page, Rule, Severity};
use crate::rules::{missing_policy, several_launch_securities};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "XML002",
    name: "malformed-content",
    severity: Severity::Error,
    allowable: false,
    page: Page {
        what: "A value that libvirt would refuse, or something required that is missing.",
        why: "What the domain means is not known, and sevirt does not guess.",
        example: "<vcpu>many</vcpu>",
        fix: "Correct the place that the finding points at.",
        since: "0.1",
        source: "libvirt, \"Domain XML format\".",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    // Other rules say it better.
    let mut better = missing_policy::check(subject);
    better.extend(several_launch_securities::check(subject));
    let told = |problem: &Problem| better.iter().any(|finding| finding.span == problem.span);
    let malformed = subject.problems.iter().filter(|problem| problem.kind == ProblemKind::Malformed);
    malformed
        .filter(|problem| !told(problem))
        .map(|problem| RULE.finding(problem.span, problem.to_string()))
        .collect()
}
