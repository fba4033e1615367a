//! Writes the choice of a firmware into a definition, as libvirt does when it is handed one: what the guest boots with
//! does not change when a distribution's descriptors do.

use domain::{
    Domain,
    model::{
        Switch,
        features::Smm,
        launch_security::LaunchSecurity,
        os::{
            Firmware as Kind, FirmwareFeature, FirmwareFeatureName, FirmwareFormat, Loader, LoaderKind, Nvram,
        },
    },
};

use super::firmware::{format_of, select_firmware};
use crate::firmware::{Descriptor, FlashFile, FlashMode, Mapping};

/// Fills in what the domain leaves to the host: the image, how the guest gets it, and the file of its variables, which
/// `variables` names, given the ending that its format has (`fd`, `qcow2`). The machine type is canonical already.
///
/// Where no descriptor fits nothing is filled in. A domain that only asks for a kind of firmware cannot be started then.
pub fn settle_firmware(
    domain: &mut Domain,
    descriptors: &[&Descriptor],
    variables: impl FnOnce(&str) -> String,
) -> Result<(), NoFirmware> {
    let named = domain.os.loader.as_ref().filter(|loader| loader.path.is_some());
    let in_flash = named.is_some_and(|loader| loader.kind == Some(LoaderKind::Pflash));
    let kind = match domain.os.firmware {
        Some(kind) => kind,
        // A name that a descriptor knows stands for all that the descriptor says.
        None if in_flash => Kind::Efi,
        None => return Ok(()),
    };
    let machine = domain.os.machine.clone().unwrap_or_default();
    match select_firmware(domain, kind, &machine, descriptors.iter().copied()) {
        Some(descriptor) => describe(domain, kind, descriptor, variables),
        None if domain.os.firmware.is_none() => name_variables(domain, variables),
        None => return Err(NoFirmware { kind }),
    }
    Ok(())
}

/// No firmware of this host is what a domain asks for; in libvirt's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Unable to find '{kind}' firmware that is compatible with the current configuration")]
pub struct NoFirmware {
    kind: Kind,
}

fn describe(
    domain: &mut Domain,
    kind: Kind,
    descriptor: &Descriptor,
    variables: impl FnOnce(&str) -> String,
) {
    let features = [
        (FirmwareFeatureName::EnrolledKeys, "enrolled-keys"),
        (FirmwareFeatureName::SecureBoot, "secure-boot"),
    ];
    // What is in other variables than the descriptor's is not known.
    let wanted = domain.os.nvram.as_ref().and_then(|nvram| nvram.template.as_deref());
    let is_other = match &descriptor.mapping {
        Mapping::Flash { nvram_template: Some(template), .. } => {
            wanted.is_some_and(|wanted| wanted != template.filename)
        }
        _ => false,
    };
    domain.os.firmware = Some(kind);
    domain.os.firmware_features = features
        .map(|(name, word)| {
            let is_lost = name == FirmwareFeatureName::EnrolledKeys && is_other;
            let enabled = if descriptor.has(word) && !is_lost { Switch::On } else { Switch::Off };
            FirmwareFeature { name, enabled }
        })
        .into();
    let loader = domain.os.loader.get_or_insert_default();
    loader.path = Some(descriptor.executable().to_owned());
    match &descriptor.mapping {
        Mapping::Flash { mode, executable, nvram_template } => {
            loader.kind = Some(LoaderKind::Pflash);
            loader.format = Some(format_of(executable));
            if *mode != FlashMode::Combined {
                loader.readonly = Some(Switch::On);
            }
            match (mode, nvram_template) {
                (FlashMode::Stateless, _) => loader.stateless = Some(Switch::On),
                (FlashMode::Split, Some(template)) => {
                    template_variables(domain.os.nvram.get_or_insert_default(), template, variables);
                }
                _ => {}
            }
        }
        Mapping::Kernel { .. } | Mapping::Memory { .. } | Mapping::Igvm { .. } => {
            loader.kind = Some(LoaderKind::Rom);
            loader.format = Some(FirmwareFormat::Raw);
        }
    }
    if descriptor.has("requires-smm") {
        if let Some(loader) = &mut domain.os.loader {
            loader.secure = Some(Switch::On);
        }
        domain.features.smm.get_or_insert(Smm { state: Switch::On, tseg: None });
    }
}

/// The guest's copy is made from the template, so that it has the template's format.
fn template_variables(nvram: &mut Nvram, template: &FlashFile, variables: impl FnOnce(&str) -> String) {
    let format = format_of(template);
    if nvram.template.is_none() {
        nvram.template = Some(template.filename.clone());
        nvram.template_format = Some(format);
    }
    let format = nvram.template_format.unwrap_or(format);
    nvram.format = Some(format);
    nvram.path.get_or_insert_with(|| variables(ending(format)));
}

/// A loader that no descriptor knows, in flash that the guest cannot write, still has variables.
fn name_variables(domain: &mut Domain, variables: impl FnOnce(&str) -> String) {
    let keeps_none =
        |loader: &Loader| loader.readonly != Some(Switch::On) || loader.stateless.is_some_and(Switch::is_on);
    let is_snp = matches!(domain.launch_security, Some(LaunchSecurity::SevSnp(_)));
    if is_snp || domain.os.loader.as_ref().is_none_or(keeps_none) {
        return;
    }
    let nvram = domain.os.nvram.get_or_insert_default();
    let format = *nvram.format.get_or_insert_with(|| nvram.template_format.unwrap_or(FirmwareFormat::Raw));
    nvram.path.get_or_insert_with(|| variables(ending(format)));
}

/// What the names of files of a format end with.
pub(super) fn ending(format: FirmwareFormat) -> &'static str {
    match format {
        FirmwareFormat::Raw => "fd",
        FirmwareFormat::Qcow2 => "qcow2",
    }
}
