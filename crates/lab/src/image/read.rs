//! Reads a guest's report back from a disk image. The guest may have written anything to it: every read is bounded.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::disk::{PARTITION_NAME, REPORT_DIRECTORY, REPORT_FILE, SECTOR};
use super::fat::{Fat32, ShortName};
use super::report::{Report, ReportError};
use super::{ImageError, convert};

/// No report is longer.
const MAX_REPORT: u64 = 1 << 20;
/// As many partitions as a table has room for.
const MAX_PARTITIONS: u64 = 128;
const QCOW2_MAGIC: &[u8; 4] = b"QFI\xfb";
const GPT_MAGIC: &[u8; 8] = b"EFI PART";

/// Why there is no report to be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("read disk image `{}`", path.display())]
    Image { path: PathBuf, source: io::Error },
    #[error("convert disk image `{}`", path.display())]
    Convert { path: PathBuf, source: ImageError },
    #[error("`{}` has no partition `{PARTITION_NAME}`: it is not the demo guest's disk", path.display())]
    Partition { path: PathBuf },
    #[error("read the file system in `{}`", path.display())]
    Fat { path: PathBuf, source: io::Error },
    #[error("the guest has left no report in `{}`", path.display())]
    NoReport { path: PathBuf },
    #[error("understand the report in `{}`", path.display())]
    Report { path: PathBuf, source: ReportError },
}

/// The report that the guest wrote to its disk. `qemu_img` is the program that unpacks images other than raw ones.
///
/// # Errors
/// When the image is not the demo guest's, or the guest has left no whole report.
pub fn read_report(image: &Path, qemu_img: &Path) -> Result<Report, ReadError> {
    let image_error = |source| ReadError::Image { path: image.into(), source };
    let mut file = File::open(image).map_err(image_error)?;
    let mut magic = Vec::new();
    (&mut file).take(4).read_to_end(&mut magic).map_err(image_error)?;
    if magic != QCOW2_MAGIC {
        return from_raw(&file, image);
    }
    let raw = tempfile::NamedTempFile::new().map_err(image_error)?;
    let converted = convert(qemu_img, "qcow2", image, "raw", raw.path());
    converted.map_err(|source| ReadError::Convert { path: image.into(), source })?;
    from_raw(raw.as_file(), image)
}

fn from_raw(file: &File, path: &Path) -> Result<Report, ReadError> {
    let image_error = |source| ReadError::Image { path: path.into(), source };
    let partition = partition(file).map_err(image_error)?;
    let (start, length) = partition.ok_or_else(|| ReadError::Partition { path: path.into() })?;
    let contents = Fat32::open(file, start, length).and_then(|file_system| {
        file_system.read(&short_name(REPORT_DIRECTORY), &short_name(REPORT_FILE), MAX_REPORT)
    });
    let contents = contents.map_err(|source| ReadError::Fat { path: path.into(), source })?;
    let bytes = contents.ok_or_else(|| ReadError::NoReport { path: path.into() })?;
    let text = String::from_utf8_lossy(&bytes);
    Report::parse(&text).map_err(|source| ReadError::Report { path: path.into(), source })
}

/// Start and length, in bytes, of the guest's partition (UEFI specification §5.3).
fn partition(file: &File) -> io::Result<Option<(u64, u64)>> {
    let mut header = [0; 92];
    match file.read_exact_at(&mut header, SECTOR) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let entry_len = u64_at(&header, 84) & 0xffff_ffff;
    if !header.starts_with(GPT_MAGIC) || !(128..=4096).contains(&entry_len) {
        return Ok(None);
    }
    let count = (u64_at(&header, 80) & 0xffff_ffff).min(MAX_PARTITIONS);
    let name: Vec<u8> = PARTITION_NAME.encode_utf16().flat_map(u16::to_le_bytes).chain([0, 0]).collect();
    let bytes = |sectors: u64| sectors.checked_mul(SECTOR);
    let Some(table) = bytes(u64_at(&header, 72)) else { return Ok(None) };
    for index in 0..count {
        let mut entry = [0; 128];
        let Some(place) = table.checked_add(index * entry_len) else { return Ok(None) };
        match file.read_exact_at(&mut entry, place) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        if entry[56..].starts_with(&name) {
            let (first, last) = (u64_at(&entry, 32), u64_at(&entry, 40));
            let length =
                last.checked_sub(first).and_then(|beyond_first| bytes(beyond_first.saturating_add(1)));
            return Ok(bytes(first).zip(length));
        }
    }
    Ok(None)
}

/// A name as FAT stores it; ours have at most eight and three characters.
fn short_name(name: &str) -> ShortName {
    let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
    let mut short = *b"           ";
    let (stem_field, extension_field) = short.split_at_mut(8);
    for (field, part) in [(stem_field, stem), (extension_field, extension)] {
        field.iter_mut().zip(part.bytes()).for_each(|(place, byte)| *place = byte);
    }
    short
}

/// The callers' slices are longer than any offset they ask for, or the number is short of bytes that are masked off.
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.iter().skip(at).take(8).rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use fatfs::{FileSystem, FsOptions};

    use super::super::disk;
    use super::super::window::Window;
    use super::*;

    const REPORT: &str = "sevirt guest report 1\nkernel: 6.1.0\nvcpus: 1\nmemory: 5 KiB\ncpuid: not there\n\
                          sev status: not there\nend of report\n";
    const MIB: u64 = 1 << 20;

    /// A disk on which a guest has left this text.
    fn disk_with(text: &str) -> tempfile::NamedTempFile {
        let disk = tempfile::NamedTempFile::new().unwrap();
        disk::write(disk.as_file(), b"a boot program").unwrap();
        let partition = Window::new(disk.as_file(), MIB, 64 * MIB);
        let file_system = FileSystem::new(partition, FsOptions::new()).unwrap();
        let mut file = file_system.root_dir().create_file("SEVIRT/REPORT.TXT").unwrap();
        file.write_all(text.as_bytes()).unwrap();
        drop(file);
        file_system.unmount().unwrap();
        disk
    }

    #[test]
    fn a_report_is_read_back() {
        // Longer than a cluster, and with words before it.
        let disk = disk_with(&("before\n".repeat(1000) + REPORT));
        assert_eq!(read_report(disk.path(), "unused".as_ref()).unwrap().text, REPORT);
    }

    #[test]
    fn a_chain_that_bites_its_tail_ends() {
        let disk = disk_with(&"no report\n".repeat(1000));
        let file = disk.as_file();
        let mut sector = [0; 512];
        file.read_exact_at(&mut sector, MIB).unwrap();
        let table = MIB + 512 * u64::from(u16::from_le_bytes([sector[14], sector[15]]));
        // Every cluster is followed by itself: the root directory, the report's directory, the report.
        for cluster in 2..100_u32 {
            file.write_all_at(&cluster.to_le_bytes(), table + u64::from(cluster) * 4).unwrap();
        }
        assert!(matches!(read_report(disk.path(), "unused".as_ref()), Err(ReadError::Report { .. })));
        for cluster in 2..100_u32 {
            file.write_all_at(&0x0fff_fff0_u32.to_le_bytes(), table + u64::from(cluster) * 4).unwrap();
        }
        assert!(matches!(read_report(disk.path(), "unused".as_ref()), Err(ReadError::Fat { .. })));
    }

    #[test]
    fn what_is_no_disk_of_ours_is_refused() {
        let other = tempfile::NamedTempFile::new().unwrap();
        for length in [0, 512, 100_000] {
            other.as_file().set_len(length).unwrap();
            assert!(matches!(read_report(other.path(), "unused".as_ref()), Err(ReadError::Partition { .. })));
        }
    }

    #[test]
    fn names_are_padded() {
        assert_eq!(short_name(REPORT_FILE), *b"REPORT  TXT");
        assert_eq!(short_name(REPORT_DIRECTORY), *b"SEVIRT     ");
    }
}
