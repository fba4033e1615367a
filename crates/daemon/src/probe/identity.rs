//! What the answers of a QEMU binary depend on, gathered cheaply: whoever finds the answers remembered pays for nothing
//! but this.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use host::{Fact, Platform};
use serde::Serialize;

use super::ProbeError;

mod processor;

/// Where QEMU looks for its modules, by distribution; directories that are not there count, too.
const MODULE_DIRECTORIES: [&str; 5] = [
    "/usr/lib/x86_64-linux-gnu/qemu",
    "/usr/lib64/qemu-kvm",
    "/usr/lib64/qemu",
    "/usr/lib/qemu",
    "/usr/local/lib/qemu",
];

/// The kernel modules on whose parameters KVM's abilities depend.
const KERNEL_MODULES: [&str; 3] = ["kvm", "kvm_amd", "kvm_intel"];

/// Who QEMU's user is, and of which groups.
const ACCOUNTS: [&str; 2] = ["/etc/passwd", "/etc/group"];

/// What is taken of an extended attribute.
const ATTRIBUTE_LIMIT: usize = 4096;

/// Remembered answers hold while all of this is the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Identity {
    pub(super) emulator: PathBuf,
    binary: Node,
    /// QEMU's module directories: a module's coming or going changes what QEMU has.
    modules: BTreeMap<PathBuf, Node>,
    microcode: Option<String>,
    /// Parameters of the KVM modules that are loaded, by module.
    parameters: BTreeMap<String, BTreeMap<String, String>>,
    kvm_device: Option<Device>,
    sev_device: Option<Device>,
    /// The accounts by which QEMU's user may open them, or not.
    accounts: Vec<Option<Node>>,
    /// The simulator that answers for the secure processor, where one does.
    simulator: Option<String>,
    machine: Machine,
}

/// What is asked of the system and not read from files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Machine {
    /// `uname`'s release and version.
    kernel: (String, String),
    /// What the processor says of itself.
    cpuid: Vec<processor::Leaf>,
    /// The secure processor's firmware and owner, or why it does not tell.
    platform: Result<Firmware, String>,
    /// Who asks: user, group and further groups decide what can be opened.
    user: (u32, u32, Vec<u32>),
    /// What the dynamic linker puts into QEMU, and from where QEMU loads its modules.
    environment: BTreeMap<String, String>,
}

/// What of the platform's status stays while guests come and go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Firmware {
    /// Major, minor, build.
    version: (u8, u8, u8),
    externally_owned: bool,
    es: bool,
}

/// A file, as far as it can be told from another or an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Node {
    device: u64,
    inode: u64,
    size: u64,
    mode: u32,
    owner: (u32, u32),
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A device node and who may open it. Its times are left out: opening and writing change them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Device {
    device: u64,
    inode: u64,
    /// Major and minor number.
    number: u64,
    mode: u32,
    owner: (u32, u32),
    access_list: Vec<u8>,
    label: Vec<u8>,
}

impl Identity {
    pub(super) fn of(emulator: &Path) -> Result<Self, ProbeError> {
        Self::under(Path::new("/"), emulator, Machine::this())
    }

    /// By the files below `root`, where the emulator is looked for as well.
    fn under(root: &Path, emulator: &Path, machine: Machine) -> Result<Self, ProbeError> {
        let failed = |source| ProbeError::Emulator { path: emulator.to_owned(), source };
        let emulator = fs::canonicalize(emulator).map_err(failed)?;
        let found = fs::metadata(&emulator).map_err(failed)?;
        if !found.is_file() || found.permissions().mode() & 0o111 == 0 {
            return Err(ProbeError::NotExecutable { path: emulator });
        }
        let below = |path: &str| root.join(path.trim_start_matches('/'));
        let named = machine.environment.get("QEMU_MODULE_DIR").map(String::as_str);
        let modules = MODULE_DIRECTORIES.into_iter().chain(named);
        Ok(Self {
            binary: Node::from(&found),
            modules: modules
                .filter_map(|path| Some((PathBuf::from(path), Node::of(&below(path))?)))
                .collect(),
            microcode: microcode(&below),
            parameters: KERNEL_MODULES
                .into_iter()
                .filter_map(|module| {
                    let found = parameters(&below(&format!("/sys/module/{module}/parameters")))?;
                    Some((module.to_owned(), found))
                })
                .collect(),
            kvm_device: Device::of(&below("/dev/kvm")),
            sev_device: Device::of(&below("/dev/sev")),
            accounts: ACCOUNTS.map(|path| Node::of(&below(path))).into(),
            simulator: line(&below("/run/sevirt/simulated")),
            machine,
            emulator,
        })
    }
}

impl Machine {
    fn this() -> Self {
        Self { platform: firmware(host::platform_status()), ..Self::fixed().clone() }
    }

    /// What stays while this process runs; the platform is not in it.
    fn fixed() -> &'static Self {
        static FIXED: OnceLock<Machine> = OnceLock::new();
        FIXED.get_or_init(|| {
            let system = rustix::system::uname();
            let text = |name: &std::ffi::CStr| name.to_string_lossy().into_owned();
            // A process has few groups; where they cannot be told they are none.
            let groups = rustix::process::getgroups().unwrap_or_default();
            let mut groups: Vec<u32> = groups.into_iter().map(rustix::process::Gid::as_raw).collect();
            groups.sort_unstable();
            let variables = ["LD_PRELOAD", "QEMU_MODULE_DIR"];
            Self {
                kernel: (text(system.release()), text(system.version())),
                cpuid: processor::leaves(),
                platform: Err(String::new()),
                user: (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw(), groups),
                environment: variables
                    .into_iter()
                    .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)))
                    .collect(),
            }
        })
    }
}

fn firmware(platform: Fact<Platform>) -> Result<Firmware, String> {
    match platform {
        Fact::Known(found) => Ok(Firmware {
            version: (found.api_major, found.api_minor, found.build),
            externally_owned: found.externally_owned,
            es: found.es,
        }),
        Fact::Absent => Err("absent".to_owned()),
        Fact::Unreadable { errno, why, .. } => Err(format!("{errno} {why}")),
    }
}

impl Node {
    fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().as_ref().map(Self::from)
    }
}

impl From<&fs::Metadata> for Node {
    fn from(found: &fs::Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            mode: found.mode(),
            owner: (found.uid(), found.gid()),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

impl Device {
    fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
            number: found.rdev(),
            mode: found.mode(),
            owner: (found.uid(), found.gid()),
            access_list: attribute(path, "system.posix_acl_access"),
            label: attribute(path, "security.selinux"),
        })
    }
}

/// An extended attribute; empty where there is none.
fn attribute(path: &Path, name: &str) -> Vec<u8> {
    let mut value = vec![0; ATTRIBUTE_LIMIT];
    let length = rustix::fs::getxattr(path, name, value.as_mut_slice()).unwrap_or(0);
    value.truncate(length);
    value
}

/// The microcode's revision. A guest's kernel tells it among the processor's flags only.
fn microcode(below: &impl Fn(&str) -> PathBuf) -> Option<String> {
    line(&below("/sys/devices/system/cpu/cpu0/microcode/version")).or_else(|| {
        let text = read_small(&below("/proc/cpuinfo")).ok()?;
        text.lines().find(|line| line.starts_with("microcode")).map(str::to_owned)
    })
}

/// The first line of a small file; `None` where it cannot be read.
fn line(path: &Path) -> Option<String> {
    read_small(path).ok().map(|text| text.lines().next().unwrap_or_default().to_owned())
}

/// `None` where the module is not loaded, and has no parameters.
fn parameters(directory: &Path) -> Option<BTreeMap<String, String>> {
    let entries = fs::read_dir(directory).ok()?;
    let value = |path: &Path| read_small(path).unwrap_or_else(|error| error.to_string());
    let named = entries.flatten().map(|entry| {
        let value = value(&entry.path()).trim_end().to_owned();
        (entry.file_name().to_string_lossy().into_owned(), value)
    });
    Some(named.collect())
}

fn read_small(path: &Path) -> io::Result<String> {
    use io::Read as _;
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(4096).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests;
