//! Who may open what: device nodes, the user that QEMU runs as, and the security modules.

use serde::{Deserialize, Serialize};

use super::Fact;

/// A device node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    pub uid: u32,
    pub gid: u32,
    /// The permission bits.
    pub mode: u32,
    /// POSIX access control list (`system.posix_acl_access`), in the order of getfacl; absent where there is none.
    #[serde(default)]
    pub acl: Fact<Vec<AclEntry>>,
    /// The SELinux context (`security.selinux`).
    #[serde(default)]
    pub label: Fact<String>,
}

/// An entry of an access control list (acl(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AclEntry {
    pub who: AclTag,
    /// Read 4, write 2, execute 1.
    pub permissions: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AclTag {
    Owner,
    User(u32),
    OwningGroup,
    Group(u32),
    Mask,
    Other,
}

/// A user as `/etc/passwd` and `/etc/group` have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub name: String,
    pub uid: u32,
    /// The primary group first.
    pub gids: Vec<u32>,
}

impl User {
    /// Who runs this program, and so the QEMU that it starts itself.
    #[must_use]
    pub fn of_this_process() -> Self {
        let primary = rustix::process::getegid().as_raw();
        let others = rustix::process::getgroups().unwrap_or_default();
        let others = others.iter().map(|gid| gid.as_raw()).filter(|gid| *gid != primary);
        let uid = rustix::process::geteuid().as_raw();
        let name = if uid == 0 { "root".to_owned() } else { format!("user {uid}") };
        Self { name, uid, gids: [primary].into_iter().chain(others).collect() }
    }
}

impl Device {
    /// Whether `user` may open the node for reading and writing, by its mode and access control list (acl(5), "access
    /// check algorithm"). Capabilities are not considered: QEMU runs without them.
    #[must_use]
    pub fn opens_for(&self, user: &User) -> bool {
        const READ_WRITE: u32 = 6;
        let permits = |permissions: u32| permissions & READ_WRITE == READ_WRITE;
        let (owner, group, other) = (self.mode >> 6 & 7, self.mode >> 3 & 7, self.mode & 7);
        let Some(acl) = self.acl.known().filter(|acl| !acl.is_empty()) else {
            return if user.uid == self.uid {
                permits(owner)
            } else if user.gids.contains(&self.gid) {
                permits(group)
            } else {
                permits(other)
            };
        };
        let mask = acl.iter().find(|entry| entry.who == AclTag::Mask).map_or(7, |entry| entry.permissions);
        if user.uid == self.uid {
            return permits(owner);
        }
        if let Some(named) = acl.iter().find(|entry| entry.who == AclTag::User(user.uid)) {
            return permits(named.permissions & mask);
        }
        let mut in_group = false;
        for entry in acl {
            let matches = match entry.who {
                AclTag::OwningGroup => user.gids.contains(&self.gid),
                AclTag::Group(gid) => user.gids.contains(&gid),
                AclTag::Owner | AclTag::User(_) | AclTag::Mask | AclTag::Other => false,
            };
            in_group |= matches;
            if matches && permits(entry.permissions & mask) {
                return true;
            }
        }
        !in_group && permits(other)
    }
}

/// SELinux, where the kernel runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selinux {
    pub enforcing: bool,
    /// Whether the loaded policy lets `svirt_t` use a `sev_device_t` node, by `/sys/fs/selinux/access`.
    pub svirt_may_use_sev: Fact<bool>,
    /// Version of the package with the policy: evidence only.
    pub policy_package: Fact<String>,
}

/// AppArmor, where the kernel runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppArmor {
    /// Whether a rule of the profiles for virtual machines names `/dev/sev`.
    pub profile_allows_sev: Fact<bool>,
}
