//! The guest's firmware: the image that the domain names, or one chosen by the descriptors on the host; and how it is
//! given to the guest.

use std::path::{Path, PathBuf};

use domain::{
    Domain,
    model::{
        Switch,
        launch_security::LaunchSecurity,
        os::{Firmware as Kind, FirmwareFeatureName, FirmwareFormat, Loader, LoaderKind},
    },
};

use super::{PlanError, Surroundings};
use crate::{
    Caps,
    argv::{Argument, Properties},
    firmware::{Descriptor, FlashFile, FlashMode, Mapping},
};

/// The firmware of a guest, decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Firmware {
    /// None: QEMU's own BIOS.
    pub code: Option<Code>,
    /// The guest's own variables, in flash beside the code.
    pub variables: Option<Variables>,
    /// The image runs partly in system management mode.
    pub requires_smm: bool,
    /// Only code in system management mode may write to the flash.
    pub secure: bool,
}

/// The firmware's code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    pub path: PathBuf,
    pub placement: Placement,
}

/// Where the guest finds its firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Copied to memory, `-bios`.
    Rom,
    /// Parallel flash, `pflash0`.
    Flash { format: FirmwareFormat, read_only: bool },
}

/// The file in which a guest's UEFI variables are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variables {
    pub path: PathBuf,
    pub format: FirmwareFormat,
    /// What the file starts as, where it does not exist yet.
    pub template: Option<PathBuf>,
}

impl Firmware {
    /// The block node of the code, for `-machine pflash0=`.
    pub(crate) fn code_node(&self) -> Option<&'static str> {
        let code = self.code.as_ref()?;
        matches!(code.placement, Placement::Flash { .. }).then_some("libvirt-pflash0-format")
    }

    /// The block node of the variables, for `-machine pflash1=`.
    pub(crate) fn variables_node(&self) -> Option<&'static str> {
        self.variables.as_ref().map(|variables| match variables.format {
            FirmwareFormat::Raw => "libvirt-pflash1-storage",
            FirmwareFormat::Qcow2 => "libvirt-pflash1-format",
        })
    }

    /// The block nodes of the flash chips.
    pub(crate) fn nodes(&self) -> Vec<Argument> {
        let mut nodes = Vec::new();
        if let Some(Code { path, placement: Placement::Flash { format, read_only } }) = &self.code {
            nodes.extend(chip("pflash0", path, *format, *read_only));
        }
        match &self.variables {
            Some(Variables { path, format: FirmwareFormat::Raw, .. }) => {
                nodes.push(Argument::Json(
                    "-blockdev",
                    file(path).with("node-name", "libvirt-pflash1-storage").with("read-only", false),
                ));
            }
            Some(Variables { path, format, .. }) => nodes.extend(chip("pflash1", path, *format, false)),
            None => {}
        }
        nodes
    }

    /// What follows `-cpu`: the write protection of the flash, or the image for memory.
    pub(crate) fn options(&self) -> Vec<Argument> {
        let mut options = Vec::new();
        if self.secure {
            let property = "driver=cfi.pflash01,property=secure,value=on";
            options.push(Argument::Text("-global", property.to_owned()));
        }
        if let Some(Code { path, placement: Placement::Rom }) = &self.code {
            options.push(Argument::Text("-bios", path.display().to_string()));
        }
        options
    }
}

fn file(path: &Path) -> Properties {
    Properties::device("file").with("filename", path.display().to_string())
}

/// The two nodes of a flash chip: the file and the format on it.
fn chip(name: &str, path: &Path, format: FirmwareFormat, read_only: bool) -> [Argument; 2] {
    let storage = format!("libvirt-{name}-storage");
    let below =
        file(path).with("node-name", storage.as_str()).with("auto-read-only", true).with("discard", "unmap");
    let above = Properties::default()
        .with("node-name", format!("libvirt-{name}-format"))
        .with("read-only", read_only)
        .with("driver", format.to_string())
        .with("file", storage);
    let above = match format {
        FirmwareFormat::Raw => above,
        FirmwareFormat::Qcow2 => above.with("backing", serde_json::Value::Null),
    };
    [Argument::Json("-blockdev", below), Argument::Json("-blockdev", above)]
}

/// Decides on a domain's firmware.
pub(crate) fn plan(domain: &Domain, caps: &Caps, here: &Surroundings) -> Result<Firmware, PlanError> {
    let loader = domain.os.loader.clone().unwrap_or_default();
    let mut firmware = match (domain.os.firmware, &loader.path) {
        (Some(kind), _) => {
            let machine = domain.os.machine.as_deref().unwrap_or_default();
            let machine = caps.machine(machine).map_or(machine, |machine| machine.name.as_str());
            let descriptor = select_firmware(domain, kind, machine, &here.firmware)
                .ok_or_else(|| PlanError::NoFirmware { kind, wanted: wanted(domain) })?;
            described(domain, &loader, descriptor, here)
        }
        (None, Some(path)) => named(domain, &loader, path, here),
        (None, None) => Firmware::default(),
    };
    if matches!(domain.launch_security, Some(LaunchSecurity::SevSnp(_))) {
        // KVM has no read-only memory for such a guest, so that its firmware cannot lie in flash.
        let Some(code) = &mut firmware.code else {
            return Err(PlanError::SnpWithoutFirmware);
        };
        if matches!(code.placement, Placement::Flash { format: FirmwareFormat::Qcow2, .. }) {
            return Err(PlanError::SnpFirmwareFormat { path: code.path.clone() });
        }
        code.placement = Placement::Rom;
        firmware.variables = None;
        // Nor is there a system management mode that could guard them.
        firmware.requires_smm = false;
        firmware.secure = false;
    }
    Ok(firmware)
}

/// The firmware that the domain names.
fn named(domain: &Domain, loader: &Loader, path: &str, here: &Surroundings) -> Firmware {
    let smm = domain.features.smm.is_some_and(|smm| smm.state.is_on());
    let secure = loader.secure.is_some_and(Switch::is_on);
    let code = |placement| Some(Code { path: path.into(), placement });
    if loader.kind != Some(LoaderKind::Pflash) {
        return Firmware { code: code(Placement::Rom), ..Firmware::default() };
    }
    let read_only = loader.readonly.is_some_and(Switch::is_on);
    let flash = Placement::Flash { format: loader.format.unwrap_or(FirmwareFormat::Raw), read_only };
    let keeps_variables = domain.os.nvram.is_some()
        || (read_only && loader.readonly.is_some() && !loader.stateless.is_some_and(Switch::is_on));
    // Where a descriptor tells of the same image, it knows what empty variables look like.
    let template = here.firmware.iter().find_map(|descriptor| match &descriptor.mapping {
        Mapping::Flash { executable, nvram_template: Some(template), .. } if executable.filename == path => {
            Some(template)
        }
        _ => None,
    });
    let nvram = domain.os.nvram.as_ref();
    let format = nvram.and_then(|nvram| nvram.format.or(nvram.template_format));
    let format = format.or_else(|| template.map(format_of)).unwrap_or(FirmwareFormat::Raw);
    Firmware {
        code: code(flash),
        variables: keeps_variables.then(|| variables(domain, format, template, here)),
        requires_smm: secure && !smm,
        secure,
    }
}

/// The firmware that a descriptor tells of.
fn described(domain: &Domain, loader: &Loader, descriptor: &Descriptor, here: &Surroundings) -> Firmware {
    let requires_smm = descriptor.has("requires-smm");
    let (path, placement, template) = match &descriptor.mapping {
        Mapping::Flash { mode, executable, nvram_template } => {
            let read_only = *mode != FlashMode::Combined || loader.readonly.is_some_and(Switch::is_on);
            let placement = Placement::Flash { format: format_of(executable), read_only };
            (&executable.filename, placement, nvram_template.as_ref().filter(|_| *mode == FlashMode::Split))
        }
        Mapping::Kernel { filename } | Mapping::Memory { filename } | Mapping::Igvm { filename } => {
            (filename, Placement::Rom, None)
        }
    };
    Firmware {
        code: Some(Code { path: path.into(), placement }),
        variables: template.map(|template| {
            // The guest's copy is made from the template, so that it has the same format, whatever was wished for.
            let nvram = domain.os.nvram.as_ref().filter(|nvram| nvram.template.is_some());
            let format = nvram.and_then(|nvram| nvram.template_format).unwrap_or_else(|| format_of(template));
            variables(domain, format, Some(template), here)
        }),
        requires_smm,
        secure: requires_smm,
    }
}

fn variables(
    domain: &Domain,
    format: FirmwareFormat,
    template: Option<&FlashFile>,
    here: &Surroundings,
) -> Variables {
    let nvram = domain.os.nvram.clone().unwrap_or_default();
    let extension = super::settle::ending(format);
    let usual = || here.nvram_dir.join(format!("{}_VARS.{extension}", domain.name));
    let described = || template.map(|template| template.filename.clone());
    Variables {
        path: nvram.path.map_or_else(usual, PathBuf::from),
        format,
        template: nvram.template.or_else(described).map(PathBuf::from),
    }
}

pub(super) fn format_of(file: &FlashFile) -> FirmwareFormat {
    if file.format == "qcow2" { FirmwareFormat::Qcow2 } else { FirmwareFormat::Raw }
}

/// The first descriptor, in order of precedence, that fits all that the domain says. `machine` is the canonical name
/// of its machine type.
pub fn select_firmware<'f>(
    domain: &Domain,
    kind: Kind,
    machine: &str,
    descriptors: impl IntoIterator<Item = &'f Descriptor>,
) -> Option<&'f Descriptor> {
    descriptors.into_iter().find(|descriptor| {
        let interface = match kind {
            Kind::Bios => "bios",
            Kind::Efi => "uefi",
        };
        descriptor.interface_types.iter().any(|have| have == interface)
            && descriptor.is_for(domain.os.arch.as_deref().unwrap_or("x86_64"), machine)
            && has_wanted_features(descriptor, domain)
            && fits_loader(descriptor, domain)
    })
}

fn has_wanted_features(descriptor: &Descriptor, domain: &Domain) -> bool {
    let os = &domain.os;
    let suspend_ok = (!is_on(domain.pm.suspend_to_mem) || descriptor.has("acpi-s3"))
        && (!is_on(domain.pm.suspend_to_disk) || descriptor.has("acpi-s4"));
    let asked_ok = os.firmware_features.iter().all(|feature| {
        let name = match feature.name {
            FirmwareFeatureName::EnrolledKeys => "enrolled-keys",
            FirmwareFeatureName::SecureBoot => "secure-boot",
        };
        descriptor.has(name) == feature.enabled.is_on()
    });
    let needs_smm = descriptor.has("requires-smm");
    let smm_off = domain.features.smm.is_some_and(|smm| !smm.state.is_on());
    let smm_ok = match os.loader.as_ref().and_then(|loader| loader.secure) {
        Some(Switch::On) => needs_smm,
        Some(Switch::Off) => !needs_smm,
        None => true,
    } && !(needs_smm && smm_off);
    let protection = match &domain.launch_security {
        None => &[][..],
        Some(LaunchSecurity::Sev(sev)) if sev.is_es() => &["amd-sev", "amd-sev-es"][..],
        Some(LaunchSecurity::Sev(_)) => &["amd-sev"],
        Some(LaunchSecurity::SevSnp(_)) => &["amd-sev-snp"],
        Some(LaunchSecurity::Other { .. }) => return false,
    };
    suspend_ok && asked_ok && smm_ok && protection.iter().all(|feature| descriptor.has(feature))
}

/// Whether the image can be given to the guest in the way that the domain asks for.
fn fits_loader(descriptor: &Descriptor, domain: &Domain) -> bool {
    let loader = domain.os.loader.clone().unwrap_or_default();
    let nvram = domain.os.nvram.clone().unwrap_or_default();
    let snp = matches!(domain.launch_security, Some(LaunchSecurity::SevSnp(_)));
    if loader.path.as_ref().is_some_and(|path| path != descriptor.executable()) {
        return false;
    }
    match &descriptor.mapping {
        Mapping::Memory { .. } => loader.kind.is_none_or(|kind| kind == LoaderKind::Rom),
        Mapping::Kernel { .. } | Mapping::Igvm { .. } => false,
        // An SNP guest gets a flash image as memory, and keeps no variables.
        Mapping::Flash { mode: FlashMode::Split, .. } if snp => false,
        Mapping::Flash { mode, executable, nvram_template } => {
            let stateless = is_on(loader.stateless) || snp;
            let mode_ok = match mode {
                FlashMode::Stateless => stateless,
                FlashMode::Combined => loader.readonly == Some(Switch::Off) && !stateless,
                FlashMode::Split => loader.readonly != Some(Switch::Off) && !stateless,
            };
            let kind_ok = snp || loader.kind.is_none_or(|kind| kind == LoaderKind::Pflash);
            let format = loader.format.or(nvram.format).unwrap_or(FirmwareFormat::Raw);
            let template_ok = match (&nvram.template, nvram_template) {
                (Some(wanted), Some(have)) if loader.path.is_some() => *wanted == have.filename,
                _ => true,
            };
            mode_ok && kind_ok && format_of(executable) == format && template_ok
        }
    }
}

fn is_on(switch: Option<Switch>) -> bool {
    switch.is_some_and(Switch::is_on)
}

/// What the domain asks of its firmware, in words.
fn wanted(domain: &Domain) -> String {
    let mut wanted = match &domain.launch_security {
        Some(LaunchSecurity::Sev(sev)) if sev.is_es() => vec!["amd-sev-es".to_owned()],
        Some(LaunchSecurity::Sev(_)) => vec!["amd-sev".to_owned()],
        Some(LaunchSecurity::SevSnp(_)) => vec!["amd-sev-snp".to_owned()],
        Some(LaunchSecurity::Other { .. }) | None => Vec::new(),
    };
    wanted.extend(domain.os.machine.iter().map(|machine| format!("machine {machine}")));
    for feature in &domain.os.firmware_features {
        wanted.push(format!("{} {}", feature.name, feature.enabled.yes_no()));
    }
    if let Some(loader) = &domain.os.loader {
        wanted.extend(loader.kind.iter().map(|kind| format!("loader type {kind}")));
        wanted.extend(loader.format.iter().map(|format| format!("format {format}")));
        wanted.extend(loader.secure.iter().map(|secure| format!("secure {}", secure.yes_no())));
        wanted.extend(loader.stateless.iter().map(|stateless| format!("stateless {}", stateless.yes_no())));
    }
    wanted.join(", ")
}
