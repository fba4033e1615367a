//! What the answers of a QEMU binary depend on, gathered cheaply: a start that finds its answers remembered pays for
//! nothing but this.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ProbeError;

/// Remembered answers hold while all of this is the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) emulator: PathBuf,
    binary: Node,
    /// `uname`'s release and version.
    kernel: (String, String),
    microcode: Option<String>,
    /// Each parameter of the `kvm_amd` module.
    kvm_amd: BTreeMap<String, String>,
    kvm_device: Option<Node>,
    sev_device: Option<Node>,
    /// The simulator that answers for the secure processor, where one does.
    simulator: Option<String>,
    /// Who asks: user, group and further groups decide what can be opened.
    user: (u32, u32, Vec<u32>),
    /// What the dynamic linker puts into QEMU.
    preload: Option<String>,
}

/// A file, as far as it can be told from another or an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Node {
    device: u64,
    inode: u64,
    /// Major and minor number, of a device node.
    number: u64,
    size: u64,
    mode: u32,
    owner: (u32, u32),
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
}

pub(super) fn of(emulator: &Path) -> Result<Identity, ProbeError> {
    let failed = |source| ProbeError::Emulator { path: emulator.to_owned(), source };
    let emulator = fs::canonicalize(emulator).map_err(failed)?;
    let found = fs::metadata(&emulator).map_err(failed)?;
    if !found.is_file() || found.permissions().mode() & 0o111 == 0 {
        return Err(ProbeError::NotExecutable { path: emulator });
    }
    let system = rustix::system::uname();
    let text = |name: &std::ffi::CStr| name.to_string_lossy().into_owned();
    let mut groups: Vec<u32> = rustix::process::getgroups()
        .map_err(|error| failed(error.into()))?
        .into_iter()
        .map(rustix::process::Gid::as_raw)
        .collect();
    groups.sort_unstable();
    Ok(Identity {
        binary: Node::from(&found),
        kernel: (text(system.release()), text(system.version())),
        microcode: line("/sys/devices/system/cpu/cpu0/microcode/version"),
        kvm_amd: parameters("/sys/module/kvm_amd/parameters"),
        kvm_device: device("/dev/kvm"),
        sev_device: device("/dev/sev"),
        simulator: line("/run/sevirt/simulated"),
        user: (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw(), groups),
        preload: std::env::var("LD_PRELOAD").ok(),
        emulator,
    })
}

impl From<&fs::Metadata> for Node {
    fn from(found: &fs::Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            number: found.rdev(),
            size: found.size(),
            mode: found.mode(),
            owner: (found.uid(), found.gid()),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

/// A device node. Its times are left out: opening and writing change them.
fn device(path: &str) -> Option<Node> {
    let found = fs::metadata(path).ok()?;
    Some(Node { modified: (0, 0), changed: (0, 0), ..Node::from(&found) })
}

/// The first line of a small file; `None` where it cannot be read.
fn line(path: &str) -> Option<String> {
    read_small(Path::new(path)).ok().map(|text| text.lines().next().unwrap_or_default().to_owned())
}

fn parameters(directory: &str) -> BTreeMap<String, String> {
    let Ok(entries) = fs::read_dir(directory) else { return BTreeMap::new() };
    entries
        .flatten()
        .map(|entry| {
            let value = read_small(&entry.path()).unwrap_or_else(|error| error.to_string());
            (entry.file_name().to_string_lossy().into_owned(), value.trim_end().to_owned())
        })
        .collect()
}

fn read_small(path: &Path) -> io::Result<String> {
    use io::Read as _;
    let mut text = String::new();
    fs::File::open(path)?.take(4096).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(directory: &Path) -> PathBuf {
        let path = directory.join("qemu");
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn a_changed_binary_is_another() {
        let directory = tempfile::tempdir().unwrap();
        let path = program(directory.path());
        let before = of(&path).unwrap();
        assert_eq!(of(&path).unwrap(), before);
        fs::write(&path, "#!/bin/sh\nexit\n").unwrap();
        assert_ne!(of(&path).unwrap(), before);
    }

    #[test]
    fn what_cannot_be_run_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = program(directory.path());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(of(&path), Err(ProbeError::NotExecutable { .. })));
        assert!(matches!(of(directory.path()), Err(ProbeError::NotExecutable { .. })));
        assert!(matches!(of(&directory.path().join("none")), Err(ProbeError::Emulator { .. })));
    }
}
