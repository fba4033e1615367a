//! Which files of the host a domain needs: its disks with the images below them, its firmware, its kernel, what its
//! character devices are connected to.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use domain::Domain;
use domain::model::chardev::{CharKind, CharSource};
use domain::model::devices::{RngBackend, TpmBackend};
use domain::model::disk::{BackingStore, Disk, DiskDevice, DiskFormat, DiskSource};
use domain::model::sysinfo::Sysinfo;
use qemu::plan::{Firmware, Placement};

/// How many images one below another are looked at.
const DEEPEST_CHAIN: usize = 200;

/// A file that QEMU opens by its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) path: PathBuf,
    pub(crate) access: Access,
    /// Other guests may use it too.
    pub(crate) shared: bool,
    /// Whether its owner may be changed for it. What an image names below itself, elsewhere, was not named by whoever
    /// wrote the domain: it must be open to QEMU already.
    pub(crate) named: bool,
    /// It is an image's own header that names it, which a QEMU in a guest's hands can have written.
    pub(crate) by_image: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
    /// It is made where it is missing.
    Create,
}

impl Need {
    fn new(path: impl Into<PathBuf>, access: Access) -> Self {
        Self { path: path.into(), access, shared: access == Access::Read, named: true, by_image: false }
    }
}

/// The files of a domain.
pub(crate) fn of_domain(domain: &Domain, firmware: &Firmware) -> Vec<Need> {
    let mut needs = Vec::new();
    if let Some(code) = &firmware.code {
        let writable = matches!(code.placement, Placement::Flash { read_only: false, .. });
        needs.push(Need::new(&code.path, if writable { Access::Write } else { Access::Read }));
    }
    if let Some(variables) = &firmware.variables {
        needs.push(Need::new(&variables.path, Access::Write));
    }
    let os = &domain.os;
    let boot = [&os.kernel, &os.initrd, &os.dtb].into_iter().flatten();
    needs.extend(boot.map(|path| Need::new(path, Access::Read)));
    let files = domain.sysinfo.iter().flat_map(Sysinfo::files);
    needs.extend(files.map(|path| Need::new(path, Access::Read)));
    let devices = &domain.devices;
    let roms = devices.interfaces.iter().filter_map(|interface| interface.info.rom.as_ref()?.file.as_ref());
    needs.extend(roms.map(|path| Need::new(path, Access::Read)));
    for disk in &devices.disks {
        of_disk(disk, &mut needs);
    }
    let sources = (devices.serials.iter().map(|serial| &serial.source))
        .chain(devices.consoles.iter().map(|console| &console.source))
        .chain(devices.channels.iter().map(|channel| &channel.source));
    for source in sources {
        of_character_device(source, &mut needs);
    }
    for rng in &devices.rngs {
        match &rng.backend {
            Some(RngBackend::Random { path: Some(path) }) => needs.push(Need::new(path, Access::Read)),
            Some(RngBackend::Egd(source)) => of_character_device(source, &mut needs),
            Some(RngBackend::Random { path: None } | RngBackend::Builtin) | None => {}
        }
    }
    for tpm in &devices.tpms {
        if let TpmBackend::Passthrough { path } = &tpm.backend {
            needs.push(Need::new(path.as_deref().unwrap_or("/dev/tpm0"), Access::Write));
        }
    }
    needs
}

/// The files of a disk, from the top of its chain down.
pub(crate) fn of_disk(disk: &Disk, needs: &mut Vec<Need>) {
    let Some(path) = disk.source.as_ref().and_then(path) else { return };
    let reads = disk.readonly || matches!(disk.device, DiskDevice::Cdrom) || disk.transient;
    let access = if reads { Access::Read } else { Access::Write };
    needs.push(Need { shared: reads || disk.shareable, ..Need::new(path, access) });
    let mut below = &disk.backing_store;
    let (mut lowest, mut format) = (path, disk.driver.format);
    while let Some(BackingStore::Image(image)) = below {
        let Some(path) = self::path(&image.source) else { return };
        needs.push(Need::new(path, Access::Read));
        (lowest, format) = (path, Some(image.format));
        below = &image.backing_store;
    }
    if !matches!(below, Some(BackingStore::End)) && format == Some(DiskFormat::Qcow2) {
        of_image(Path::new(lowest), needs);
    }
}

/// Whether a disk's image, by what it says itself, has no other below it.
pub(crate) fn is_lowest(disk: &Disk) -> bool {
    match (disk.driver.format, disk.source.as_ref().and_then(path)) {
        (None | Some(DiskFormat::Raw), _) => true,
        (Some(DiskFormat::Qcow2), Some(path)) => matches!(backing(Path::new(path)), Ok(None)),
        _ => false,
    }
}

/// What the images themselves name below them.
fn of_image(top: &Path, needs: &mut Vec<Need>) {
    let mut seen = BTreeSet::from([top.to_owned()]);
    let mut image = top.to_owned();
    // An image that cannot be read is told by whoever opens it.
    while let Ok(Some(backing)) = backing(&image) {
        let directory = image.parent().unwrap_or_else(|| Path::new("/"));
        let path = directory.join(&backing.path);
        if !seen.insert(path.clone()) || seen.len() > DEEPEST_CHAIN {
            return;
        }
        let beside = path.parent() == Some(directory);
        needs.push(Need { named: beside, by_image: true, ..Need::new(&path, Access::Read) });
        if !backing.is_qcow2 {
            return;
        }
        image = path;
    }
}

fn path(source: &DiskSource) -> Option<&str> {
    match source {
        DiskSource::File { path } => Some(path),
        DiskSource::Block { dev } => Some(dev),
        DiskSource::Other { .. } => None,
    }
}

fn of_character_device(source: &CharSource, needs: &mut Vec<Need>) {
    match &source.kind {
        CharKind::File { path, .. } => needs.push(Need::new(path, Access::Create)),
        CharKind::Dev { path } => needs.push(Need::new(path, Access::Write)),
        CharKind::Pipe { path } => {
            // QEMU takes a pair of pipes where there is one.
            let pair = [format!("{path}.in"), format!("{path}.out")];
            if pair.iter().all(|path| Path::new(path).exists()) {
                needs.extend(pair.map(|path| Need::new(path, Access::Write)));
            } else {
                needs.push(Need::new(path, Access::Write));
            }
        }
        _ => {}
    }
    if let Some(log) = &source.log {
        needs.push(Need::new(&log.file, Access::Create));
    }
}

/// What a qcow2 image says of the image below it.
#[derive(Debug, PartialEq, Eq)]
struct Backing {
    path: PathBuf,
    /// Without a format on record it counts as raw: what a guest has written does not decide what is opened.
    is_qcow2: bool,
}

/// Reads a qcow2 header (QEMU's docs/interop/qcow2.rst).
fn backing(path: &Path) -> io::Result<Option<Backing>> {
    const MAGIC: [u8; 4] = *b"QFI\xfb";
    const FORMAT: u32 = 0xe279_2aca;
    const LONGEST_NAME: u32 = 1023;
    const MOST_EXTENSIONS: usize = 32;
    if !std::fs::metadata(path)?.is_file() {
        return Ok(None);
    }
    let mut file = File::open(path)?;
    let mut header = [0u8; 72];
    file.read_exact(&mut header)?;
    let [m0, m1, m2, m3, version @ ..] = header.first_chunk::<8>().copied().unwrap_or_default();
    let at =
        |at: usize| header.get(at..).and_then(|rest| rest.first_chunk::<8>()).copied().unwrap_or_default();
    let offset = u64::from_be_bytes(at(8));
    let [a, b, c, d, ..] = at(16);
    let length = u32::from_be_bytes([a, b, c, d]);
    if [m0, m1, m2, m3] != MAGIC || offset == 0 || length == 0 || length > LONGEST_NAME {
        return Ok(None);
    }
    let header_length = if u32::from_be_bytes(version) >= 3 {
        file.seek(SeekFrom::Start(100))?;
        u64::from(number(&mut file)?)
    } else {
        72
    };
    file.seek(SeekFrom::Start(header_length))?;
    let mut is_qcow2 = false;
    for _ in 0..MOST_EXTENSIONS {
        let (kind, length) = (number(&mut file)?, number(&mut file)?);
        if kind == 0 {
            break;
        }
        let mut start = [0u8; 5];
        if kind == FORMAT && length == 5 {
            file.read_exact(&mut start)?;
            is_qcow2 = start == *b"qcow2";
            break;
        }
        file.seek_relative(i64::from(length.saturating_add(7) & !7))?;
    }
    file.seek(SeekFrom::Start(offset))?;
    let mut name = vec![0u8; usize::try_from(length).unwrap_or_default()];
    file.read_exact(&mut name)?;
    // A protocol's name or a description in JSON is no path of this host's.
    let is_path = !name.starts_with(b"json:")
        && !name.iter().take_while(|byte| **byte != b'/').any(|byte| *byte == b':');
    let name = name.strip_prefix(b"file:").map_or_else(|| name.clone(), <[u8]>::to_vec);
    let path = PathBuf::from(std::ffi::OsString::from_vec(name));
    Ok((is_path || path.is_absolute()).then_some(Backing { path, is_qcow2 }))
}

fn number(file: &mut File) -> io::Result<u32> {
    let mut bytes = [0u8; 4];
    file.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use domain::Document;

    use super::*;

    fn create(directory: &Path, name: &str, more: &[&str]) {
        let made = Command::new("qemu-img")
            .current_dir(directory)
            .args(["create", "-q", "-f", "qcow2"])
            .args(more)
            .args([name, "1M"])
            .status()
            .unwrap();
        assert!(made.success());
    }

    fn needs_of(disk: &str) -> Vec<Need> {
        let text = format!("<domain type='kvm'><name>a</name><devices>{disk}</devices></domain>");
        let (domain, _) = Domain::read(&Document::parse(&text).unwrap());
        of_domain(&domain, &Firmware::default())
    }

    #[test]
    fn a_chain_is_followed_where_its_formats_are_on_record() {
        let directory = tempfile::tempdir().unwrap();
        let here = directory.path();
        let elsewhere = tempfile::tempdir().unwrap();
        let far = elsewhere.path().join("far.qcow2");
        create(here, far.to_str().unwrap(), &[]);
        create(here, "base.qcow2", &["-b", far.to_str().unwrap(), "-F", "qcow2"]);
        create(here, "top.qcow2", &["-b", "base.qcow2", "-F", "qcow2"]);
        let top = here.join("top.qcow2");
        let needs = needs_of(&format!(
            "<disk type='file'><driver name='qemu' type='qcow2'/><source file='{}'/><target dev='vda'/></disk>",
            top.display()
        ));
        let read = |path: PathBuf, named| Need { named, by_image: true, ..Need::new(path, Access::Read) };
        assert_eq!(
            needs,
            [Need::new(top, Access::Write), read(here.join("base.qcow2"), true), read(far, false)]
        );
        // A raw disk's content is the guest's: what looks like a header there is none.
        let raw = needs_of(&format!(
            "<disk type='file'><driver type='raw'/><source file='{}'/><target dev='vda'/></disk>",
            here.join("top.qcow2").display()
        ));
        assert_eq!(raw.len(), 1);
    }

    #[test]
    fn a_chain_that_bites_its_tail_ends() {
        let directory = tempfile::tempdir().unwrap();
        create(directory.path(), "a.qcow2", &[]);
        create(directory.path(), "b.qcow2", &["-b", "a.qcow2", "-F", "qcow2"]);
        std::fs::copy(directory.path().join("b.qcow2"), directory.path().join("a.qcow2")).unwrap();
        let mut needs = Vec::new();
        of_image(&directory.path().join("b.qcow2"), &mut needs);
        assert_eq!(needs.len(), 1, "{needs:?}");
    }

    #[test]
    fn what_is_only_read_is_shared() {
        let needs = needs_of(
            "<disk type='file' device='cdrom'><source file='/iso'/><target dev='sda'/></disk>\
             <disk type='block'><source dev='/dev/vg/a'/><target dev='vda'/><shareable/></disk>\
             <serial type='file'><source path='/log'/></serial>",
        );
        let short: Vec<_> =
            needs.iter().map(|need| (need.path.to_str().unwrap(), need.access, need.shared)).collect();
        let expected = [
            ("/iso", Access::Read, true),
            ("/dev/vg/a", Access::Write, true),
            ("/log", Access::Create, false),
        ];
        assert_eq!(short, expected);
    }

    #[test]
    fn no_header_makes_it_panic() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut header = vec![0xffu8; 200];
        header[..4].copy_from_slice(b"QFI\xfb");
        for byte in 4..104 {
            let mut bytes = header.clone();
            bytes[byte] = 0;
            std::fs::write(file.path(), &bytes).unwrap();
            assert!(!matches!(backing(file.path()), Ok(Some(_))));
        }
    }
}
