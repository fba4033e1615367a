//! Installed kernels: finds the newest one that can be read and has what is asked for, and gives its image.
//!
//! The image is also offered as the ELF file inside it, which QEMU starts through the PVH entry: that saves the
//! emulated machine the decompression of its own kernel, about two seconds.

use std::cmp::Reverse;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use object::read::elf::{ElfFile64, FileHeader as _, ProgramHeader as _};

use crate::modules::{Module, ModuleError, ModuleTree};

/// Where kernels and their modules lie below a root.
const MODULES: &str = "lib/modules";
/// No distribution's kernel is larger than this, decompressed.
const LARGEST_KERNEL: u64 = 512 << 20;
/// The XZ stream's magic.
const XZ: &[u8] = b"\xfd7zXZ\0";
/// `XEN_ELFNOTE_PHYS32_ENTRY`: the note by which a kernel says that it has a PVH entry.
const PVH_NOTE: object::elf::NoteType = object::elf::NoteType(18);

/// An installed kernel.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// `6.1.0-56-amd64`
    pub version: String,
    /// Its bootable image.
    pub image: PathBuf,
    /// The modules which were asked for and those they need, in the order of loading.
    pub modules: Vec<Module>,
}

/// Why there is no kernel to use.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    #[error("no kernel is installed below `{}` (on Debian and Ubuntu: the package linux-image-amd64 or linux-image-generic)", root.display())]
    None { root: PathBuf },
    #[error(
        "kernel {version} is installed, but only root may read `{}`; run as root, or let all read it: `sudo chmod 0644 {}`",
        image.display(), image.display()
    )]
    Unreadable { version: String, image: PathBuf },
    #[error("no installed kernel can be used; the newest, {version}, cannot")]
    Unfit { version: String, source: ModuleError },
    #[error("read kernel `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
}

impl Kernel {
    /// The newest kernel below `root` (`/` for this machine's) which can be read and has the modules `wanted`.
    ///
    /// # Errors
    /// There is none; the error tells what stands against the newest.
    pub fn newest(root: &Path, wanted: &[&str]) -> Result<Self, KernelError> {
        let mut versions: Vec<String> = fs::read_dir(root.join(MODULES))
            .map(|entries| {
                entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
            })
            .unwrap_or_default();
        versions.sort_by_key(|version| Reverse(version_key(version)));
        let mut refusal = None;
        for version in versions {
            match Self::candidate(root, &version, wanted) {
                Ok(Some(kernel)) => return Ok(kernel),
                Ok(None) => {}
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        Err(refusal.unwrap_or_else(|| KernelError::None { root: root.to_owned() }))
    }

    /// `None` if only modules of that version are left, without a kernel.
    fn candidate(root: &Path, version: &str, wanted: &[&str]) -> Result<Option<Self>, KernelError> {
        let modules = root.join(MODULES).join(version);
        let images = [root.join("boot").join(format!("vmlinuz-{version}")), modules.join("vmlinuz")];
        let Some(image) = images.into_iter().find(|image| image.exists()) else {
            return Ok(None);
        };
        if fs::File::open(&image).is_err() {
            return Err(KernelError::Unreadable { version: version.to_owned(), image });
        }
        let modules = ModuleTree::open(&modules)
            .and_then(|tree| tree.load_order(wanted))
            .map_err(|source| KernelError::Unfit { version: version.to_owned(), source })?;
        Ok(Some(Self { version: version.to_owned(), image, modules }))
    }

    /// The image as it is installed: a bzImage.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self) -> Result<Vec<u8>, KernelError> {
        let failed = |source| KernelError::Read { path: self.image.clone(), source };
        let file = fs::File::open(&self.image).map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(LARGEST_KERNEL).read_to_end(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }
}

/// The ELF kernel inside a bzImage, if it is compressed by xz and has a PVH entry; otherwise the bzImage itself
/// has to be started.
///
/// Format: the kernel's `Documentation/x86/boot.rst`, setup header.
#[must_use]
pub fn pvh_kernel(image: &[u8]) -> Option<Vec<u8>> {
    let word = |at: usize| Some(u32::from_le_bytes(image.get(at..at + 4)?.try_into().ok()?) as usize);
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let setup_sectors = match *image.get(0x1f1)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let start = (setup_sectors + 1) * 512 + word(0x248)?;
    let payload = image.get(start..start.checked_add(word(0x24c)?)?)?;
    if !payload.starts_with(XZ) {
        return None;
    }
    let mut kernel = Vec::new();
    liblzma::read::XzDecoder::new(payload).take(LARGEST_KERNEL).read_to_end(&mut kernel).ok()?;
    has_pvh_entry(&kernel).then_some(kernel)
}

fn has_pvh_entry(kernel: &[u8]) -> bool {
    let Ok(elf) = ElfFile64::<object::Endianness>::parse(kernel) else {
        return false;
    };
    let endian = elf.endian();
    let Ok(segments) = elf.elf_header().program_headers(endian, kernel) else {
        return false;
    };
    segments.iter().any(|segment| {
        let Ok(Some(mut notes)) = segment.notes(endian, kernel) else {
            return false;
        };
        while let Ok(Some(note)) = notes.next() {
            if note.name() == b"Xen" && note.n_type(endian) == PVH_NOTE {
                return true;
            }
        }
        false
    })
}

/// Orders versions as people do: runs of digits by value, all else by its text.
fn version_key(version: &str) -> Vec<(u64, String)> {
    version
        .split(|c: char| !c.is_ascii_alphanumeric())
        .map(|part| (part.parse().unwrap_or(0), part.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install(root: &Path, version: &str, modules: &str) {
        let directory = root.join(MODULES).join(version);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("modules.dep"), modules).unwrap();
        fs::create_dir_all(root.join("boot")).unwrap();
        fs::write(root.join("boot").join(format!("vmlinuz-{version}")), b"kernel").unwrap();
    }

    #[test]
    fn the_newest_kernel_with_the_modules_is_taken() {
        let root = tempfile::tempdir().unwrap();
        install(root.path(), "6.1.0-9-amd64", "kernel/a.ko:\n");
        install(root.path(), "6.1.0-10-amd64", "kernel/a.ko:\n");
        install(root.path(), "6.1.0-10-cloud-amd64", "kernel/b.ko:\n");
        let kernel = Kernel::newest(root.path(), &["a"]).unwrap();
        assert_eq!(kernel.version, "6.1.0-10-amd64");
        assert_eq!(kernel.read().unwrap(), b"kernel");
        assert_eq!(kernel.modules.len(), 1);
    }

    #[test]
    fn modules_without_a_kernel_do_not_count() {
        let root = tempfile::tempdir().unwrap();
        install(root.path(), "6.1.0-9-amd64", "");
        fs::remove_file(root.path().join("boot/vmlinuz-6.1.0-9-amd64")).unwrap();
        assert!(matches!(Kernel::newest(root.path(), &[]), Err(KernelError::None { .. })));
    }

    #[test]
    fn what_stands_against_the_newest_is_told() {
        let root = tempfile::tempdir().unwrap();
        install(root.path(), "6.1.0-9-amd64", "");
        install(root.path(), "6.12.1-amd64", "");
        let error = Kernel::newest(root.path(), &["kvm-amd"]).unwrap_err();
        assert!(matches!(error, KernelError::Unfit { version, .. } if version == "6.12.1-amd64"));
    }

    #[test]
    fn what_is_no_kernel_has_no_pvh_entry() {
        let mut header = vec![0_u8; 0x1000];
        header[0x202..0x206].copy_from_slice(b"HdrS");
        assert_eq!(pvh_kernel(&[]), None);
        assert_eq!(pvh_kernel(&header), None);
        header[0x248..0x250].fill(0xff);
        assert_eq!(pvh_kernel(&header), None);
        header[0x248..0x24c].fill(0);
        header[0x24c..0x250].copy_from_slice(&6_u32.to_le_bytes());
        header[0xa00..0xa06].copy_from_slice(XZ);
        assert_eq!(pvh_kernel(&header), None, "a stream that ends at once");
    }
}
