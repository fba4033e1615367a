//! Figures of disks.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use domain::Domain;
use domain::model::disk::{Disk, DiskFormat, DiskSource};
use qemu::qmp::figures::{BlockCounters, Drive, QueryBlock, QueryBlockstats};
use rpc::error::RemoteError;
use rpc::remote::block::{BlockInfo, BlockStats, DeviceNparams, DiskError, DiskErrorsReply};
use rpc::remote::common::{DomDevice, DomDeviceFlags, DomNumberFlags, Params16Reply};

use crate::service::device::affect::{self, check, invalid};
use crate::service::params::Params;
use crate::service::{Failure, Service};
use crate::vm::Guest;

/// The disk with a target or a source of that name.
pub(crate) fn find<'d>(domain: &'d Domain, name: &str) -> Option<&'d Disk> {
    let disks = &domain.devices.disks;
    let by_target = disks.iter().find(|disk| disk.target.dev == name);
    by_target.or_else(|| disks.iter().find(|disk| path(disk) == Some(name)))
}

/// The file or device of a disk's image.
pub(crate) fn path(disk: &Disk) -> Option<&str> {
    match disk.source.as_ref()? {
        DiskSource::File { path } => Some(path),
        DiskSource::Block { dev } => Some(dev),
        DiskSource::Other { .. } => None,
    }
}

/// What QEMU counted of one disk, or of all of them where there is no name.
async fn counters(guest: &Guest, name: &str) -> Result<BlockCounters, Failure> {
    let live = guest.live();
    let wanted = match name {
        "" => None,
        name => Some(find(&live, name).ok_or_else(|| invalid(format!("invalid path: {name}")))?),
    };
    let all = guest.ask(QueryBlockstats).await?;
    if let Some(disk) = wanted {
        let alias = disk.info.alias.as_deref().unwrap_or_default();
        let found = all.iter().find(|stats| stats.is_of(alias)).map(|found| found.stats);
        return found.ok_or_else(|| {
            Box::new(RemoteError::internal(format!("cannot find statistics for device '{alias}'")))
        });
    }
    let mut sum = BlockCounters::default();
    let is_disk = |disk: &Disk, stats: &qemu::qmp::figures::DriveStats| {
        disk.info.alias.as_deref().is_some_and(|alias| stats.is_of(alias))
    };
    for found in all.iter().filter(|stats| live.devices.disks.iter().any(|disk| is_disk(disk, stats))) {
        let add = |to: &mut u64, more: u64| *to = to.saturating_add(more);
        add(&mut sum.rd_bytes, found.stats.rd_bytes);
        add(&mut sum.rd_operations, found.stats.rd_operations);
        add(&mut sum.rd_total_time_ns, found.stats.rd_total_time_ns);
        add(&mut sum.wr_bytes, found.stats.wr_bytes);
        add(&mut sum.wr_operations, found.stats.wr_operations);
        add(&mut sum.wr_total_time_ns, found.stats.wr_total_time_ns);
        add(&mut sum.flush_operations, found.stats.flush_operations);
        add(&mut sum.flush_total_time_ns, found.stats.flush_total_time_ns);
    }
    Ok(sum)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// `DOMAIN_BLOCK_STATS`.
pub(crate) async fn block_stats(service: &Service, args: &DomDevice<'_>) -> Result<BlockStats, Failure> {
    let vm = service.domains.of(&args.dom)?;
    let counters = counters(&*affect::running(&vm)?, &args.device).await?;
    Ok(BlockStats {
        rd_req: signed(counters.rd_operations),
        rd_bytes: signed(counters.rd_bytes),
        wr_req: signed(counters.wr_operations),
        wr_bytes: signed(counters.wr_bytes),
        // QEMU counts none.
        errs: -1,
    })
}

/// `DOMAIN_BLOCK_STATS_FLAGS`.
pub(crate) async fn block_stats_flags(
    service: &Service,
    args: &DeviceNparams<'_>,
) -> Result<Params16Reply<'static>, Failure> {
    // Strings may be among the parameters; there are none.
    check(args.flags, 4, "virDomainBlockStatsFlags")?;
    let vm = service.domains.of(&args.dom)?;
    let counters = counters(&*affect::running(&vm)?, &args.device).await?;
    let mut params = Params::default();
    params.add("wr_bytes", signed(counters.wr_bytes));
    params.add("wr_operations", signed(counters.wr_operations));
    params.add("rd_bytes", signed(counters.rd_bytes));
    params.add("rd_operations", signed(counters.rd_operations));
    params.add("flush_operations", signed(counters.flush_operations));
    params.add("wr_total_times", signed(counters.wr_total_time_ns));
    params.add("rd_total_times", signed(counters.rd_total_time_ns));
    params.add("flush_total_times", signed(counters.flush_total_time_ns));
    let (params, nparams) = params.counted(args.nparams);
    Ok(Params16Reply { params, nparams })
}

/// Sizes of an image in bytes: what it takes of the host's storage, what the guest sees, and how far the file reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) allocation: u64,
    pub(crate) capacity: u64,
    pub(crate) physical: u64,
}

/// `DOMAIN_GET_BLOCK_INFO`.
pub(crate) async fn block_info(service: &Service, args: &DomDeviceFlags<'_>) -> Result<BlockInfo, Failure> {
    check(args.flags, 0, "virDomainGetBlockInfo")?;
    let vm = service.domains.of(&args.dom)?;
    let view = affect::view(&vm, 0)?;
    let name = &args.device;
    let disk = find(view.domain(), name)
        .ok_or_else(|| invalid(format!("invalid path {name} not assigned to domain")))?;
    if disk.source.is_none() {
        return Err(invalid(format!("disk '{name}' does not currently have a source assigned")));
    }
    let drives = match view.guest() {
        Some(guest) => guest.ask(QueryBlock).await?,
        None => Vec::new(),
    };
    let alias = disk.info.alias.as_deref().unwrap_or_default();
    let drive = drives.iter().find(|drive| drive.is_of(alias));
    let sizes =
        sizes(disk, drive).await.ok_or_else(|| invalid(format!("no size of disk '{name}' is known")))?;
    let Sizes { allocation, capacity, physical } = sizes?;
    Ok(BlockInfo { allocation, capacity, physical })
}

/// What is known of an image: its capacity from QEMU, where it runs, and the rest from the file.
async fn sizes(disk: &Disk, drive: Option<&Drive>) -> Option<Result<Sizes, Failure>> {
    let own = sizes_of_file(disk).await;
    let Some(image) = drive.and_then(|drive| drive.inserted.as_ref()).map(|inserted| &inserted.image) else {
        return own;
    };
    let capacity = image.virtual_size;
    let allocation = image.actual_size.unwrap_or_default();
    Some(Ok(match own {
        Some(Ok(sizes)) => Sizes { capacity, ..sizes },
        _ => Sizes { allocation, capacity, physical: allocation },
    }))
}

/// What the image's file says; `None` where there is none.
pub(crate) async fn sizes_of_file(disk: &Disk) -> Option<Result<Sizes, Failure>> {
    let path = path(disk)?.to_owned();
    let format = disk.driver.format;
    // A file may be on storage that does not answer.
    let read = tokio::task::spawn_blocking(move || {
        measure(Path::new(&path), format).map_err(|error| {
            Box::new(RemoteError::system_error(format!("cannot stat file '{path}': {}", reason(&error))))
        })
    });
    read.await.ok()
}

/// An error of the system in libvirt's form: without its number.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

fn measure(path: &Path, format: Option<DiskFormat>) -> io::Result<Sizes> {
    let found = std::fs::metadata(path)?;
    if found.file_type().is_block_device() {
        let size = device_size(path)?;
        return Ok(Sizes { allocation: size, capacity: size, physical: size });
    }
    let physical = found.len();
    let header = match format {
        Some(DiskFormat::Qcow2 | DiskFormat::Qcow) if found.is_file() => capacity_of_qcow(path)?,
        _ => None,
    };
    Ok(Sizes {
        allocation: found.blocks().saturating_mul(512),
        capacity: header.unwrap_or(physical),
        physical,
    })
}

/// A block device's size is where its end is.
fn device_size(path: &Path) -> io::Result<u64> {
    use std::io::Seek as _;
    File::open(path)?.seek(io::SeekFrom::End(0))
}

/// The size of the disk in a qcow or qcow2 image: a number of eight bytes at offset 24.
fn capacity_of_qcow(path: &Path) -> io::Result<Option<u64>> {
    let mut header = [0u8; 32];
    match File::open(path)?.read_exact(&mut header) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let [b'Q', b'F', b'I', 0xfb, _, _, _, _, rest @ ..] = header else { return Ok(None) };
    let size = rest.last_chunk::<8>().map(|size| u64::from_be_bytes(*size));
    Ok(size)
}

/// `DOMAIN_GET_DISK_ERRORS`: the disks whose last request failed.
pub(crate) async fn disk_errors(
    service: &Service,
    args: &DomNumberFlags<'_>,
) -> Result<DiskErrorsReply<'static>, Failure> {
    check(args.flags, 0, "virDomainGetDiskErrors")?;
    let vm = service.domains.of(&args.dom)?;
    let guest = affect::running(&vm)?;
    let live = guest.live();
    let most = usize::try_from(args.number).unwrap_or(usize::MAX).min(256);
    if most == 0 {
        // How many there can be.
        let nerrors = i32::try_from(live.devices.disks.len()).unwrap_or(i32::MAX);
        return Ok(DiskErrorsReply { errors: Vec::new().into(), nerrors });
    }
    let drives = guest.ask(QueryBlock).await?;
    let failed = |disk: &Disk| {
        let alias = disk.info.alias.as_deref()?;
        let status = drives.iter().find(|drive| drive.is_of(alias))?.io_status.as_deref()?;
        // `virDomainDiskErrorCode`.
        let error = match status {
            "ok" => return None,
            "nospace" => 2,
            _ => 1,
        };
        Some(DiskError { disk: disk.target.dev.clone().into(), error })
    };
    let errors: Vec<DiskError<'_>> = live.devices.disks.iter().filter_map(failed).take(most).collect();
    let nerrors = i32::try_from(errors.len()).unwrap_or(i32::MAX);
    Ok(DiskErrorsReply { errors: errors.into(), nerrors })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_says_how_large_its_disk_is() {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("a.qcow2");
        let mut header = vec![0u8; 512];
        header[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
        header[24..32].copy_from_slice(&(64u64 << 20).to_be_bytes());
        std::fs::write(&image, &header).unwrap();
        let sizes = measure(&image, Some(DiskFormat::Qcow2)).unwrap();
        assert_eq!((sizes.capacity, sizes.physical), (64 << 20, 512));
        assert_eq!(measure(&image, Some(DiskFormat::Raw)).unwrap().capacity, 512);
        std::fs::write(&image, b"QFI\xfb").unwrap();
        assert_eq!(measure(&image, Some(DiskFormat::Qcow2)).unwrap().capacity, 4);
        assert!(measure(&directory.path().join("none"), None).is_err());
    }
}
