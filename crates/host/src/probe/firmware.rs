//! Firmware: the descriptors in their order of precedence, and each image's own tables. The two are kept apart
//! because they do not always say the same.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use attest::{CodeWidth, code_width, ovmf};
use qemu::firmware::{Descriptor, FlashFile, FlashMode, Mapping, Target};

use crate::facts::{Area, Fact, FirmwareImage, Loader, Tables};
use crate::root::Root;

/// Lowest precedence first: a file in a later directory replaces one of the same name, an empty one masks it
/// (QEMU, `docs/interop/firmware.json`).
const DIRECTORIES: [&str; 2] = ["/usr/share/qemu/firmware", "/etc/qemu/firmware"];

/// Builds for SEV and variable stores for them, where distributions put them. Debian 12's descriptors name other
/// builds, whose first code is of 32 bits.
const WELL_KNOWN: [(&str, &str); 3] = [
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"),
];

/// No firmware image is larger.
const IMAGE_SIZE_LIMIT: u64 = 64 << 20;

/// How much of an image's end is read first: OVMF's tables and its first code are there.
const END: u64 = 256 << 10;

pub(super) fn probe(root: &Root) -> Vec<Loader> {
    let mut by_name: BTreeMap<String, String> = BTreeMap::new();
    for directory in DIRECTORIES {
        let names = root.names(directory);
        for name in names.known().into_iter().flatten().filter(|name| name.ends_with(".json")) {
            by_name.insert(name.clone(), format!("{directory}/{name}"));
        }
    }
    let mut loaders: Vec<Loader> = by_name
        .into_values()
        .filter_map(|path| {
            let text = root.text(&path);
            let descriptor = Descriptor::parse(text.known()?).ok()?;
            let image = root.firmware_image(Path::new(descriptor.executable()));
            Some(Loader { path: PathBuf::from(path), descriptor, image })
        })
        .collect();
    for (code, variables) in WELL_KNOWN {
        if loaders.iter().any(|loader| loader.descriptor.executable() == code) {
            continue;
        }
        let image = root.firmware_image(Path::new(code));
        if image.known().is_some_and(|image| image.code_bits == Some(64)) {
            loaders.push(Loader {
                path: PathBuf::from(code),
                descriptor: undescribed(code, variables, &image),
                image,
            });
        }
    }
    loaders
}

/// What a descriptor would say of such a build.
fn undescribed(code: &str, variables: &str, image: &Fact<FirmwareImage>) -> Descriptor {
    let tables = image.known().and_then(|image| image.tables.as_ref().ok());
    let has_reset_vector = tables.is_some_and(|tables| tables.sev_es_reset.is_some());
    let es = has_reset_vector.then(|| "amd-sev-es".to_owned());
    let raw = |path: &str| FlashFile { filename: path.to_owned(), format: "raw".to_owned() };
    let machines = ["pc-q35-*", "pc-i440fx-*"].map(str::to_owned).to_vec();
    Descriptor {
        description: "found where distributions put it, no descriptor names it".to_owned(),
        interface_types: vec!["uefi".to_owned()],
        mapping: Mapping::Flash {
            mode: FlashMode::Split,
            executable: raw(code),
            nvram_template: Some(raw(variables)),
        },
        targets: vec![Target { architecture: "x86_64".to_owned(), machines }],
        features: ["amd-sev".to_owned()].into_iter().chain(es).collect(),
    }
}

/// What a firmware image of this machine says of itself.
#[must_use]
pub fn firmware_image(path: &Path) -> Fact<FirmwareImage> {
    Root::live().firmware_image(path)
}

impl Root {
    /// What a firmware image says of itself.
    #[must_use]
    pub fn firmware_image(&self, path: &Path) -> Fact<FirmwareImage> {
        let image = self.image_end(path).and_then(|(size, end)| {
            let read = described(size, &end);
            if (read.tables.is_ok() && read.code_bits.is_some()) || end.len() as u64 == size {
                return Ok(read);
            }
            let bytes = self.bytes(path, IMAGE_SIZE_LIMIT)?;
            Ok(described(bytes.len() as u64, &bytes))
        });
        Fact::of_io(&path.to_string_lossy(), image)
    }

    /// The size of an image and its last pages, at least as much as [`END`].
    fn image_end(&self, path: &Path) -> io::Result<(u64, Vec<u8>)> {
        let mut file = self.open_file(path)?;
        let size = file.metadata()?.len();
        if size > IMAGE_SIZE_LIMIT {
            return Err(io::Error::other(format!("larger than {} MiB", IMAGE_SIZE_LIMIT >> 20)));
        }
        // Volumes start at pages of the image.
        let start = size.saturating_sub(END) & !0xfff;
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::with_capacity(usize::try_from(size - start).unwrap_or_default());
        file.take(2 * END).read_to_end(&mut bytes)?;
        Ok((size, bytes))
    }
}

/// What an image of `size` bytes says, by its last ones.
fn described(size: u64, end: &[u8]) -> FirmwareImage {
    FirmwareImage {
        size,
        tables: tables(end).map_err(|error| error.to_string()),
        code_bits: code_width(end).map(|width| match width {
            CodeWidth::Bits32 => 32,
            CodeWidth::Bits64 => 64,
        }),
    }
}

fn tables(image: &[u8]) -> Result<Tables, ovmf::FirmwareError> {
    let firmware = ovmf::Firmware::parse(image)?;
    Ok(Tables {
        sev_es_reset: firmware.sev_es_reset,
        hash_table: area(firmware.hash_table),
        secret_area: area(firmware.secret_area),
        snp_metadata: firmware.snp_sections.is_some(),
    })
}

fn area(area: ovmf::Area) -> Area {
    match area {
        ovmf::Area::Absent => Area::Absent,
        ovmf::Area::Empty => Area::Empty,
        ovmf::Area::At { base, size } => Area::At { base, size },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Fact, Facts};

    fn descriptor(executable: &str) -> String {
        format!(
            r#"{{"interface-types": ["uefi"], "features": ["amd-sev"], "targets": [],
                "mapping": {{"device": "flash", "executable": {{"filename": "{executable}", "format": "raw"}}}}}}"#
        )
    }

    #[test]
    fn an_administrators_descriptor_replaces_the_distributions_and_an_empty_one_masks_it() {
        let tree = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = tree.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("usr/share/qemu/firmware/50-a.json", &descriptor("/fw/distribution.fd"));
        write("usr/share/qemu/firmware/60-b.json", &descriptor("/fw/b.fd"));
        write("usr/share/qemu/firmware/README", "not a descriptor");
        write("etc/qemu/firmware/50-a.json", &descriptor("/fw/own.fd"));
        write("etc/qemu/firmware/60-b.json", "");
        write("fw/own.fd", "far too short to be a firmware");

        let found = probe(&Root::at(tree.path().to_owned()));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, Path::new("/etc/qemu/firmware/50-a.json"));
        let Fact::Known(image) = &found[0].image else { panic!("{:?}", found[0].image) };
        assert_eq!(image.size, 30);
        assert!(image.tables.is_err());
    }

    #[test]
    fn the_end_of_an_image_says_what_the_whole_says() {
        let mut compared = 0;
        for loader in probe(&Root::live()) {
            let path = loader.descriptor.executable();
            let Ok(bytes) = std::fs::read(path) else { continue };
            assert_eq!(loader.image, Fact::Known(described(bytes.len() as u64, &bytes)), "{path}");
            compared += usize::from(bytes.len() as u64 > 2 * END);
        }
        // What is installed for the tests is larger than its end.
        assert!(compared > 0);
    }

    #[test]
    fn an_encrypted_guest_is_offered_what_could_start_it() {
        let loader = |path: &str, code: &str, code_bits| {
            let tables = Tables {
                sev_es_reset: Some(0xffff_ff94),
                hash_table: Area::Empty,
                secret_area: Area::Empty,
                snp_metadata: true,
            };
            let image = Fact::Known(FirmwareImage { size: 4096, tables: Ok(tables), code_bits });
            Loader { path: path.into(), descriptor: undescribed(code, "/fw/VARS.fd", &image), image }
        };
        // As on Debian 12: what is described has code of 32 bits.
        let firmware = vec![
            loader("/usr/share/qemu/firmware/60-a.json", "/fw/CODE_4M.fd", Some(32)),
            loader("/fw/CODE.fd", "/fw/CODE.fd", Some(64)),
        ];
        assert_eq!(firmware[1].descriptor.features, ["amd-sev", "amd-sev-es"]);
        assert!(firmware[1].is_undescribed() && !firmware[0].is_undescribed());
        let facts = Facts { firmware, ..Facts::default() };
        let first =
            |encrypted| facts.firmware_for(encrypted).next().unwrap().descriptor.executable().to_owned();
        assert_eq!((first(false), first(true)), ("/fw/CODE_4M.fd".into(), "/fw/CODE.fd".into()));
    }

    #[test]
    fn an_image_that_is_not_there_is_absent() {
        assert_eq!(firmware_image(Path::new("/nowhere/OVMF.fd")), Fact::Absent);
    }
}
