//! Firmware that can boot the guest: by its descriptor, and by what the image's own tables say.

use domain::model::os::Firmware as Selection;
use domain::{Edit, Element, NewElement};
use host::Loader;
use qemu::firmware::{FlashMode, Mapping};

use super::{Change, Wish};
use crate::Technology;
use crate::firmware::is_uefi;
use crate::fix::Safety;
use crate::subject::Subject;

pub(super) const TOPIC: &str = "firmware";

pub(super) fn step(subject: &Subject<'_>, wish: &Wish) -> Option<Change> {
    let technology = wish.technology;
    let os = subject.element(&["os"])?;
    if subject.technology() != Some(technology) || keeps(subject, technology) {
        return None;
    }
    let chosen = choose(subject, technology)?;
    let path = chosen.descriptor.executable();
    let before = Before::of(subject);
    let mut edits = Vec::new();
    edits.extend(Edit::remove_attribute(os, "firmware"));
    edits.extend(os.child("firmware").map(Edit::remove_element));
    let shape = Shape::of(&chosen.descriptor.mapping, technology);
    edits.extend(loader(os, path, shape));
    edits.extend(variables(subject, os, shape, &chosen.descriptor.mapping));
    let (instead, boots) = match &before {
        Before::Uefi(was) => {
            (format!(" instead of {was}"), "its UEFI variables (boot entries, Secure Boot keys) start anew")
        }
        Before::NothingFits => {
            let words = format!(": nothing that firmware='efi' may choose here can boot {technology} guests");
            (words, "its UEFI variables, if it has any, start anew")
        }
        Before::Bios => (
            " instead of a BIOS".to_owned(),
            "it must be able to boot by UEFI: a disk that was installed under a BIOS has no EFI system partition",
        ),
    };
    let title = format!("boot the UEFI firmware {path}{instead}");
    let kept = match shape {
        Shape::Split => "",
        Shape::Stateless | Shape::Rom => ", and no UEFI variables are kept from one boot to the next",
    };
    let why = format!("{boots}{kept}. The image is what the launch measurement covers");
    Some(Change::new(TOPIC, Safety::Unsafe, title, why, edits))
}

/// What the domain would boot.
enum Before {
    Uefi(String),
    /// A UEFI firmware that is chosen at start, but there is none to choose.
    NothingFits,
    Bios,
}

impl Before {
    fn of(subject: &Subject<'_>) -> Self {
        match subject.firmware() {
            Some(firmware) if firmware.descriptor.is_none_or(is_uefi) => {
                Self::Uefi(firmware.path.display().to_string())
            }
            None if subject.domain.os.firmware == Some(Selection::Efi) => Self::NothingFits,
            Some(_) | None => Self::Bios,
        }
    }
}

/// How the image is given to the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Flash, with the guest's own variables beside it.
    Split,
    /// Flash without variables.
    Stateless,
    /// Copied to memory: KVM has no flash for SEV-SNP guests.
    Rom,
}

impl Shape {
    fn of(mapping: &Mapping, technology: Technology) -> Self {
        match mapping {
            _ if technology == Technology::SevSnp => Self::Rom,
            Mapping::Flash { mode: FlashMode::Split, .. } => Self::Split,
            Mapping::Flash { .. } => Self::Stateless,
            Mapping::Memory { .. } | Mapping::Kernel { .. } | Mapping::Igvm { .. } => Self::Rom,
        }
    }
}

/// Whether the firmware that the domain would get is fit as it is. What no descriptor names is its author's choice,
/// as long as its tables do not speak against it.
fn keeps(subject: &Subject<'_>, technology: Technology) -> bool {
    if subject.loader_path().is_none() {
        // libvirt itself chooses only what a descriptor names.
        let described = |loader: &Loader| loader.path.as_os_str() != loader.descriptor.executable();
        let fits = |loader: &Loader| loader.image.known().is_some() && has_no_use_for_smm(loader, technology);
        return subject.selected().is_some_and(|loader| described(loader) && fits(loader));
    }
    let Some(firmware) = subject.firmware() else { return false };
    let is_it = |loader: &Loader| *loader.descriptor.executable() == *firmware.path.to_string_lossy();
    if candidates(subject, technology).any(is_it) {
        return true;
    }
    let Some(image) = firmware.known().filter(|_| firmware.descriptor.is_none()) else { return false };
    image.can_set_c_bit()
        && image.tables.as_ref().is_ok_and(|tables| match technology {
            Technology::Sev => true,
            Technology::SevEs => tables.sev_es_reset.is_some(),
            Technology::SevSnp => tables.snp_metadata,
        })
}

/// What could boot the guest.
fn candidates<'a>(
    subject: &Subject<'a>,
    technology: Technology,
) -> impl Iterator<Item = &'a Loader> + use<'a> {
    subject.usable().filter(move |loader| has_no_use_for_smm(loader, technology))
}

/// System management mode is not for guests with encrypted registers.
fn has_no_use_for_smm(loader: &Loader, technology: Technology) -> bool {
    technology == Technology::Sev || !loader.descriptor.has("requires-smm")
}

/// The first in the order of the descriptors' precedence; but an ordinary guest boots from its disk, for which its
/// variables are kept where they can be.
fn choose<'a>(subject: &Subject<'a>, technology: Technology) -> Option<&'a Loader> {
    let rank = |loader: &&Loader| match (&loader.descriptor.mapping, technology) {
        (Mapping::Memory { .. }, _) => 0,
        (Mapping::Flash { mode: FlashMode::Stateless, .. }, Technology::SevSnp) => 1,
        (Mapping::Flash { mode: FlashMode::Split, .. }, _) => 2,
        _ => 3,
    };
    candidates(subject, technology).min_by_key(rank)
}

fn loader(os: Element<'_>, path: &str, shape: Shape) -> Vec<Edit> {
    let wanted: &[(&str, &str)] = match shape {
        Shape::Split => &[("readonly", "yes"), ("type", "pflash")],
        Shape::Stateless => &[("readonly", "yes"), ("type", "pflash"), ("stateless", "yes")],
        Shape::Rom => &[("type", "rom")],
    };
    let Some(loader) = os.child("loader") else {
        let new =
            wanted.iter().fold(NewElement::new("loader"), |new, (name, value)| new.attribute(name, value));
        let new = new.text(path);
        return vec![match os.child("type") {
            Some(kind) => Edit::insert_after(kind, &new),
            None => Edit::insert_child(os, &new),
        }];
    };
    let is_wanted = |name: &str| wanted.iter().any(|(wanted, _)| *wanted == name);
    let others = loader.attributes().filter(|attribute| !is_wanted(attribute.name()));
    let mut edits: Vec<Edit> =
        others.filter_map(|attribute| Edit::remove_attribute(loader, attribute.name())).collect();
    edits.extend(wanted.iter().map(|(name, value)| Edit::set_attribute(loader, name, value)));
    edits.push(Edit::set_text(loader, path));
    edits
}

/// `<nvram>`: made afresh from the template that belongs to the image. The file that is there was made for another
/// image, so it is left as it is and another one is named.
fn variables(subject: &Subject<'_>, os: Element<'_>, shape: Shape, mapping: &Mapping) -> Vec<Edit> {
    let nvram = os.child("nvram");
    let Mapping::Flash { nvram_template: Some(template), .. } = mapping else {
        return nvram.map(Edit::remove_element).into_iter().filter(|_| shape != Shape::Split).collect();
    };
    if shape != Shape::Split {
        return nvram.map(Edit::remove_element).into_iter().collect();
    }
    let Some(nvram) = nvram else {
        let new = NewElement::new("nvram").attribute("template", &template.filename);
        let after = os.child("loader").or_else(|| os.child("type"));
        return vec![match after {
            Some(after) => Edit::insert_after(after, &new),
            None => Edit::insert_child(os, &new),
        }];
    };
    let formats = ["templateFormat", "format"];
    let mut edits: Vec<Edit> =
        formats.iter().filter_map(|name| Edit::remove_attribute(nvram, name)).collect();
    edits.push(Edit::set_attribute(nvram, "template", &template.filename));
    let path = subject.domain.os.nvram.as_ref().and_then(|nvram| nvram.path.as_deref());
    if let Some(path) = path {
        edits.push(Edit::set_text(nvram, &beside(path)));
    }
    edits
}

/// `guest_VARS.fd` → `guest_VARS.sev.fd`.
fn beside(path: &str) -> String {
    let directory = path.rfind('/').map_or(0, |at| at + 1);
    match path.rfind('.').filter(|at| *at > directory) {
        Some(at) => {
            let (stem, extension) = path.split_at(at);
            format!("{stem}.sev{extension}")
        }
        None => format!("{path}.sev"),
    }
}
