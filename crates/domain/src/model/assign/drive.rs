//! Places of disks on IDE, SATA, SCSI and floppy controllers, which follow from the disk's name.

use std::collections::BTreeSet;

use super::AddressError;
use crate::model::{
    address::{Address, DriveAddress},
    devices::Devices,
    disk::{Disk, DiskBus},
};

/// More disks than this on one kind of controller are a mistake.
const MOST: u32 = 4096;

/// SCSI: sixteen units a controller, of which the eighth is the controller itself.
const SCSI_UNITS: u32 = 15;
const SCSI_OWN_UNIT: u32 = 7;

pub(in crate::model) fn assign_drives(devices: &mut Devices) -> Result<(), AddressError> {
    let mut taken: BTreeSet<(DiskBus, u32, u32, u32, u32)> = devices.disks.iter().filter_map(place).collect();
    for disk in &mut devices.disks {
        let Some(bus) = disk.target.bus else { continue };
        if disk.info.address.is_some() || matches!(bus, DiskBus::Virtio | DiskBus::Usb) {
            continue;
        }
        let no_place = || AddressError::NoDrive(disk.target.dev.clone());
        let first =
            disk_number(&disk.target.dev).ok_or_else(|| AddressError::DiskName(disk.target.dev.clone()))?;
        // Only SCSI disks look further when the place of their name is taken.
        let last = if bus == DiskBus::Scsi { first.saturating_add(MOST) } else { first };
        let drive = (first..=last)
            .map(|number| drive_at(bus, number))
            .find(|drive| !taken.contains(&key(bus, *drive)))
            .ok_or_else(no_place)?;
        taken.insert(key(bus, drive));
        disk.info.address = Some(Address::Drive(drive));
    }
    Ok(())
}

fn place(disk: &Disk) -> Option<(DiskBus, u32, u32, u32, u32)> {
    match disk.info.address {
        Some(Address::Drive(drive)) => Some(key(disk.target.bus?, drive)),
        _ => None,
    }
}

fn key(bus: DiskBus, drive: DriveAddress) -> (DiskBus, u32, u32, u32, u32) {
    (bus, drive.controller, drive.bus, drive.target, drive.unit)
}

fn drive_at(bus: DiskBus, number: u32) -> DriveAddress {
    let place = |controller, bus, unit| DriveAddress { controller, bus, target: 0, unit };
    match bus {
        DiskBus::Scsi => {
            let unit = number % SCSI_UNITS;
            place(number / SCSI_UNITS, 0, if unit >= SCSI_OWN_UNIT { unit + 1 } else { unit })
        }
        DiskBus::Ide => place(number / 4, number / 2 % 2, number % 2),
        DiskBus::Sata => place(number / 6, 0, number % 6),
        DiskBus::Fdc => place(number / 2, 0, number % 2),
        DiskBus::Virtio | DiskBus::Usb => place(0, 0, number),
    }
}

/// The number in a disk's name: 0 for `sda` and `vda`, 26 for `sdaa`. A partition's digits at the end are passed
/// over.
pub(in crate::model) fn disk_number(dev: &str) -> Option<u32> {
    let letters =
        ["fd", "hd", "vd", "sd", "xvd", "ubd"].iter().find_map(|prefix| dev.strip_prefix(prefix))?;
    let letters = letters.trim_end_matches(|c: char| c.is_ascii_digit());
    if letters.is_empty() {
        return None;
    }
    let mut number: u32 = 0;
    for letter in letters.chars() {
        let digit = u32::from(letter).checked_sub(u32::from('a')).filter(|digit| *digit < 26)?;
        number = number.checked_mul(26)?.checked_add(digit + 1)?;
    }
    number.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_count_like_columns_of_a_sheet() {
        for (dev, number) in
            [("hda", Some(0)), ("vdz", Some(25)), ("sdaa", Some(26)), ("sdba", Some(52)), ("fdb1", Some(1))]
        {
            assert_eq!(disk_number(dev), number, "{dev}");
        }
        for dev in ["", "sd", "nvme0n1", "sdA", "sdaaaaaaaaaaaa"] {
            assert_eq!(disk_number(dev), None, "{dev}");
        }
    }

    #[test]
    fn the_scsi_controller_has_a_unit_of_its_own() {
        assert_eq!(drive_at(DiskBus::Scsi, 6).unit, 6);
        assert_eq!(drive_at(DiskBus::Scsi, 7).unit, 8);
        assert_eq!(drive_at(DiskBus::Scsi, 15), DriveAddress { controller: 1, bus: 0, target: 0, unit: 0 });
    }
}
