//! FW013: a kernel that comes from the host and is not measured.

use domain::Edit;
use domain::model::Switch;
use domain::model::launch_security::LaunchSecurity;

use crate::finding::Finding;
use crate::fix::Fix;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "FW013",
    name: "unmeasured-kernel",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "A confidential guest that boots a `<kernel>` directly without `kernelHashes='yes'`.",
        why: "Kernel, initrd and command line come from the host when the guest starts, after the launch measurement. The \
              host can give it any others, and the guest's owner sees the same measurement.",
        example: "<os>\n  <type arch='x86_64' machine='q35'>hvm</type>\n  <kernel>/var/lib/guest/vmlinuz</kernel>\n</os>",
        fix: "Write `kernelHashes='yes'` and use firmware with a hash table, such as OVMF's AmdSev build. `sevirt fix \
              --unsafe` writes it where this host's image has the table; it is unsafe because the launch measurement \
              becomes another.",
        since: "0.1",
        source: "QEMU, docs/system/i386/amd-memory-encryption.rst, kernel-hashes; OVMF, OvmfPkg/AmdSev.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let hashes = subject.domain.launch_security.as_ref().and_then(LaunchSecurity::kernel_hashes);
    let (Some(technology), Some(kernel), Some(security)) = (
        subject.technology(),
        subject.element(&["os", "kernel"]).filter(|_| subject.domain.os.kernel.is_some()),
        subject.element(&["launchSecurity"]),
    ) else {
        return Vec::new();
    };
    if hashes == Some(Switch::On) {
        return Vec::new();
    }
    let message =
        format!("the host can boot this {technology} guest with any kernel: this one is not measured");
    let finding = RULE.finding(kernel.text_span(), message);
    let firmware = subject.firmware();
    let tables = firmware.as_ref().and_then(|firmware| firmware.known()?.tables.as_ref().ok());
    vec![match tables {
        Some(tables) if tables.hash_table.is_usable() => {
            let edit = Edit::set_attribute(security, "kernelHashes", "yes");
            finding
                .help("write `kernelHashes='yes'` in `<launchSecurity>`")
                .fix(Fix::unsafe_("measure the kernel, its initrd and its command line", vec![edit]))
        }
        _ => finding.help(
            "write `kernelHashes='yes'` and use firmware with a hash table, such as OVMF's AmdSev build",
        ),
    }]
}
