//! HOST016: the user that QEMU runs as may not open /dev/sev.

use host::{Device, Facts, User};

use crate::host::state::{candidates, libvirt, qemu_user, shown};
use crate::host::{Evidence, HostFinding};
use crate::rule::{Page, Rule, Severity};
use crate::version::Version;

pub(crate) static RULE: Rule = Rule {
    code: "HOST016",
    name: "sev-device-closed",
    severity: Severity::Error,
    allowable: false,
    page: Page {
        what: "A `/dev/sev` that the user that QEMU runs as may not open for reading and writing, by owner, group, mode \
               and access control list.",
        why: "QEMU opens the device itself. The kernel makes it for root only (0600); that root can open it says \
              nothing. libvirt newer than 5.1.0 makes its own QEMU user the owner for each guest, so that the mode \
              does not matter to its guests; that is taken into account where libvirt is installed and QEMU's user is \
              libvirt's.",
        example: "$ ls -l /dev/sev\ncrw------- 1 root root 10, 124 Nov 23 09:00 /dev/sev",
        fix: "Let a udev rule give the device to the group `kvm`.",
        since: "0.1",
        source: "libvirt, \"Launch security with AMD SEV\", section \"Checking SEV support in the virt stack\"; Linux, \
                 drivers/crypto/ccp/sev-dev.c; libvirt, src/security/security_dac.c.",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    let technologies = candidates(facts);
    let Some(device) = facts.sev_device.known().filter(|_| !technologies.is_empty()) else {
        return Vec::new();
    };
    let Some(user) = qemu_user(facts) else {
        let evidence = [Evidence::new("qemu_user", "/etc/passwd", shown(&facts.qemu_user))];
        let message = "whom QEMU runs as, and so who must open /dev/sev, could not be read";
        return vec![RULE.unclear(&technologies, message).evidence(evidence)];
    };
    if device.opens_for(&user) || libvirt_hands_over(facts, device, &user) {
        return Vec::new();
    }
    let in_kvm = facts.kvm.known().is_some_and(|kvm| kvm.gid != 0 && user.gids.contains(&kvm.gid));
    let owner =
        if in_kvm { "GROUP=\"kvm\", MODE=\"0660\"".to_owned() } else { format!("OWNER=\"{}\"", user.name) };
    vec![
        RULE.about(&technologies, format!("QEMU's user `{}` may not open /dev/sev", user.name))
            .evidence([
                Evidence::new("sev_device", "/dev/sev", shown_owner(device)),
                Evidence::new("qemu_user", "/etc/passwd", format!("{} ({})", user.name, user.uid)),
            ])
            .command(format!("echo 'KERNEL==\"sev\", {owner}' > /etc/udev/rules.d/70-sev.rules"))
            .command("udevadm control --reload")
            .command("udevadm trigger --name-match=sev"),
    ]
}

fn shown_owner(device: &Device) -> String {
    let acl = if device.acl.known().is_some_and(|acl| !acl.is_empty()) {
        ", and an access control list"
    } else {
        ""
    };
    format!("owner {}, group {}, mode {:04o}{acl}", device.uid, device.gid, device.mode)
}

/// libvirt makes its QEMU's user the owner of the device that the guest sees.
fn libvirt_hands_over(facts: &Facts, device: &Device, user: &User) -> bool {
    let installed = facts.libvirt.known().is_some();
    let mended = libvirt(facts).is_none_or(|libvirt| libvirt > Version::new(5, 1, 0));
    let owner = device.mode & 0o600 == 0o600;
    installed && mended && owner && ["libvirt-qemu", "qemu"].contains(&user.name.as_str())
}
