//! What a plan needs to know of the place where its guest will run. All of it is given as values, so that a plan can
//! be made for a machine that is elsewhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
};

use domain::model::sysinfo::Smbios;

use crate::firmware::Descriptor;

/// The place where a guest will run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The guest's own run directory: launch blobs, the master key and sockets that the domain names no path for.
    pub domain_dir: PathBuf,
    /// Where the guest's UEFI variables go if the domain names no file: `NAME_VARS.fd` in this directory.
    pub nvram_dir: PathBuf,
    /// A file with a random 32-byte key by which secrets can be passed to QEMU. Without one there is no such object.
    pub master_key: Option<PathBuf>,
    /// File descriptors that QEMU inherits.
    pub fds: InheritedFds,
    /// The host's SEV parameters; a domain may leave its own out only if these are given.
    pub sev: Option<SevParams>,
    /// What `mode='host-model'` becomes. Without it, the newest named model that `Caps` calls usable.
    pub host_model: Option<CpuChoice>,
    /// The host processor's features by libvirt's names, for those that a domain wants only if the host has them.
    pub host_features: Option<BTreeSet<String>>,
    /// Firmware descriptors in order of precedence, masked ones already left out.
    pub firmware: Vec<Descriptor>,
    /// What `<source network='…'/>` means here. A network that is not in the list becomes user-mode networking.
    pub networks: BTreeMap<String, Network>,
    /// Directories for memory that is backed by files or huge pages.
    pub memory_dirs: MemoryDirs,
    /// Block devices that are CD-ROM drives.
    pub cdrom_drives: BTreeSet<String>,
    /// The sockets of TPM emulators that run for this guest, by the TPM's alias.
    pub tpm_sockets: BTreeMap<String, PathBuf>,
    /// The sockets of passt processes that run for this guest, by the interface's alias.
    pub passt_sockets: BTreeMap<String, PathBuf>,
    /// The directory of the host's certificates for character devices over TCP; given, they are encrypted unless the
    /// domain says otherwise.
    pub chardev_tls_dir: Option<PathBuf>,
    /// What displays need to know of the host.
    pub displays: Displays,
    /// The context identifier for a vsock device that asks for one.
    pub vsock_cid: Option<u32>,
    /// The host's SMBIOS tables, for a guest that shows them as its own.
    pub host_smbios: Option<Smbios>,
    /// A fresh UUID for a guest that asks for a new generation id at each start.
    pub generation_id: Option<String>,
    /// Whoever starts the guest carries out what QEMU can be told only once it runs: the balloon, pinning, links that
    /// are down, passwords of displays.
    pub is_tuned: bool,
    /// The time, for a guest whose clock is set relative to it.
    pub clock: Option<HostClock>,
    /// The QEMU binary for a domain that names none.
    pub emulator: Option<PathBuf>,
    /// The user whom QEMU runs as, for its environment.
    pub user: String,
    /// `PATH` in QEMU's environment.
    pub path: String,
}

/// File descriptors that QEMU inherits, by what they are for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InheritedFds {
    /// The listening QMP socket.
    pub monitor: i32,
    /// Listening sockets of character devices, by the device's alias, where none is given QEMU binds the path; and
    /// connected sockets of the processes that draw for vhost-user graphics cards.
    pub sockets: BTreeMap<String, i32>,
    /// Files opened for character devices and TPMs, by `ALIAS-source`, `ALIAS-tpm`, `ALIAS-cancel`.
    pub files: BTreeMap<String, i32>,
    /// Tap devices, by the interface's alias.
    pub taps: BTreeMap<String, TapFds>,
    /// `/dev/vhost-vsock`, by the device's alias.
    pub vsocks: BTreeMap<String, i32>,
}

/// A network interface's descriptors, one of each kind per queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TapFds {
    pub tap: Vec<TapFd>,
    /// `/dev/vhost-net`; empty: the device is emulated by QEMU itself.
    pub vhost: Vec<TapFd>,
}

/// What QEMU calls a file descriptor that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TapFd {
    /// It was inherited.
    Number(i32),
    /// It came by QMP's `getfd`, which gave it this name. No name begins with a digit.
    Name(String),
}

impl fmt::Display for TapFd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// What the host's processor says of SEV (CPUID 8000_001F EBX).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SevParams {
    /// The position of the C-bit in a physical address.
    pub cbitpos: u32,
    /// How many bits of physical address space encryption costs.
    pub reduced_phys_bits: u32,
}

/// A CPU model and what is added to or taken from it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CpuChoice {
    /// QEMU's name of the model.
    pub model: String,
    /// Features in order, on or off, by QEMU's names.
    pub features: Vec<(String, bool)>,
}

/// What a named network is on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// A bridge; the tap devices are among the inherited descriptors.
    Bridge(String),
    /// User-mode networking inside QEMU.
    User,
}

/// Where memory files go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryDirs {
    /// The directory for `<source type='file'/>`.
    pub files: PathBuf,
    /// Mounted huge page directories, by page size in KiB.
    pub huge_pages: BTreeMap<u64, PathBuf>,
    /// The page size, in KiB, that `<hugepages/>` without a size means.
    pub default_huge_page_kib: Option<u64>,
}

/// What displays need to know of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Displays {
    /// The port for a VNC display that leaves the choice; 5900 where none is given.
    pub vnc_port: Option<u16>,
    /// The port for a Spice display that leaves the choice. Without one Spice gets no TCP port.
    pub spice_port: Option<u16>,
    /// The directory of the host's certificates for Spice. Without one there are no encrypted channels.
    pub spice_tls_dir: Option<PathBuf>,
    /// Displays that name no address listen on a unix socket in the guest's run directory.
    pub prefer_unix_sockets: bool,
    /// Where the sound server of the session is that guests may use.
    pub pipewire_dir: Option<PathBuf>,
    /// The address of the message bus for D-Bus displays.
    pub dbus_address: Option<String>,
    /// The host gives every Spice display a password, by QMP, before the guest runs.
    pub spice_password: bool,
}

/// The host's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostClock {
    /// Seconds since 1970, UTC.
    pub unix_seconds: i64,
    /// How far local time is ahead of UTC.
    pub utc_offset_seconds: i32,
}
