//! Where the daemon keeps its things: by the FHS for root, by XDG for a user, or all below one directory.

use std::path::{Path, PathBuf};

/// The daemon's directories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Definitions, autostart, variable stores: what outlives a reboot.
    pub state: PathBuf,
    /// Sockets and what belongs to running guests: what does not.
    pub run: PathBuf,
    /// What can be computed again.
    pub cache: PathBuf,
    /// QEMU's output, one file a guest.
    pub log: PathBuf,
    /// The daemon's configuration file.
    pub config: PathBuf,
    /// Where images of disks go, for the pool `default`.
    pub images: PathBuf,
    /// Where libvirt's own daemons of the same user have their sockets; `None`: they are not looked for.
    pub libvirt: Option<PathBuf>,
    /// Whether it is the system's daemon (`qemu:///system`) or a user's (`qemu:///session`).
    pub system: bool,
}

impl Paths {
    /// The system's.
    #[must_use]
    pub fn system() -> Self {
        Self {
            state: "/var/lib/sevirt".into(),
            run: "/run/sevirt".into(),
            cache: "/var/cache/sevirt".into(),
            log: "/var/log/sevirt".into(),
            config: "/etc/sevirt/sevirtd.toml".into(),
            images: "/var/lib/libvirt/images".into(),
            libvirt: Some("/run/libvirt".into()),
            system: true,
        }
    }

    /// A user's, by the XDG base directories; `variable` reads the environment.
    pub fn session(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<Self> {
        let home = variable("HOME");
        let below = |name: &str, rest: &str| {
            variable(name).filter(|path| path.is_absolute()).or_else(|| Some(home.as_ref()?.join(rest)))
        };
        let state = below("XDG_STATE_HOME", ".local/state")?.join("sevirt");
        Some(Self {
            run: variable("XDG_RUNTIME_DIR").map_or_else(|| state.join("run"), |path| path.join("sevirt")),
            cache: below("XDG_CACHE_HOME", ".cache")?.join("sevirt"),
            log: state.join("log"),
            config: below("XDG_CONFIG_HOME", ".config")?.join("sevirt/sevirtd.toml"),
            images: below("XDG_DATA_HOME", ".local/share")?.join("libvirt/images"),
            libvirt: variable("XDG_RUNTIME_DIR").map(|path| path.join("libvirt")),
            state,
            system: false,
        })
    }

    /// All of them below `directory`.
    #[must_use]
    pub fn below(directory: &Path, system: bool) -> Self {
        Self {
            state: directory.join("lib"),
            run: directory.join("run"),
            cache: directory.join("cache"),
            log: directory.join("log"),
            config: directory.join("sevirtd.toml"),
            images: directory.join("lib/images"),
            libvirt: None,
            system,
        }
    }

    /// What `virsh uri` prints.
    #[must_use]
    pub fn uri(&self) -> &'static str {
        if self.system { "qemu:///system" } else { "qemu:///session" }
    }

    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.run.join("sevirt-sock")
    }

    #[must_use]
    pub fn read_only_socket(&self) -> PathBuf {
        self.run.join("sevirt-sock-ro")
    }
}
