//! The firmware that a domain would get on this host, and what is known about it.

use std::path::{Path, PathBuf};

use domain::model::os::Firmware as Selection;
use host::{Fact, FirmwareImage, Loader};
use qemu::firmware::{Descriptor, Mapping};

use crate::subject::{Subject, Technology};

/// A firmware image, by whatever way the domain names it.
#[derive(Debug)]
pub(crate) struct Firmware<'a> {
    pub(crate) path: PathBuf,
    /// None where nobody has looked at the file.
    pub(crate) image: Option<&'a Fact<FirmwareImage>>,
    pub(crate) descriptor: Option<&'a Descriptor>,
}

impl Firmware<'_> {
    /// The image, where it could be read.
    pub(crate) fn known(&self) -> Option<&FirmwareImage> {
        self.image.and_then(Fact::known)
    }
}

impl<'a> Subject<'a> {
    /// The image that `<loader>` names, or the one that `firmware='efi'` selects here.
    pub(crate) fn firmware(&self) -> Option<Firmware<'a>> {
        match self.loader_path() {
            Some(path) => {
                let described = self.described(path);
                let image =
                    self.facts.images.get(Path::new(path)).or_else(|| described.map(|loader| &loader.image));
                let descriptor = described.map(|loader| &loader.descriptor);
                Some(Firmware { path: PathBuf::from(path), image, descriptor })
            }
            None => {
                let loader = self.suitable().next()?;
                Some(Firmware {
                    path: PathBuf::from(loader.descriptor.executable()),
                    image: Some(&loader.image),
                    descriptor: Some(&loader.descriptor),
                })
            }
        }
    }

    /// The path in `<loader>`.
    pub(crate) fn loader_path(&self) -> Option<&'a str> {
        self.domain.os.loader.as_ref()?.path.as_deref()
    }

    /// The first descriptor whose image is that file.
    fn described(&self, path: &str) -> Option<&'a Loader> {
        self.facts.firmware.iter().find(|loader| loader.descriptor.executable() == path)
    }

    /// The firmware of this host that `firmware='efi'` can choose for this domain, best first; nothing where the
    /// domain does not ask for a choice.
    pub(crate) fn suitable(&self) -> impl Iterator<Item = &'a Loader> + use<'a> {
        let asked = self.domain.os.firmware == Some(Selection::Efi);
        let subject = *self;
        self.usable().filter(move |loader| asked && subject.has_asked_features(&loader.descriptor))
    }

    /// The UEFI firmware of this host that can run the domain as the confidential guest that it asks to be.
    pub(crate) fn usable(&self) -> impl Iterator<Item = &'a Loader> + use<'a> {
        let subject = *self;
        let technology = self.technology();
        self.facts.firmware.iter().filter(move |loader| {
            let descriptor = &loader.descriptor;
            is_uefi(descriptor)
                && loader.image.known().is_some()
                && subject.targets_match(descriptor)
                && subject.smm_matches(descriptor)
                && technology.is_none_or(|technology| offers(loader, technology))
        })
    }

    /// Whether the descriptor is for the domain's machine.
    pub(crate) fn targets_match(&self, descriptor: &Descriptor) -> bool {
        let arch = self.domain.os.arch.as_deref().unwrap_or("x86_64");
        let machine = canonical_machine(self.domain.os.machine.as_deref());
        let matches = |pattern: &String| glob(pattern, machine);
        descriptor
            .targets
            .iter()
            .any(|target| target.architecture == arch && target.machines.iter().any(matches))
    }

    fn smm_matches(&self, descriptor: &Descriptor) -> bool {
        let smm = self.domain.features.smm.is_some_and(|smm| smm.state.is_on());
        smm || !descriptor.has("requires-smm")
    }

    fn has_asked_features(&self, descriptor: &Descriptor) -> bool {
        self.domain.os.firmware_features.iter().all(|feature| {
            use domain::model::Keyword as _;
            feature.enabled.is_on() == descriptor.has(feature.name.word())
        })
    }
}

/// Whether the firmware's own tables, or else its descriptor, say that it can boot such a guest.
fn offers(loader: &Loader, technology: Technology) -> bool {
    let tables = loader.image.known().and_then(|image| image.tables.as_ref().ok());
    let fits_mapping = match loader.descriptor.mapping {
        Mapping::Flash { .. } => true,
        Mapping::Memory { .. } => technology == Technology::SevSnp,
        Mapping::Kernel { .. } | Mapping::Igvm { .. } => false,
    };
    let said = loader.descriptor.has(technology.feature());
    fits_mapping
        && match technology {
            Technology::Sev => said,
            Technology::SevEs => said || tables.is_some_and(|tables| tables.sev_es_reset.is_some()),
            Technology::SevSnp => said || tables.is_some_and(|tables| tables.snp_metadata),
        }
}

pub(crate) fn is_uefi(descriptor: &Descriptor) -> bool {
    descriptor.interface_types.iter().any(|interface| interface == "uefi")
}

/// A machine as descriptors name it: aliases stand for the newest version of their family.
fn canonical_machine(machine: Option<&str>) -> &str {
    match machine {
        None | Some("pc") => "pc-i440fx-0",
        Some("q35") => "pc-q35-0",
        Some(named) => named,
    }
}

/// Whether the pattern, in which `*` stands for anything, covers the whole text. Quadratic at worst.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.is_empty()
}

/// What to choose instead, in words.
pub(crate) fn suggestion(subject: &Subject<'_>) -> String {
    let mut paths: Vec<&str> = subject.usable().map(|loader| loader.descriptor.executable()).collect();
    paths.dedup();
    let technology = subject.technology().map_or_else(String::new, |technology| format!(" for {technology}"));
    if paths.is_empty() {
        format!("no firmware on this host is fit{technology}: install OVMF with a descriptor that says so")
    } else {
        format!("fit{technology} on this host: {}", paths.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn patterns_cover_the_whole_name() {
        for (pattern, text, expected) in [
            ("pc-q35-*", "pc-q35-10.0", true),
            ("pc-q35-*", "pc-i440fx-10.0", false),
            ("microvm", "microvm", true),
            ("microvm", "microvm2", false),
            ("*-q35-*.0", "pc-q35-10.0", true),
            ("*-q35-*.0", "pc-q35-10.1", false),
            ("*", "", true),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} on {text}");
        }
    }
}
