//! SEV014: half of what the guest's owner gives for the launch.

use domain::model::launch_security::LaunchSecurity;

use crate::finding::Finding;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "SEV014",
    name: "half-a-session",
    severity: Severity::Error,
    allowable: true,
    page: Page {
        what: "A `<dhCert>` without `<session>`, or the reverse.",
        why: "The session blob holds the transport keys of the guest's owner, wrapped with a key that only the certificate \
              opens. With one of them the secure processor cannot agree with the owner on anything: the launch fails, or \
              its measurement is made with a key that the owner does not know, and proves nothing.",
        example: "<launchSecurity type='sev'>\n  <policy>0x0003</policy>\n  <dhCert>AQAAAAE3…</dhCert>\n</launchSecurity>",
        fix: "Write both, as `sevirt session` made them, or neither.",
        since: "0.1",
        source: "AMD 55766 §2.2 and §6.2, LAUNCH_START: DH_CERT_PADDR and SESSION_PADDR.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(LaunchSecurity::Sev(_)) = &subject.domain.launch_security else { return Vec::new() };
    let element = |name| subject.element(&["launchSecurity", name]);
    let (there, missing) = match (element("dhCert"), element("session")) {
        (Some(certificate), None) => (certificate, "session"),
        (None, Some(session)) => (session, "dhCert"),
        _ => return Vec::new(),
    };
    let message = format!("{} without {missing} is half a session with the guest's owner", there.name());
    vec![
        RULE.finding(there.start_tag_span(), message)
            .help("write both, as `sevirt session` made them, or neither"),
    ]
}
