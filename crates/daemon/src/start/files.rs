//! The files that a domain names: they are looked at before QEMU is, so that what is missing is told by its name.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use domain::Domain;
use domain::model::disk::DiskSource;
use domain::model::os::FirmwareFormat;
use domain::model::sysinfo::Sysinfo;
use qemu::plan::{Code, Placement, Plan, Variables};
use rustix::fs::Access;

use super::StartError;

/// The unit of flash, in bytes.
const FLASH_BLOCK: u64 = 4096;

/// Refuses files that are not there or cannot be used.
pub(super) fn check(domain: &Domain, plan: &Plan) -> Result<(), StartError> {
    let usable = |what, path: &str, access| {
        accessible(Path::new(path), access).map_err(|source| StartError::File {
            what,
            path: path.into(),
            source,
        })
    };
    if let Some(code) = &plan.firmware().code {
        check_code(code)?;
    }
    let boot = [("the kernel", &domain.os.kernel), ("the initial RAM disk", &domain.os.initrd)];
    for (what, path) in boot {
        if let Some(path) = path {
            usable(what, path, Access::READ_OK)?;
            regular(Path::new(path)).map_err(|source| StartError::File {
                what,
                path: path.into(),
                source,
            })?;
        }
    }
    for path in domain.sysinfo.iter().flat_map(Sysinfo::files) {
        let what = "the file for the guest's firmware";
        usable(what, path, Access::READ_OK)?;
        regular(Path::new(path)).map_err(|source| StartError::File { what, path: path.into(), source })?;
    }
    for disk in &domain.devices.disks {
        let (what, path) = match &disk.source {
            Some(DiskSource::File { path }) => ("the disk image", path),
            Some(DiskSource::Block { dev }) => ("the disk device", dev),
            Some(DiskSource::Other { .. }) | None => continue,
        };
        let reads_only = disk.readonly || disk.device == domain::model::disk::DiskDevice::Cdrom;
        usable(what, path, if reads_only { Access::READ_OK } else { Access::READ_OK | Access::WRITE_OK })?;
    }
    Ok(())
}

fn accessible(path: &Path, access: Access) -> io::Result<()> {
    if fs::metadata(path)?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(rustix::fs::access(path, access)?)
}

/// Refuses what has no end, or waits for a writer: it is read to be hashed, and QEMU wants its size.
fn regular(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.is_file() { Ok(()) } else { Err(io::Error::other("it is not a regular file")) }
}

fn check_code(code: &Code) -> Result<(), StartError> {
    let failed = |source| StartError::File { what: "the firmware", path: code.path.clone(), source };
    accessible(&code.path, Access::READ_OK).map_err(failed)?;
    let size = fs::metadata(&code.path).map_err(failed)?.len();
    let in_flash = matches!(code.placement, Placement::Flash { format: FirmwareFormat::Raw, .. });
    if size == 0 || (in_flash && !size.is_multiple_of(FLASH_BLOCK)) {
        return Err(StartError::CutOffFirmware { path: code.path.clone(), size });
    }
    Ok(())
}

/// Makes the guest's variable store from its template, at its first start; the directory too, where it is the usual one.
pub(super) fn make_variables(plan: &Plan, usual: &Path) -> Result<(), StartError> {
    let Some(Variables { path, format, template }) = &plan.firmware().variables else { return Ok(()) };
    let failed = |what, source| StartError::File { what, path: path.clone(), source };
    match accessible(path, Access::READ_OK | Access::WRITE_OK) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("the guest's variable store", error)),
    }
    let Some(template) = template else { return Err(StartError::NoVariables { path: path.clone() }) };
    let copied = || -> io::Result<bool> {
        let mut source = File::open(template)?;
        let mut magic = [0u8; 4];
        source.read_exact(&mut magic)?;
        let is_qcow2 = magic == *b"QFI\xfb";
        if is_qcow2 != (*format == FirmwareFormat::Qcow2) {
            return Ok(false);
        }
        let directory = path.parent().ok_or(io::ErrorKind::NotFound)?;
        if directory == usual {
            fs::create_dir_all(directory)?;
        }
        // It has mode 0600, and takes its name only when it is whole; one that came meanwhile is kept.
        let mut copy = tempfile::NamedTempFile::new_in(directory)?;
        io::Write::write_all(&mut copy, &magic)?;
        io::copy(&mut source, &mut copy)?;
        copy.as_file().sync_all()?;
        match copy.persist_noclobber(path) {
            Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => Err(error.error),
            _ => Ok(true),
        }
    };
    match copied() {
        Ok(true) => Ok(()),
        Ok(false) => Err(StartError::VariablesFormat {
            path: path.clone(),
            template: template.clone(),
            format: format.to_string(),
        }),
        Err(source) => Err(StartError::Variables { path: path.clone(), template: template.clone(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_no_kernel() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(regular(file.path()).is_ok());
        assert_eq!(regular(Path::new("/dev/zero")).unwrap_err().to_string(), "it is not a regular file");
    }
}
