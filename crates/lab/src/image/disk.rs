//! The disk: a GPT with one partition, the EFI system partition, and its FAT32 file system.
//!
//! Identifiers and times are fixed, so that the same boot program gives the same bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};

use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions};
use gpt::disk::LogicalBlockSize;
use gpt::mbr::{MBRError, ProtectiveMBR};
use gpt::partition::Partition;
use gpt::{GptConfig, GptError, partition_types};
use uuid::{Uuid, uuid};

use super::window::Window;

/// The partition's name, by which the guest finds it.
pub(super) const PARTITION_NAME: &str = "sevirt-esp";
/// Where the guest leaves its report.
pub(super) const REPORT_DIRECTORY: &str = "SEVIRT";
pub(super) const REPORT_FILE: &str = "REPORT.TXT";

const BOOT_PROGRAM: [&str; 3] = ["EFI", "BOOT", "BOOTX64.EFI"];
const DISK_ID: Uuid = uuid!("5e517000-6465-4d6f-8000-000000000001");
const PARTITION_ID: Uuid = uuid!("5e517000-6465-4d6f-8000-000000000002");
const VOLUME_ID: u32 = 0x5e51_7000;

pub(super) const SECTOR: u64 = 512;
const MIB: u64 = 1 << 20;
/// The partition starts where all tools start one, and as much is left behind it for the second table.
const MARGIN: u64 = MIB;
/// FAT32 needs 65525 clusters; below 64 MiB there is none with whole sectors to spare.
const SMALLEST_PARTITION: u64 = 64 * MIB;

/// Why the disk could not be laid out.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error("write the partition table")]
    Gpt(#[from] GptError),
    #[error("write the protective master boot record")]
    Mbr(#[from] MBRError),
    #[error("write the file system")]
    Fat(#[from] io::Error),
    #[error("the boot program of {0} bytes is too large for a disk")]
    TooLarge(usize),
}

/// Lays out the whole disk in an empty file.
pub(super) fn write(file: &File, boot_program: &[u8]) -> Result<(), DiskError> {
    let too_large = || DiskError::TooLarge(boot_program.len());
    let program = u64::try_from(boot_program.len()).map_err(|_| too_large())?;
    // A quarter more than the program, for the tables and for the guest's report.
    let partition = (program + program / 4).next_multiple_of(MIB).max(SMALLEST_PARTITION);
    let disk = partition + 2 * MARGIN;
    let last_sector = u32::try_from(disk / SECTOR - 1).map_err(|_| too_large())?;
    let sectors = u32::try_from(partition / SECTOR).map_err(|_| too_large())?;
    file.set_len(disk)?;

    let mut device = file;
    ProtectiveMBR::with_lb_size(last_sector).overwrite_lba0(&mut device)?;
    let config = GptConfig::new().writable(true).logical_block_size(LogicalBlockSize::Lb512);
    let mut table = config.create_from_device(device, Some(DISK_ID))?;
    let first_lba = MARGIN / SECTOR;
    let partition_entry = Partition {
        part_type_guid: partition_types::EFI,
        part_guid: PARTITION_ID,
        first_lba,
        last_lba: first_lba + partition / SECTOR - 1,
        flags: 0,
        name: PARTITION_NAME.to_owned(),
    };
    table.update_partitions(BTreeMap::from([(1, partition_entry)]))?;
    table.write()?;

    let window = || Window::new(file, MARGIN, partition);
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_cluster(512)
        .total_sectors(sectors)
        .volume_id(VOLUME_ID)
        .volume_label(*b"SEVIRT     ");
    fatfs::format_volume(window(), options)?;
    let file_system = FileSystem::new(window(), FsOptions::new())?;
    let [efi, boot, name] = BOOT_PROGRAM;
    let mut target = file_system.root_dir().create_dir(efi)?.create_dir(boot)?.create_file(name)?;
    target.write_all(boot_program)?;
    target.flush()?;
    drop(target);
    file_system.root_dir().create_dir(REPORT_DIRECTORY)?;
    file_system.unmount()?;
    file.sync_all()?;
    Ok(())
}
