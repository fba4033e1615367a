//! Disks: their block nodes, and `-device virtio-blk-pci`, `scsi-hd`, `ide-cd`, `usb-storage`, `floppy`.

use domain::{
    Domain,
    model::{
        Switch,
        address::{Address, DriveAddress},
        controller::ControllerType,
        disk::{Disk, DiskBus, DiskDevice, ErrorPolicy},
        iothreads::alias,
    },
};

use super::{
    Properties,
    address::{Buses, virtio_pci},
    block, iothread, on_off,
};
use crate::plan::{Device, DeviceKind, PlanError, ids};

/// All disks. Block nodes are numbered from the last disk to the first, images of a chain from the top down.
pub(crate) fn disks(
    domain: &Domain,
    boot_index: impl Fn(usize) -> Option<u32>,
    cdrom_drive: impl Fn(&str) -> bool,
) -> Result<Vec<Device>, PlanError> {
    let mut devices = Vec::new();
    for ((position, disk), number) in domain.devices.disks.iter().enumerate().zip(numbers(domain)) {
        devices.push(self::disk(domain, disk, number, boot_index(position), &cdrom_drive)?);
    }
    Ok(devices)
}

/// The number of each disk's top image.
pub fn numbers(domain: &Domain) -> Vec<usize> {
    let disks = &domain.devices.disks;
    let mut number = 1 + disks.iter().map(block::images).sum::<usize>();
    let next = |disk| {
        number -= block::images(disk);
        number
    };
    disks.iter().map(next).collect()
}

/// One disk, whose block nodes count up from `number`.
pub(crate) fn disk(
    domain: &Domain,
    disk: &Disk,
    number: usize,
    boot_index: Option<u32>,
    cdrom_drive: impl Fn(&str) -> bool,
) -> Result<Device, PlanError> {
    let id = ids::disk(domain, disk)?;
    let chain = match &disk.source {
        Some(source) => Some(block::chain(disk, source, number, &cdrom_drive)?),
        None => None,
    };
    let drive = chain.as_ref().map(|chain| chain.top.as_str());
    let frontend = Some(frontend(domain, disk, &id, drive, boot_index)?);
    let backends = chain.map_or_else(Vec::new, |chain| chain.nodes);
    Ok(Device { id, kind: DeviceKind::Disk, backends, frontend })
}

fn frontend(
    domain: &Domain,
    disk: &Disk,
    id: &str,
    drive: Option<&str>,
    boot_index: Option<u32>,
) -> Result<Properties, PlanError> {
    let buses = Buses::new(domain);
    let cdrom = disk.device == DiskDevice::Cdrom;
    let bus = disk.target.bus.ok_or_else(|| PlanError::Incomplete { device: id.to_owned() })?;
    let device = match bus {
        DiskBus::Virtio => virtio_pci("virtio-blk", disk.model, disk.virtio)
            .with_some("iothread", disk.driver.iothread.map(alias))
            .with_some("ioeventfd", disk.driver.ioeventfd.map(Switch::is_on))
            .with_some("event_idx", disk.driver.event_idx.map(Switch::is_on))
            .with_some("num-queues", disk.driver.queues)
            .with_some("queue-size", disk.driver.queue_size)
            .with_some("iothread-vq-mapping", iothread::queues(&disk.driver))
            .and(buses.pci(&disk.info, id)?),
        DiskBus::Ide => {
            let place = drive_address(disk, id)?;
            let bus = match buses.controller(ControllerType::Ide, place.controller, id)? {
                own if own == "ide" => format!("ide.{}", place.bus),
                other => format!("{other}.{}", place.bus),
            };
            Properties::device(if cdrom { "ide-cd" } else { "ide-hd" })
                .with("bus", bus)
                .with("unit", place.unit)
        }
        DiskBus::Sata => {
            let place = drive_address(disk, id)?;
            let controller = buses.controller(ControllerType::Sata, place.controller, id)?;
            Properties::device(if cdrom { "ide-cd" } else { "ide-hd" })
                .with("bus", format!("{controller}.{}", place.unit))
        }
        DiskBus::Scsi => scsi(domain, disk, id, drive_address(disk, id)?)?,
        DiskBus::Usb => Properties::device("usb-storage").and(buses.usb(&disk.info, id)?),
        DiskBus::Fdc => Properties::device("floppy").with("unit", drive_address(disk, id)?.unit),
    };
    let blocks = disk.block_io.unwrap_or_default();
    let device = device
        .with_true("share-rw", disk.shareable)
        .with_some("logical_block_size", blocks.logical_block_size)
        .with_some("physical_block_size", blocks.physical_block_size)
        .with_some("discard_granularity", blocks.discard_granularity)
        .with_some("drive", drive)
        .with("id", id)
        // The floppy controller holds the boot order of its drives.
        .with_some("bootindex", boot_index.filter(|_| bus != DiskBus::Fdc));
    Ok(identity(disk, bus, device, id)?.and(error_policies(disk)))
}

/// A disk on a SCSI bus: how it is addressed depends on the controller.
fn scsi(domain: &Domain, disk: &Disk, id: &str, place: DriveAddress) -> Result<Properties, PlanError> {
    let driver = match disk.device {
        DiskDevice::Lun => "scsi-block",
        DiskDevice::Cdrom => "scsi-cd",
        DiskDevice::Disk | DiskDevice::Floppy => "scsi-hd",
    };
    let controller = Buses::new(domain).controller(ControllerType::Scsi, place.controller, id)?;
    let device = Properties::device(driver).with("bus", format!("{controller}.0"));
    let device = if ids::scsi_is_flat(domain, place.controller) {
        device.with("scsi-id", place.unit)
    } else {
        device.with("channel", place.bus).with("scsi-id", place.target).with("lun", place.unit)
    };
    // What the guest sees as the unit's designator; without it QEMU shows the block node's name.
    let designator = disk.serial.clone().unwrap_or_else(|| format!("drive-{id}"));
    Ok(device.with_some("device_id", (disk.device != DiskDevice::Lun).then_some(designator)))
}

/// What the guest can read off the disk beside its contents.
fn identity(disk: &Disk, bus: DiskBus, device: Properties, id: &str) -> Result<Properties, PlanError> {
    let removable = match disk.target.removable {
        Some(removable) => Some(removable.is_on()),
        None => (bus == DiskBus::Usb).then_some(false),
    };
    let write_cache = block::cache_mode(disk.driver.cache).map(|(_, _, write_cache)| on_off(write_cache));
    let wwn = match &disk.wwn {
        None => None,
        Some(wwn) => Some(u64::from_str_radix(wwn.trim_start_matches("0x"), 16).map_err(|_| {
            PlanError::Unsupported { device: id.to_owned(), what: format!("the world wide name {wwn}") }
        })?),
    };
    let product = if matches!(bus, DiskBus::Ide | DiskBus::Sata) { "model" } else { "product" };
    Ok(device
        .with_some("removable", removable.filter(|_| matches!(bus, DiskBus::Usb | DiskBus::Scsi)))
        .with_some("rotation_rate", disk.target.rotation_rate)
        .with_some("write-cache", write_cache.filter(|_| bus != DiskBus::Fdc))
        .with_some("wwn", wwn)
        .with_some("vendor", disk.vendor.as_deref())
        .with_some(product, disk.product.as_deref())
        .with_some("serial", disk.serial.as_deref()))
}

fn error_policies(disk: &Disk) -> Properties {
    let policy = |policy: Option<ErrorPolicy>| match policy? {
        ErrorPolicy::Default => None,
        ErrorPolicy::Stop => Some("stop"),
        ErrorPolicy::Report => Some("report"),
        ErrorPolicy::Ignore => Some("ignore"),
        ErrorPolicy::Enospace => Some("enospc"),
    };
    let write = policy(disk.driver.error_policy);
    // Running out of space cannot happen while reading.
    let read = policy(disk.driver.rerror_policy).or_else(|| write.filter(|write| *write != "enospc"));
    Properties::default().with_some("werror", write).with_some("rerror", read)
}

fn drive_address(disk: &Disk, id: &str) -> Result<DriveAddress, PlanError> {
    match disk.info.address {
        Some(Address::Drive(address)) => Ok(address),
        _ => Err(PlanError::NoAddress { device: id.to_owned() }),
    }
}
