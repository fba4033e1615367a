//! SEV015: an input of an SEV-SNP launch that QEMU or the firmware cannot read.

use domain::model::launch_security::{LaunchSecurity, SevSnp};

use crate::blob;
use crate::finding::Finding;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "SEV015",
    name: "malformed-snp-blob",
    severity: Severity::Error,
    allowable: true,
    page: Page {
        what: "A `<guestVisibleWorkarounds>` (16 bytes), `<idBlock>` (96), `<idAuth>` (4096) or `<hostData>` (32) that is not \
               base64 or has another length; an ID block of another version than 1; ID authentication by another \
               algorithm than ECDSA on P-384 with SHA-384.",
        why: "QEMU refuses wrong lengths, and the firmware the rest. libvirt decodes them leniently: it skips what is not \
              base64.",
        example: "<hostData>c2hvcnQ=</hostData>",
        fix: "Write the blob as the tool that made it gave it. There is no automatic fix: what it should say is not known.",
        since: "0.1",
        source: "AMD 56860, SNP_LAUNCH_FINISH, tables of the ID block and the ID authentication information; QEMU, \
                 target/i386/sev.c, sev_snp_guest_set_id_block and its neighbours.",
    },
};

/// The length of an ID block, bytes.
pub(super) const ID_BLOCK_LEN: usize = 96;

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(LaunchSecurity::SevSnp(snp)) = &subject.domain.launch_security else { return Vec::new() };
    faults(snp)
        .into_iter()
        .filter_map(|(name, fault)| {
            let element = subject.element(&["launchSecurity", name])?;
            Some(
                RULE.finding(element.text_span(), format!("{name} {fault}"))
                    .help("write the blob as the tool that made it gave it"),
            )
        })
        .collect()
}

fn faults(snp: &SevSnp) -> Vec<(&'static str, String)> {
    let blobs = [
        ("guestVisibleWorkarounds", &snp.guest_visible_workarounds, 16),
        ("idBlock", &snp.id_block, ID_BLOCK_LEN),
        ("idAuth", &snp.id_auth, 4096),
        ("hostData", &snp.host_data, 32),
    ];
    blobs
        .into_iter()
        .filter_map(|(name, text, length)| {
            let fault = match blob::decode(text.as_deref()?) {
                Err(fault) => fault,
                Ok(bytes) if bytes.len() != length => {
                    format!("has {} bytes, it must have {length}", bytes.len())
                }
                Ok(bytes) => structure_fault(name, &bytes)?,
            };
            Some((name, fault))
        })
        .collect()
}

/// What the firmware would find wrong with the fields of a blob of the right length.
fn structure_fault(name: &str, bytes: &[u8]) -> Option<String> {
    let number = |at: usize| {
        let field = bytes.get(at..at + 4)?;
        field.try_into().ok().map(u32::from_le_bytes)
    };
    match name {
        "idBlock" => number(80)
            .filter(|version| *version != 1)
            .map(|version| format!("is of version {version}, not 1")),
        "idAuth" => number(0).filter(|algorithm| *algorithm != 1).map(|algorithm| {
            format!("is signed by algorithm {algorithm}; 1, ECDSA on P-384 with SHA-384, is the only one")
        }),
        _ => None,
    }
}
