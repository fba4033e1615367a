//! What is installed: QEMU binaries and libvirt.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Fact;

/// A QEMU binary and what it can do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Emulator {
    pub path: PathBuf,
    /// `major.minor.micro`, or why it could not be asked.
    pub version: Fact<String>,
    /// Canonical names of its machine types.
    pub machines: Vec<String>,
    /// Those of `sev-guest` and `sev-snp-guest` that it has.
    pub sev_objects: Vec<String>,
    /// Why it offers no SEV guests, in QEMU's words; `None` where it does.
    pub sev_refusal: Option<String>,
}

/// libvirt, where it is installed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Libvirt {
    /// `major.minor.micro`.
    pub version: Fact<String>,
    /// Its remembered answers, one for each QEMU binary.
    pub caches: Vec<CapabilityCache>,
}

/// A file of `/var/cache/libvirt/qemu/capabilities`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapabilityCache {
    pub path: PathBuf,
    /// The QEMU binary that the answers are of, where the file names it.
    #[serde(default)]
    pub emulator: Option<PathBuf>,
    /// Seconds since the epoch.
    pub modified: i64,
    /// What its answers depend on and that changed later; empty where there is no such thing.
    pub older_than: Vec<Dependency>,
}

/// Something that a remembered answer depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// `kernel boot`, or the path of a file, directory or device node.
    pub what: String,
    /// Seconds since the epoch.
    pub changed: i64,
}
