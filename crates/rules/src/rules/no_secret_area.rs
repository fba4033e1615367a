//! FW016: firmware without a place for a launch secret.

use domain::model::launch_security::LaunchSecurity;
use host::Area;

use crate::finding::Finding;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "FW016",
    name: "no-secret-area",
    severity: Severity::Note,
    allowable: true,
    page: Page {
        what: "A guest with a session of its owner (`<dhCert>` and `<session>`) whose firmware image has no usable entry \
               for launch secrets in its GUID table.",
        why: "An owner who verifies the launch usually has a secret injected then, a disk key for instance. The firmware \
              says where it goes. Ordinary OVMF has no such place, or one of base 0 and size 0, and nothing in the guest \
              would find the secret. A domain does not say whether one will be injected, so this is a note.",
        example: "<launchSecurity type='sev'>\n  <policy>0x0003</policy>\n  <dhCert>AQAAAAE3…</dhCert>\n  \
                  <session>MTIz…</session>\n</launchSecurity>",
        fix: "Use OVMF's AmdSev build, give the address at injection (`virsh domsetlaunchsecstate --set-address`), or inject \
              nothing.",
        since: "0.1",
        source: "OVMF, SEV_LAUNCH_SECRET, GUID 4c2eb361-7d9b-4cc3-8081-127c90d3d294; QEMU, target/i386/sev.c, \
                 sev_inject_launch_secret.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(LaunchSecurity::Sev(sev)) = &subject.domain.launch_security else { return Vec::new() };
    let session = subject.element(&["launchSecurity", "session"]);
    let (Some(_), Some(session), Some(firmware)) = (&sev.dh_cert, session, subject.firmware()) else {
        return Vec::new();
    };
    let tables = firmware.known().and_then(|image| image.tables.as_ref().ok());
    let lack = match tables.map(|tables| tables.secret_area) {
        Some(Area::Absent) => "has no entry for launch secrets",
        Some(Area::Empty) => "has an entry for launch secrets of base 0 or size 0",
        Some(Area::At { .. }) | None => return Vec::new(),
    };
    let path = firmware.path.display();
    let message = format!("no launch secret can be injected without an address: firmware `{path}` {lack}");
    vec![
        RULE.finding(session.start_tag_span(), message)
            .help("use OVMF's AmdSev build if the owner wants to inject a secret"),
    ]
}
