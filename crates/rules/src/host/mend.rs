//! The commands that mend a host, by distribution.

use host::{BootLoader, Facts};

use crate::Technology;

/// Turns a technology on for the next boot.
pub(super) fn enable(technology: Technology) -> String {
    format!("sevirt host enable --tech {} --apply", technology.word())
}

pub(super) const REBOOT: &str = "systemctl reboot";
/// Reboots into the setup program of the machine's firmware.
pub(super) const SETUP: &str = "systemctl reboot --firmware-setup";
/// What the kernel says about encrypted guests.
pub(super) const KERNEL_LOG: &str = "dmesg | grep -i -e sev -e ccp -e rmp -e snp";

/// Looks again with more rights.
pub(super) const AS_ROOT: &str = "sudo sevirt host check";

/// A package by its name in each family of distributions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Package {
    pub(super) debian: &'static str,
    pub(super) fedora: &'static str,
    pub(super) suse: &'static str,
}

pub(super) const QEMU: Package = Package { debian: "qemu-system-x86", fedora: "qemu-kvm", suse: "qemu-x86" };
pub(super) const OVMF: Package = Package { debian: "ovmf", fedora: "edk2-ovmf", suse: "qemu-ovmf-x86_64" };
pub(super) const LIBVIRT: Package =
    Package { debian: "libvirt-daemon-system", fedora: "libvirt", suse: "libvirt" };

pub(super) const KERNEL: Package =
    Package { debian: "linux-image-amd64", fedora: "kernel", suse: "kernel-default" };

/// Installs or upgrades a package; `None` where the distribution does not show.
pub(super) fn install(facts: &Facts, package: Package) -> Option<String> {
    let release = facts.kernel_release.known().map_or("", String::as_str);
    let config = match facts.boot.loader.known() {
        Some(BootLoader::Grub { config, .. }) => config.to_str().unwrap_or_default(),
        Some(BootLoader::Bls { .. }) | None => "",
    };
    let bls = matches!(facts.boot.loader.known(), Some(BootLoader::Bls { .. }));
    Some(if release.ends_with("-default") || config.contains("/grub2/") && !release.contains(".el") {
        format!("zypper install {}", package.suse)
    } else if release.contains(".fc") || release.contains(".el") || bls {
        format!("dnf install {}", package.fedora)
    } else if ["-amd64", "-generic"].iter().any(|end| release.ends_with(end)) || config.contains("/grub/") {
        format!("apt-get install {}", package.debian)
    } else {
        return None;
    })
}
