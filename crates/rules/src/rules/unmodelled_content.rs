//! XML003: content that sevirt does not act on.

use domain::{Problem, ProblemKind};

use crate::finding::Finding;
use crate::rule::{Page, Rule, Severity};
use crate::rules::{refused_content, unsupported_launch_security};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "XML003",
    name: "unmodelled-content",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "An element, attribute or value that sevirt has no notion of.",
        why: "The guest starts without it. It stays in the document through every edit, and is named again at each \
              start, so that nothing is dropped in silence.",
        example: "<devices>\n  <redirdev bus='usb' type='spicevmc'/>\n</devices>",
        fix: "Remove it if the guest does not need it; allow the rule if it does not matter.",
        since: "0.1",
        source: "libvirt, \"Domain XML format\".",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    // Launch security that cannot be run is an error, by a rule of its own.
    let foreign = !unsupported_launch_security::check(subject).is_empty();
    let told = |problem: &Problem| foreign && problem.path == "launchSecurity";
    let mut unmodelled =
        subject.problems.iter().filter(|problem| problem.kind == ProblemKind::NotModelled).peekable();
    // What the guest is not started without is an error, by another rule.
    let refused = if unmodelled.peek().is_some() { refused_content::check(subject) } else { Vec::new() };
    unmodelled
        .filter(|problem| !told(problem) && !refused_content::tells_of(&refused, problem.span))
        .map(|problem| RULE.finding(problem.span, problem.to_string()).help("the guest starts without it"))
        .collect()
}
