//! Firmware: the descriptors in their order of precedence, and each image's own tables. The two are kept apart
//! because they do not always say the same.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use qemu::firmware::Descriptor;

use crate::facts::{Fact, FirmwareImage, Loader};
use crate::root::Root;

/// Lowest precedence first: a file in a later directory replaces one of the same name, an empty one masks it
/// (QEMU, `docs/interop/firmware.json`).
const DIRECTORIES: [&str; 2] = ["/usr/share/qemu/firmware", "/etc/qemu/firmware"];

/// No firmware image is larger.
const IMAGE_SIZE_LIMIT: u64 = 64 << 20;

pub(super) fn probe(root: &Root) -> Vec<Loader> {
    let mut by_name: BTreeMap<String, String> = BTreeMap::new();
    for directory in DIRECTORIES {
        let names = root.names(directory);
        for name in names.known().into_iter().flatten().filter(|name| name.ends_with(".json")) {
            by_name.insert(name.clone(), format!("{directory}/{name}"));
        }
    }
    by_name
        .into_values()
        .filter_map(|path| {
            let text = root.text(&path);
            let descriptor = Descriptor::parse(text.known()?).ok()?;
            let image = firmware_image(&root.path(descriptor.executable()));
            Some(Loader { path: PathBuf::from(path), descriptor, image })
        })
        .collect()
}

/// What a firmware image says of itself.
#[must_use]
pub fn firmware_image(path: &Path) -> Fact<FirmwareImage> {
    let read = || -> io::Result<FirmwareImage> {
        let file = std::fs::File::open(path)?;
        let mut bytes = Vec::new();
        file.take(IMAGE_SIZE_LIMIT + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > IMAGE_SIZE_LIMIT {
            return Err(io::Error::other("larger than 64 MiB, which no firmware image is"));
        }
        let tables = None;
        Ok(FirmwareImage { size: bytes.len() as u64, tables })
    };
    Fact::of_io(&path.to_string_lossy(), read())
}
