//! FW007: firmware that cannot boot the kind of guest that is asked for.

use crate::Technology;
use crate::finding::Finding;
use crate::firmware::{Firmware, is_uefi, suggestion};
use crate::rule::{Page, Rule, Severity};
use crate::rules::no_suitable_firmware;
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "FW007",
    name: "firmware-without-sev",
    severity: Severity::Error,
    allowable: true,
    page: Page {
        what: "A firmware image that cannot boot the kind of guest that the domain asks for: its first code is of 32 \
               bits, its own GUID table lacks the SEV-ES reset vector or the SEV-SNP metadata, or its descriptor \
               offers no SEV at all.",
        why: "Code of 32 bits has no page tables in which to mark memory as encrypted; Debian 12's OVMF_CODE_4M.fd is \
              such a build, though its descriptor offers amd-sev, and hangs. QEMU takes the place of the further vCPUs' first instruction (SEV-ES) and the list of measured pages \
              (SEV-SNP) from the image and fails without them. A firmware that was built without SEV hangs in its \
              first instructions.",
        example: "<loader readonly='yes' type='pflash'>/usr/share/OVMF/without-sev.fd</loader>",
        fix: "Name an image that can; the finding lists those of this host. There is no automatic fix, because \
              another image has another launch measurement.",
        since: "0.1",
        source: "OVMF, OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm; QEMU, docs/interop/firmware.json.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let (Some(technology), Some(firmware)) = (subject.technology(), subject.firmware()) else {
        return Vec::new();
    };
    let Some(lack) = lack(technology, &firmware) else { return Vec::new() };
    let named = subject.loader_path().and_then(|_| subject.element(&["os", "loader"]));
    let span = named.map_or_else(|| no_suitable_firmware::choice(subject), |loader| loader.text_span());
    let path = firmware.path.display();
    let message = format!("firmware `{path}` cannot boot {technology} guests: {lack}");
    vec![RULE.finding(span, message).help(suggestion(subject))]
}

/// What the image lacks. Its own tables are believed before its descriptor: distributions leave features out.
fn lack(technology: Technology, firmware: &Firmware<'_>) -> Option<String> {
    if firmware.known().is_some_and(|image| !image.can_set_c_bit()) {
        return Some("its first code is of 32 bits, which cannot mark memory as encrypted".to_owned());
    }
    match technology {
        Technology::Sev => {
            let descriptor = firmware.descriptor.filter(|descriptor| is_uefi(descriptor))?;
            let lacks = !descriptor.has(technology.feature());
            return lacks.then(|| format!("its descriptor does not offer {}", technology.feature()));
        }
        Technology::SevEs | Technology::SevSnp => {}
    }
    let tables = match &firmware.known()?.tables {
        Ok(tables) => tables,
        Err(why) => return Some(format!("its GUID table cannot be read ({why})")),
    };
    let (found, what) = match technology {
        Technology::SevSnp => (tables.snp_metadata, "SEV-SNP metadata"),
        Technology::Sev | Technology::SevEs => (tables.sev_es_reset.is_some(), "SEV-ES reset vector"),
    };
    (!found).then(|| format!("its GUID table has no {what}"))
}
