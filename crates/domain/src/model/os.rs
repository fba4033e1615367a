//! `<os>`: architecture, machine, firmware, and what is booted.

use super::{Switch, keyword::keywords, sysinfo::SmbiosMode};

/// `<os>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Os {
    /// `<type arch=…>`, as written (`x86_64`).
    pub arch: Option<String>,
    /// `<type machine=…>`, as written (`q35`, `pc-q35-10.0`, `pc`, …).
    pub machine: Option<String>,
    /// `firmware=…`: have a firmware chosen by its descriptor.
    pub firmware: Option<Firmware>,
    /// `<firmware><feature …>`: what the chosen firmware must or must not have.
    pub firmware_features: Vec<FirmwareFeature>,
    pub loader: Option<Loader>,
    pub nvram: Option<Nvram>,
    pub kernel: Option<String>,
    pub initrd: Option<String>,
    pub cmdline: Option<String>,
    pub dtb: Option<String>,
    /// `<boot dev=…>`, first choice first.
    pub boot: Vec<BootDevice>,
    pub boot_menu: BootMenu,
    pub bios: Bios,
    pub smbios: Option<SmbiosMode>,
}

keywords! {
    /// `<os firmware=…>`.
    pub enum Firmware {
        Bios = "bios",
        Efi = "efi",
    }
}

/// `<feature enabled=… name=…>` of `<firmware>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirmwareFeature {
    pub name: FirmwareFeatureName,
    pub enabled: Switch,
}

keywords! {
    /// What can be asked of a firmware.
    pub enum FirmwareFeatureName {
        EnrolledKeys = "enrolled-keys",
        SecureBoot = "secure-boot",
    }
}

/// `<loader>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loader {
    /// Empty element (firmware auto-selection with constraints): `None`.
    pub path: Option<String>,
    pub readonly: Option<Switch>,
    pub kind: Option<LoaderKind>,
    pub secure: Option<Switch>,
    pub stateless: Option<Switch>,
    pub format: Option<FirmwareFormat>,
}

keywords! {
    /// `<loader type=…>`.
    pub enum LoaderKind {
        Rom = "rom",
        Pflash = "pflash",
    }
}

keywords! {
    /// The image format of a loader, an NVRAM file or its template.
    pub enum FirmwareFormat {
        Raw = "raw",
        Qcow2 = "qcow2",
    }
}

/// `<nvram>`: the guest's own copy of the firmware's variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nvram {
    pub path: Option<String>,
    pub template: Option<String>,
    pub template_format: Option<FirmwareFormat>,
    pub format: Option<FirmwareFormat>,
}

keywords! {
    /// `<boot dev=…>`.
    pub enum BootDevice {
        Fd = "fd",
        Hd = "hd",
        Cdrom = "cdrom",
        Network = "network",
    }
}

/// `<bootmenu>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BootMenu {
    pub enable: Option<Switch>,
    /// Milliseconds.
    pub timeout: Option<u32>,
}

/// `<bios>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bios {
    pub use_serial: Option<Switch>,
    /// Milliseconds; −1 never reboots.
    pub reboot_timeout: Option<i32>,
}
