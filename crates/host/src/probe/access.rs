//! Who may open what: device nodes with their access control lists and labels, the user that QEMU runs as, SELinux and
//! AppArmor.

use std::io::{self, Read as _, Write as _};
use std::path::Path;

use crate::facts::{AclEntry, AclTag, AppArmor, Device, Fact, Selinux, User};
use crate::root::Root;

/// `POSIX_ACL_XATTR_VERSION`, linux/posix_acl_xattr.h.
const ACL_VERSION: u32 = 2;
const ACL_ENTRY_LEN: usize = 8;

/// In the order in which they count.
const QEMU_USERS: [&str; 3] = [OWN_USER, "libvirt-qemu", "qemu"];
const OWN_USER: &str = "sevirt-qemu";

const SELINUX: &str = "/sys/fs/selinux";

/// Where distributions have the program that writes a profile for each machine.
const AA_HELPERS: [&str; 3] =
    ["/usr/lib/libvirt/virt-aa-helper", "/usr/libexec/virt-aa-helper", "/usr/libexec/libvirt/virt-aa-helper"];
const AA_HELPER_LIMIT: u64 = 16 << 20;
const AA_RULES: &str = "/etc/apparmor.d/abstractions/libvirt-qemu";
const AA_FURTHER_RULES: [&str; 2] =
    ["/etc/apparmor.d/abstractions/libvirt-qemu.d", "/etc/apparmor.d/local/abstractions"];

/// A device node.
pub(super) fn device(root: &Root, path: &str) -> Fact<Device> {
    let xattr = |name: &str| match root.xattr(path, name) {
        Ok(None) => Fact::Absent,
        Ok(Some(value)) => Fact::Known(value),
        Err(error) => Fact::of_io(path, Err(error)),
    };
    Fact::of_io(path, root.status(path)).map(|status| Device {
        uid: status.uid,
        gid: status.gid,
        mode: status.mode,
        acl: xattr("system.posix_acl_access").and_try(path, |value| {
            access_control_list(&value)
                .ok_or_else(|| "its access control list is not of a known form".to_owned())
        }),
        label: xattr("security.selinux")
            .map(|value| String::from_utf8_lossy(&value).trim_end_matches('\0').to_owned()),
    })
}

/// A version, then a tag, permissions and a number for each entry, all little-endian.
fn access_control_list(bytes: &[u8]) -> Option<Vec<AclEntry>> {
    let (version, entries) = bytes.split_at_checked(4)?;
    if version != ACL_VERSION.to_le_bytes() || entries.len() % ACL_ENTRY_LEN != 0 {
        return None;
    }
    entries
        .chunks_exact(ACL_ENTRY_LEN)
        .map(|entry| {
            let half = |at: usize| Some(u16::from_le_bytes(entry.get(at..at + 2)?.try_into().ok()?));
            let id = u32::from_le_bytes(entry.get(4..8)?.try_into().ok()?);
            let who = match half(0)? {
                0x01 => AclTag::Owner,
                0x02 => AclTag::User(id),
                0x04 => AclTag::OwningGroup,
                0x08 => AclTag::Group(id),
                0x10 => AclTag::Mask,
                0x20 => AclTag::Other,
                _ => return None,
            };
            Some(AclEntry { who, permissions: half(2)?.into() })
        })
        .collect()
}

/// Whom QEMU runs as. sevirt gives its QEMU the groups of these devices, whatever groups the user has, unless they are
/// root's.
pub(super) fn qemu_user(root: &Root, devices: [&Fact<Device>; 2]) -> Fact<User> {
    let users = root.text("/etc/passwd");
    let groups = root.text("/etc/group");
    users.and_then(|text| {
        let find = |wanted: &str| {
            text.lines().find_map(|line| {
                let mut fields = line.split(':');
                let name = fields.next().filter(|name| *name == wanted)?;
                let uid = fields.nth(1)?.parse().ok()?;
                let primary = fields.next()?.parse().ok()?;
                Some((name, uid, primary))
            })
        };
        let (name, uid, primary): (&str, u32, u32) = QEMU_USERS.into_iter().find_map(find)?;
        let mut gids = vec![primary];
        for line in groups.known().into_iter().flat_map(|text| text.lines()) {
            let mut fields = line.split(':').skip(2);
            let gid: Option<u32> = fields.next().and_then(|gid| gid.parse().ok());
            let is_member =
                fields.next().is_some_and(|members| members.split(',').any(|member| member == name));
            gids.extend(gid.filter(|gid| is_member && *gid != primary));
        }
        if name == OWN_USER {
            let groups =
                devices.into_iter().filter_map(Fact::known).filter(|device| device.mode & 0o060 != 0);
            for device in groups {
                if device.gid != 0 && !gids.contains(&device.gid) {
                    gids.push(device.gid);
                }
            }
        }
        Some(User { name: name.to_owned(), uid, gids })
    })
}

pub(super) fn selinux(root: &Root) -> Fact<Selinux> {
    root.text(&format!("{SELINUX}/enforce")).map(|text| {
        let (svirt_may_use_sev, policy_package) = if root.is_live() {
            let path = format!("{SELINUX}/access");
            (Fact::of_io(&path, svirt_may_use_sev()), Fact::Absent)
        } else {
            let said = root.description().map(|description| &description.selinux);
            (
                Fact::of_option(said.and_then(|said| said.svirt_may_use_sev)),
                Fact::of_option(said.and_then(|said| said.policy_package.clone())),
            )
        };
        Selinux { enforcing: text.trim() == "1", svirt_may_use_sev, policy_package }
    })
}

/// Asks the loaded policy, as libselinux's `security_compute_av` does: contexts and class go in, permissions come out.
fn svirt_may_use_sev() -> io::Result<bool> {
    const NEEDED: [&str; 5] = ["open", "read", "write", "getattr", "ioctl"];
    /// `AVD_FLAGS_PERMISSIVE`: what is not allowed is only logged.
    const PERMISSIVE: u32 = 1;
    let number = |path: String| -> io::Result<u32> {
        let text = std::fs::read_to_string(path)?;
        text.trim().parse().map_err(|_| io::ErrorKind::InvalidData.into())
    };
    let class = number(format!("{SELINUX}/class/chr_file/index"))?;
    let mut needed = 0u32;
    for permission in NEEDED {
        let position = number(format!("{SELINUX}/class/chr_file/perms/{permission}"))?;
        needed |= 1u32.checked_shl(position.wrapping_sub(1)).unwrap_or(0);
    }
    let level = if std::fs::read_to_string(format!("{SELINUX}/mls"))?.trim() == "1" { ":s0" } else { "" };
    let question = format!("system_u:system_r:svirt_t{level} system_u:object_r:sev_device_t{level} {class}");
    let mut access = std::fs::File::options().read(true).write(true).open(format!("{SELINUX}/access"))?;
    match access.write_all(question.as_bytes()) {
        // The policy does not know one of the two types, so it allows nothing between them.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(false),
        other => other?,
    }
    let mut answer = [0; 256];
    let length = access.read(&mut answer)?;
    let answer = String::from_utf8_lossy(answer.get(..length).unwrap_or_default()).into_owned();
    let hex =
        |at: usize| answer.split(' ').nth(at).and_then(|word| u32::from_str_radix(word.trim(), 16).ok());
    let allowed = hex(0).ok_or(io::ErrorKind::InvalidData)?;
    Ok(allowed & needed == needed || hex(5).is_some_and(|flags| flags & PERMISSIVE != 0))
}

pub(super) fn apparmor(root: &Root) -> Fact<AppArmor> {
    root.text("/sys/module/apparmor/parameters/enabled").and_then(|text| {
        matches!(text.trim(), "Y" | "1").then(|| AppArmor { profile_allows_sev: profile_allows_sev(root) })
    })
}

fn profile_allows_sev(root: &Root) -> Fact<bool> {
    let permits = |text: &str| text.lines().any(is_rule_for_sev);
    let by_rules = root.text(AA_RULES).map(|text| permits(&text));
    if by_rules != Fact::Known(false) {
        return by_rules;
    }
    let further =
        AA_FURTHER_RULES.iter().any(|directory| {
            let names = root.names(directory);
            let own = |name: &&String| !directory.contains("/local/") || *name == "libvirt-qemu";
            names.known().into_iter().flatten().filter(own).any(|name| {
                root.text(&format!("{directory}/{name}")).known().is_some_and(|text| permits(text))
            })
        });
    let by_helper = || {
        AA_HELPERS.iter().any(|path| {
            let program = root.bytes(Path::new(path), AA_HELPER_LIMIT);
            program.is_ok_and(|bytes| bytes.windows(8).any(|window| window == b"/dev/sev"))
        })
    };
    Fact::Known(further || by_helper())
}

/// Whether a line of a profile (apparmor.d(5)) lets `/dev/sev` be read and written.
fn is_rule_for_sev(line: &str) -> bool {
    let rule = line.split('#').next().unwrap_or_default().trim().trim_end_matches(',');
    let words: Vec<&str> = rule.split_ascii_whitespace().collect();
    let [qualifiers @ .., first, second] = words.as_slice() else { return false };
    // `PATH PERMISSIONS` and `PERMISSIONS PATH` mean the same.
    let (path, permissions) =
        if second.trim_matches('"').starts_with('/') { (second, first) } else { (first, second) };
    !qualifiers.contains(&"deny")
        && permissions.contains('r')
        && permissions.contains('w')
        && alternatives(path.trim_matches('"')).iter().any(|path| matches_glob(path.as_bytes(), b"/dev/sev"))
}

/// `/dev/{kvm,sev}` taken apart.
fn alternatives(pattern: &str) -> Vec<String> {
    let Some((before, rest)) = pattern.split_once('{') else { return vec![pattern.to_owned()] };
    let Some((inside, after)) = rest.split_once('}') else { return vec![pattern.to_owned()] };
    inside.split(',').map(|one| format!("{before}{one}{after}")).collect()
}

fn matches_glob(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=name.len()).any(|skip| {
            let (skipped, left) = name.split_at(skip);
            !skipped.contains(&b'/') && matches_glob(rest, left)
        }),
        ([b'?', rest @ ..], [byte, left @ ..]) if *byte != b'/' => matches_glob(rest, left),
        ([one, rest @ ..], [byte, left @ ..]) if one == byte => matches_glob(rest, left),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_control_list_is_decoded() {
        let bytes: Vec<u8> = [
            &2u32.to_le_bytes()[..],
            &[1, 0, 6, 0, 0xff, 0xff, 0xff, 0xff],
            &[2, 0, 6, 0, 107, 0, 0, 0],
            &[4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
            &[16, 0, 6, 0, 0xff, 0xff, 0xff, 0xff],
            &[32, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
        ]
        .concat();
        let entry = |who, permissions| AclEntry { who, permissions };
        let expected = vec![
            entry(AclTag::Owner, 6),
            entry(AclTag::User(107), 6),
            entry(AclTag::OwningGroup, 0),
            entry(AclTag::Mask, 6),
            entry(AclTag::Other, 0),
        ];
        assert_eq!(access_control_list(&bytes), Some(expected));
        assert_eq!(access_control_list(&bytes[..bytes.len() - 1]), None);
        assert_eq!(access_control_list(&[3, 0, 0, 0]), None);
        assert_eq!(access_control_list(&[]), None);
    }

    #[test]
    fn rules_for_the_device_are_told_from_others() {
        let yes = [
            "  /dev/sev rw,",
            "/dev/sev rwk, # for SEV",
            "owner \"/dev/sev\" rw,",
            "rw /dev/sev,",
            "/dev/{kvm,sev} rw,",
            "/dev/s?v rw,",
            "/dev/* rw,",
        ];
        let no = [
            "#  /dev/sev rw,",
            "/dev/sev r,",
            "deny /dev/sev rw,",
            "/dev/sev-guest rw,",
            "/dev/*/ rw,",
            "/* rw,",
            "/dev/sev",
            "",
        ];
        for line in yes {
            assert!(is_rule_for_sev(line), "{line}");
        }
        for line in no {
            assert!(!is_rule_for_sev(line), "{line}");
        }
    }
}
