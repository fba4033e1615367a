//! SEV002: launch security of another make.

use domain::model::launch_security::LaunchSecurity;

use crate::finding::Finding;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "SEV002",
    name: "unsupported-launch-security",
    severity: Severity::Error,
    allowable: false,
    page: Page {
        what: "A `<launchSecurity>` of a type that sevirt does not run, such as `tdx` or `s390-pv`.",
        why: "The guest must not be started without the protection that it asks for. The element stays in the domain \
              as it is.",
        example: "<launchSecurity type='tdx'/>",
        fix: "Run the guest on a host and a manager of its kind, or use `sev` or `sev-snp`.",
        since: "0.1",
        source: "libvirt, \"Domain XML format\", section \"Launch Security\".",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let (Some(LaunchSecurity::Other { kind }), Some(element)) =
        (&subject.domain.launch_security, subject.element(&["launchSecurity"]))
    else {
        return Vec::new();
    };
    let span = element.attribute("type").map_or_else(|| element.start_tag_span(), |kind| kind.value_span());
    let finding = RULE.finding(span, format!("launch security of type `{kind}` cannot be run by sevirt"));
    vec![finding.help("sevirt runs `sev` and `sev-snp`")]
}
