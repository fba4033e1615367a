//! The firmware that a domain would get on this host, and what is known about it.

use std::path::{Path, PathBuf};

use domain::model::os::Firmware as Selection;
use host::{Fact, FirmwareImage, Loader};
use qemu::firmware::{Descriptor, Mapping, described_machine};
use qemu::plan::select_firmware;

use crate::Technology;
use crate::subject::Subject;

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
                let loader = self.selected()?;
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
    pub(crate) fn described(&self, path: &str) -> Option<&'a Loader> {
        self.facts.firmware.iter().find(|loader| loader.descriptor.executable() == path)
    }

    /// What `firmware='efi'` chooses here: the choice of the start itself. None where the domain does not ask for one.
    pub(crate) fn selected(&self) -> Option<&'a Loader> {
        let kind = self.domain.os.firmware.filter(|kind| *kind == Selection::Efi)?;
        let usable = self.facts.firmware_for(self.technology().is_some());
        let descriptors = usable.map(|loader| &loader.descriptor);
        let chosen = select_firmware(self.domain, kind, self.machine(), descriptors)?;
        self.facts.firmware.iter().find(|loader| std::ptr::eq(&loader.descriptor, chosen))
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

    fn machine(&self) -> &'a str {
        described_machine(self.domain.os.machine.as_deref())
    }

    pub(crate) fn targets_match(&self, descriptor: &Descriptor) -> bool {
        descriptor.is_for(self.domain.os.arch.as_deref().unwrap_or("x86_64"), self.machine())
    }

    fn smm_matches(&self, descriptor: &Descriptor) -> bool {
        let smm = self.domain.features.smm.is_some_and(|smm| smm.state.is_on());
        smm || !descriptor.has("requires-smm")
    }
}

/// Whether the firmware's own tables, or else its descriptor, say that it can boot such a guest.
pub(crate) fn offers(loader: &Loader, technology: Technology) -> bool {
    let fits_mapping = match loader.descriptor.mapping {
        Mapping::Flash { .. } => true,
        Mapping::Memory { .. } => technology == Technology::SevSnp,
        Mapping::Kernel { .. } | Mapping::Igvm { .. } => false,
    };
    fits_mapping && loader.can_boot_encrypted() && loader.offers(technology.feature())
}

pub(crate) fn is_uefi(descriptor: &Descriptor) -> bool {
    descriptor.interface_types.iter().any(|interface| interface == "uefi")
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
