//! SEV012: launch security given more than once.

use crate::finding::{Finding, MOST};
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "SEV012",
    name: "several-launch-securities",
    severity: Severity::Error,
    allowable: false,
    page: Page {
        what: "More than one `<launchSecurity>`.",
        why: "A guest has one launch and one policy. libvirt takes the first and drops the others without a word, which \
              may be those that its author cares for.",
        example: "<launchSecurity type='sev'>\n  <policy>0x0001</policy>\n</launchSecurity>\n<launchSecurity \
                  type='sev-snp'>\n  <policy>0x30000</policy>\n</launchSecurity>",
        fix: "Remove all but one. There is no automatic fix: which one is meant is not known.",
        since: "0.1",
        source: "libvirt, src/conf/schemas/domaincommon.rng, launchSecurity.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let mut all = subject.document.root().children_named("launchSecurity");
    let Some(first) = all.next() else { return Vec::new() };
    all.take(MOST)
        .map(|other| {
            RULE.finding(other.start_tag_span(), "a guest has one launch security, this is one more")
                .label(first.start_tag_span(), "the first")
                .help("remove all but one")
        })
        .collect()
}
