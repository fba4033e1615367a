//! What the demo guest is made of: the distribution's newest kernel, busybox, the modules it needs to find its disk and to
//! look at its processor, and a script.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::initramfs::{Initramfs, InitramfsError};
use crate::kernel::{Kernel, KernelError};
use crate::modules::ModuleError;

/// On a directly booted kernel's command line: report to the consoles and leave disks alone.
pub const CONSOLE_OPTION: &str = "sevirt.report=console";

/// The command line of the kernel on the disk. Where there is no serial port, the kernel leaves that console out.
pub(super) const COMMAND_LINE: &str = "console=tty0 console=ttyS0 quiet panic=-1";

const INIT: &str = include_str!("guest_init.sh");

/// On a kernel's command line: after the report, wait for the power button.
pub(super) const STAY_OPTION: &str = "sevirt.stay";

/// Disks behind every bus that QEMU has for them, the file system of an ESP, the processor's registers, the power button.
const MODULES: [&str; 14] = [
    "virtio_pci",
    "virtio_scsi",
    "virtio_blk",
    "ahci",
    "ata_piix",
    "sd_mod",
    "nvme",
    "nls_cp437",
    "nls_ascii",
    "vfat",
    "cpuid",
    "msr",
    "button",
    "evdev",
];

/// The parts of the guest, found on this machine.
#[derive(Clone, Debug)]
pub struct Guest {
    kernel: Kernel,
    busybox: PathBuf,
}

/// Why the guest's parts cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    #[error(transparent)]
    Kernel(#[from] KernelError),
    #[error(transparent)]
    Module(#[from] ModuleError),
    #[error("read `{}`", path.display())]
    Busybox { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Initramfs(#[from] InitramfsError),
}

impl Guest {
    /// Finds the newest kernel below `root` that has all modules, for a guest with this static busybox.
    ///
    /// # Errors
    /// When there is no such kernel.
    pub fn find(root: &Path, busybox: &Path) -> Result<Self, GuestError> {
        let kernel = Kernel::newest(root, &MODULES)?;
        Ok(Self { kernel, busybox: busybox.into() })
    }

    /// The kernel's version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.kernel.version
    }

    /// The kernel's file.
    #[must_use]
    pub fn kernel_path(&self) -> &Path {
        &self.kernel.image
    }

    /// The kernel's image.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn kernel(&self) -> Result<Vec<u8>, GuestError> {
        Ok(self.kernel.read()?)
    }

    /// The initrd, which serves a kernel on the disk as well as one that is booted directly.
    ///
    /// # Errors
    /// When a part of it cannot be read.
    pub fn initrd(&self) -> Result<Vec<u8>, GuestError> {
        let busybox = fs::read(&self.busybox);
        let busybox = busybox.map_err(|source| GuestError::Busybox { path: self.busybox.clone(), source })?;
        let mut initrd = Initramfs::new();
        for directory in ["dev", "proc", "sys"] {
            initrd.directory(directory);
        }
        initrd.character_device("dev/console", 0o600, 5, 1);
        initrd.file("bin/busybox", 0o755, busybox);
        initrd.file("init", 0o755, INIT);
        for (number, module) in self.kernel.modules.iter().enumerate() {
            // The shell's pattern gives them in this order.
            initrd.file(&format!("modules/{number:03}-{}.ko", module.name), 0o644, module.read()?);
        }
        Ok(initrd.build()?)
    }

    /// What boot menus call it.
    pub(super) fn os_release(&self) -> String {
        format!(
            "NAME=\"sevirt demo guest\"\nID=sevirt-guest\nPRETTY_NAME=\"sevirt demo guest, Linux {version}\"\n\
             VERSION_ID=\"{version}\"\n",
            version = self.version()
        )
    }

    /// All files that it is made of.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        let modules = self.kernel.modules.iter().map(|module| module.path.as_path());
        [self.kernel.image.as_path(), &self.busybox].into_iter().chain(modules)
    }
}

/// Differs when our own part of the guest does.
pub(super) fn fingerprint() -> String {
    format!("init {:08x} {} bytes", crc32fast::hash(INIT.as_bytes()), INIT.len())
}

#[cfg(test)]
mod tests {
    use super::super::disk::{PARTITION_NAME, REPORT_DIRECTORY, REPORT_FILE};
    use super::*;

    #[test]
    fn the_script_names_what_the_reader_looks_for() {
        assert!(INIT.contains(&format!("$(partition {PARTITION_NAME})")));
        assert!(INIT.contains(&format!("/esp/{REPORT_DIRECTORY}/{REPORT_FILE}")));
        assert!(INIT.contains(&format!("grep -qw {CONSOLE_OPTION} /proc/cmdline")));
        assert!(INIT.contains(&format!("grep -qw {STAY_OPTION} /proc/cmdline")));
    }
}
