//! What the next boot will do: the kernel's command line and the modules' parameters as they are configured.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Fact;

/// The configuration that the next boot reads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Boot {
    /// Where the kernel's command line is configured.
    pub loader: Fact<BootLoader>,
    /// The command line of the entry that boots by default, as the loader will pass it.
    pub command_line: Fact<String>,
    /// What GRUB's defaults will make of that entry the next time `grub.cfg` is made from them; without what
    /// `grub-mkconfig` adds (`root=…`). Absent where entries are read as they are.
    pub configured: Fact<String>,
    /// `options` lines for `kvm_amd` and `ccp` in modprobe.d, in the order in which modprobe reads them.
    pub module_options: Vec<ModuleOptions>,
}

/// Who passes the command line to the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BootLoader {
    /// GRUB with `grub.cfg` made from `/etc/default/grub` (Debian, Ubuntu, SUSE).
    Grub { defaults: PathBuf, config: PathBuf },
    /// GRUB or systemd-boot with Boot Loader Specification entries (Fedora, RHEL).
    Bls { entries: PathBuf, entry: PathBuf },
}

/// One `options MODULE PARAMETER=VALUE…` line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleOptions {
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    pub module: String,
    /// `PARAMETER=VALUE` words as they stand.
    pub options: Vec<String>,
}
