//! SEV013: what the guest's owner gives for the launch, and the secure processor cannot read.

use attest::sev::certs::{Certificate, Usage};
use attest::sev::session::LaunchBlob;
use domain::model::launch_security::LaunchSecurity;

use crate::blob;
use crate::finding::Finding;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "SEV013",
    name: "malformed-session",
    severity: Severity::Error,
    allowable: true,
    page: Page {
        what: "A `<dhCert>` or `<session>` that is not base64, has a wrong length (2084 and 128 bytes), or, for `<dhCert>`, \
               is no Diffie-Hellman certificate.",
        why: "The secure processor refuses the launch (INVALID_CERTIFICATE, INVALID_LENGTH). QEMU skips characters that are \
              not base64 and hands over what is left.",
        example: "<dhCert>AAAA</dhCert>\n<session>not base64!</session>",
        fix: "Write what `sevirt session` made, unchanged. There is no automatic fix: the guest's owner has the keys.",
        since: "0.1",
        source: "AMD 55766 §6.2, LAUNCH_START, and appendix C, certificate format.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(LaunchSecurity::Sev(sev)) = &subject.domain.launch_security else { return Vec::new() };
    let certificate = sev.dh_cert.as_deref().and_then(|text| certificate_fault(text).err());
    let session = sev.session.as_deref().and_then(|text| session_fault(text).err());
    [("dhCert", certificate), ("session", session)]
        .into_iter()
        .filter_map(|(name, fault)| {
            let fault = fault?;
            let element = subject.element(&["launchSecurity", name])?;
            Some(
                RULE.finding(element.text_span(), format!("{name} {fault}"))
                    .help("write what `sevirt session` made for this platform, unchanged"),
            )
        })
        .collect()
}

fn certificate_fault(text: &str) -> Result<(), String> {
    let bytes = blob::decode(text)?;
    let certificate =
        Certificate::parse(&bytes).map_err(|error| format!("cannot be read as a certificate: {error}"))?;
    match certificate.usage() {
        Usage::Pdh => {}
        usage => return Err(format!("certifies a key of usage {usage}, not a Diffie-Hellman key")),
    }
    certificate.public_key().map(|_| ()).map_err(|error| format!("has no usable key: {error}"))
}

fn session_fault(text: &str) -> Result<(), String> {
    let bytes = blob::decode(text)?;
    LaunchBlob::parse(&bytes).map(|_| ()).map_err(|error| format!("cannot be read: {error}"))
}
