//! FW009: kernel hashes asked of a firmware that has no place for them.

use domain::model::Switch;
use domain::model::launch_security::LaunchSecurity;
use host::Area;

use crate::finding::Finding;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "FW009",
    name: "kernel-hashes-without-table",
    severity: Severity::Error,
    allowable: true,
    page: Page {
        what: "`kernelHashes='yes'` with a firmware image whose GUID table has no usable entry for the hash table.",
        why: "The hashes of kernel, initrd and command line are measured by writing them into a table inside the \
              firmware. Ordinary OVMF has no such table, or one of base 0 and size 0, and QEMU refuses to start the \
              guest.",
        example: "<launchSecurity type='sev' kernelHashes='yes'>",
        fix: "Use OVMF's AmdSev build (OvmfPkg/AmdSev/AmdSevX64.dsc), which has the table. There is no automatic \
              fix: without the hashes the kernel is not measured.",
        since: "0.1",
        source: "QEMU, target/i386/sev.c; OVMF, SEV_HASH_TABLE_BLOCK, GUID 7255371f-3a3b-4b04-927b-1da6efa8d454.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let asked = subject.domain.launch_security.as_ref().and_then(LaunchSecurity::kernel_hashes);
    // Without a kernel QEMU does not look for the table; FW010 tells about that.
    let kernel = &subject.domain.os.kernel;
    let (Some(Switch::On), Some(_), Some(firmware)) = (asked, kernel, subject.firmware()) else {
        return Vec::new();
    };
    let Some(image) = firmware.known() else { return Vec::new() };
    let lack = match image.tables.as_ref().map(|tables| tables.hash_table) {
        Ok(Area::At { .. }) => return Vec::new(),
        Ok(Area::Empty) => "has an SEV hash table of base 0 or size 0".to_owned(),
        Ok(Area::Absent) => "has no SEV hash table in its GUID table".to_owned(),
        Err(why) => format!("has no GUID table that can be read ({why})"),
    };
    let span = subject
        .element(&["launchSecurity"])
        .and_then(|security| security.attribute("kernelHashes"))
        .map_or_else(|| subject.nearest(&["launchSecurity"]), |hashes| hashes.span());
    let path = firmware.path.display();
    let finding = RULE
        .finding(span, format!("kernel hashes have no place in this firmware: `{path}` {lack}"))
        .help("use OVMF's AmdSev build, which has the table; or leave kernelHashes out, and the kernel unmeasured");
    vec![match subject.element(&["os", "loader"]) {
        Some(loader) if subject.loader_path().is_some() => finding.label(loader.text_span(), "the firmware"),
        _ => finding,
    }]
}
