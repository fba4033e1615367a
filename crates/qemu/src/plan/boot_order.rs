//! From which device the guest boots first: `<boot order=…>` of devices, or else `<boot dev=…>` of the domain.

use domain::{
    Domain,
    model::{
        address::Address,
        disk::{Disk, DiskBus, DiskDevice},
        os::BootDevice,
    },
};

/// The boot index of each disk and network interface, by its position.
#[derive(Debug)]
pub(crate) struct BootOrder {
    disks: Vec<Option<u32>>,
    interfaces: Vec<Option<u32>>,
}

impl BootOrder {
    pub(crate) fn of(domain: &Domain) -> Self {
        let devices = &domain.devices;
        let mut disks: Vec<_> = devices.disks.iter().map(|disk| disk.info.boot_order).collect();
        let mut interfaces: Vec<_> = devices.interfaces.iter().map(|nic| nic.info.boot_order).collect();
        for (device, index) in domain.os.boot.iter().zip(1..) {
            let first = |wanted: fn(&Disk) -> bool| devices.disks.iter().position(wanted);
            let (list, position) = match device {
                BootDevice::Hd => {
                    let is_disk = |disk: &Disk| matches!(disk.device, DiskDevice::Disk | DiskDevice::Lun);
                    (&mut disks, first(is_disk))
                }
                BootDevice::Cdrom => (&mut disks, first(|disk| disk.device == DiskDevice::Cdrom)),
                BootDevice::Fd => (&mut disks, first(|disk| disk.device == DiskDevice::Floppy)),
                BootDevice::Network => (&mut interfaces, Some(0)),
            };
            if let Some(slot) = position.and_then(|position| list.get_mut(position)) {
                slot.get_or_insert(index);
            }
        }
        Self { disks, interfaces }
    }

    pub(crate) fn disk(&self, position: usize) -> Option<u32> {
        self.disks.get(position).copied().flatten()
    }

    pub(crate) fn interface(&self, position: usize) -> Option<u32> {
        self.interfaces.get(position).copied().flatten()
    }

    /// The boot indices of the two floppy drives, which their controller holds.
    pub(crate) fn floppies(&self, domain: &Domain) -> [Option<u32>; 2] {
        let mut drives = [None; 2];
        for (position, disk) in domain.devices.disks.iter().enumerate() {
            if let (Some(DiskBus::Fdc), Some(Address::Drive(place))) = (disk.target.bus, &disk.info.address)
                && let Some(drive) = usize::try_from(place.unit).ok().and_then(|unit| drives.get_mut(unit))
            {
                *drive = self.disk(position);
            }
        }
        drives
    }
}
