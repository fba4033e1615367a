//! The names by which QEMU knows a running domain's devices.

use super::drive::disk_number;
use crate::model::{
    Domain,
    address::{Address, DeviceInfo},
    chardev::ConsoleTarget,
    complete::MachineKind,
    controller::{Controller, ControllerKind, PciModel, ScsiModel, UsbModel},
    devices::Devices,
    disk::{Disk, DiskBus},
};

impl Domain {
    /// Gives every device that has no alias the one that libvirt gives. The user's aliases stay.
    pub fn assign_aliases(&mut self) {
        let machine = self.os.machine_kind();
        let devices = &mut self.devices;
        let lsi: Vec<u32> = devices.controllers.iter().filter_map(lsi_index).collect();
        for disk in &mut devices.disks {
            if let Some(alias) = disk_alias(disk, &lsi) {
                disk.info.alias.get_or_insert(alias);
            }
        }
        for controller in &mut devices.controllers {
            let alias = controller_alias(controller, machine);
            controller.info.alias.get_or_insert(alias);
        }
        name_consoles(devices);
        number_unnamed(devices.interfaces.iter_mut().map(|device| &mut device.info), "net");
        number(devices.channels.iter_mut().map(|device| &mut device.info), "channel");
        number(devices.inputs.iter_mut().map(|device| &mut device.info), "input");
        number(devices.tpms.iter_mut().map(|device| &mut device.info), "tpm");
        number(devices.videos.iter_mut().map(|device| &mut device.info), "video");
        number(devices.hubs.iter_mut().map(|device| &mut device.info), "hub");
        number(devices.watchdogs.iter_mut().map(|device| &mut device.info), "watchdog");
        number(devices.memballoon.iter_mut().map(|device| &mut device.info), "balloon");
        number_unnamed(devices.rngs.iter_mut().map(|device| &mut device.info), "rng");
        number(devices.iommu.iter_mut().map(|device| &mut device.info), "iommu");
        number(devices.vsock.iter_mut().map(|device| &mut device.info), "vsock");
    }
}

/// Numbers the devices of one kind by their order.
fn number<'d>(infos: impl Iterator<Item = &'d mut DeviceInfo>, prefix: &str) {
    for (at, info) in infos.enumerate() {
        info.alias.get_or_insert_with(|| format!("{prefix}{at}"));
    }
}

/// Numbers the devices of one kind that nobody has named, after those that have such a name.
fn number_unnamed<'d>(infos: impl Iterator<Item = &'d mut DeviceInfo>, prefix: &str) {
    let infos: Vec<&mut DeviceInfo> = infos.collect();
    let named =
        infos.iter().filter_map(|info| info.alias.as_ref()?.strip_prefix(prefix)?.parse::<u32>().ok());
    let mut next = named.max().map_or(0, |last| last.saturating_add(1));
    for info in infos {
        info.alias.get_or_insert_with(|| {
            let alias = format!("{prefix}{next}");
            next = next.saturating_add(1);
            alias
        });
    }
}

/// The first console is the first serial port, and has its name.
fn name_consoles(devices: &mut Devices) {
    number(devices.serials.iter_mut().map(|device| &mut device.info), "serial");
    if let (Some(console), Some(serial)) = (devices.consoles.first_mut(), devices.serials.first())
        && console.target == ConsoleTarget::Serial
    {
        console.info.alias.clone_from(&serial.info.alias);
    }
    number(devices.consoles.iter_mut().map(|device| &mut device.info), "console");
}

fn lsi_index(controller: &Controller) -> Option<u32> {
    let is_lsi = matches!(controller.kind, ControllerKind::Scsi { model: Some(ScsiModel::Lsilogic) });
    controller.index.filter(|_| is_lsi)
}

fn disk_alias(disk: &Disk, lsi: &[u32]) -> Option<String> {
    let bus = disk.target.bus?;
    let Some(Address::Drive(drive)) = disk.info.address else {
        let number = disk_number(&disk.target.dev)?;
        return match bus {
            DiskBus::Virtio => Some(format!("virtio-disk{number}")),
            DiskBus::Usb => Some(format!("usb-disk{number}")),
            _ => None,
        };
    };
    let has_target = bus == DiskBus::Scsi && !lsi.contains(&drive.controller);
    let target = if has_target { format!("-{}", drive.target) } else { String::new() };
    Some(format!("{bus}{}-{}{target}-{}", drive.controller, drive.bus, drive.unit))
}

fn controller_alias(controller: &Controller, machine: MachineKind) -> String {
    let index = controller.index.unwrap_or(0);
    let kind = controller.kind.name();
    match &controller.kind {
        ControllerKind::Pci(pci) if pci.model == Some(PciModel::PcieRoot) => format!("pcie.{index}"),
        ControllerKind::Pci(_) => format!("pci.{index}"),
        // What is built into the chipset has the name that QEMU gave it.
        ControllerKind::Ide { .. } if machine == MachineKind::I440fx && index == 0 => "ide".to_owned(),
        ControllerKind::Sata { .. } if machine == MachineKind::Q35 && index == 0 => "ide".to_owned(),
        ControllerKind::Usb { model, .. } if index == 0 && !matches!(model, Some(UsbModel::None)) => {
            "usb".to_owned()
        }
        _ => format!("{kind}{index}"),
    }
}
