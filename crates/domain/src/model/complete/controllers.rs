//! The controllers that a machine has and that devices need.

use std::collections::BTreeSet;

use super::{CompleteError, MachineKind};
use crate::model::{
    Domain, Keyword,
    address::Address,
    chardev::{ChannelTarget, ConsoleTarget},
    controller::{Controller, ControllerKind, ControllerType, PciController, PciModel, ScsiModel, UsbModel},
    devices::Devices,
    disk::DiskBus,
};

/// Numbers of controllers beyond this are a mistake, and would have thousands of them added.
const MOST: u32 = 255;

/// Adds what the machine has before anything is plugged into it.
pub(super) fn add_default(domain: &mut Domain, machine: MachineKind) {
    let devices = &mut domain.devices;
    give_indices(devices);
    let usb = match machine {
        MachineKind::I440fx => Some(UsbModel::Piix3Uhci),
        MachineKind::Q35 => Some(UsbModel::QemuXhci),
        MachineKind::Other => None,
    };
    let has_usb = devices.controllers.iter().any(|controller| controller.kind.name() == ControllerType::Usb);
    if let Some(model) = usb
        && !has_usb
    {
        let kind = ControllerKind::Usb { model: Some(model), ports: None, master_startport: None };
        devices.insert_controller(Controller::new(kind, 0));
    }
    let root = match machine {
        MachineKind::I440fx => PciModel::PciRoot,
        MachineKind::Q35 => {
            devices.add_controller(ControllerKind::Sata { model: None }, 0);
            PciModel::PcieRoot
        }
        MachineKind::Other => return,
    };
    devices.add_controller(pci(root), 0);
}

/// A PCI controller with nothing but its model.
pub(in crate::model) fn pci(model: PciModel) -> ControllerKind {
    ControllerKind::Pci(PciController { model: Some(model), ..PciController::default() })
}

/// Adds the controllers that devices are on, and gives those without a model the usual one.
pub(super) fn complete(domain: &mut Domain, machine: MachineKind) -> Result<(), CompleteError> {
    let devices = &mut domain.devices;
    let mut seen = BTreeSet::new();
    for controller in &devices.controllers {
        let kind = controller.kind.name();
        if let Some(index) = controller.index
            && kind == ControllerType::Pci
            && index > MOST
        {
            return Err(CompleteError::ControllerIndex { kind: kind.word(), index, most: MOST });
        }
        if let Some(index) = controller.index
            && !is_companion(controller)
            && !seen.insert((kind, index))
        {
            return Err(CompleteError::TwoControllers { kind: kind.word(), index });
        }
    }
    let buses: [(DiskBus, fn() -> ControllerKind); 4] = [
        (DiskBus::Scsi, || ControllerKind::Scsi { model: None }),
        (DiskBus::Fdc, || ControllerKind::Fdc),
        (DiskBus::Ide, || ControllerKind::Ide { model: None }),
        (DiskBus::Sata, || ControllerKind::Sata { model: None }),
    ];
    for (bus, kind) in buses {
        let last = devices
            .disks
            .iter()
            .filter(|disk| disk.target.bus == Some(bus))
            .filter_map(|disk| match disk.info.address {
                Some(Address::Drive(drive)) => Some(drive.controller),
                _ => None,
            })
            .max();
        add_up_to(devices, kind, last)?;
    }
    for index in virtio_serial_indices(devices) {
        devices
            .add_controller(ControllerKind::VirtioSerial { model: None, ports: None, vectors: None }, index);
    }
    let root = match machine {
        MachineKind::I440fx => PciModel::PciRoot,
        MachineKind::Q35 => PciModel::PcieRoot,
        MachineKind::Other => return Ok(()),
    };
    complete_models(&mut devices.controllers, root);
    check_roots(&devices.controllers, root)
}

/// The root bus is the one with index 0, and only that.
fn check_roots(controllers: &[Controller], root: PciModel) -> Result<(), CompleteError> {
    for controller in controllers {
        let (ControllerKind::Pci(PciController { model: Some(model), .. }), Some(index)) =
            (&controller.kind, controller.index)
        else {
            continue;
        };
        let is_root = matches!(model, PciModel::PciRoot | PciModel::PcieRoot);
        let is_right = if index == 0 { *model == root } else { !is_root };
        if !is_right {
            return Err(CompleteError::PciRoot { index, found: model.word(), root: root.word() });
        }
    }
    Ok(())
}

/// The virtio-serial controllers that channels and consoles ask for.
fn virtio_serial_indices(devices: &Devices) -> BTreeSet<u32> {
    let channels = devices
        .channels
        .iter()
        .filter(|channel| matches!(channel.target, ChannelTarget::Virtio { .. }))
        .map(|channel| &channel.info);
    let consoles = devices
        .consoles
        .iter()
        .filter(|console| console.target == ConsoleTarget::Virtio)
        .map(|console| &console.info);
    channels
        .chain(consoles)
        .map(|info| match info.address {
            Some(Address::VirtioSerial(serial)) => serial.controller,
            _ => 0,
        })
        .collect()
}

fn add_up_to(
    devices: &mut Devices,
    kind: impl Fn() -> ControllerKind,
    last: Option<u32>,
) -> Result<(), CompleteError> {
    let Some(last) = last else {
        return Ok(());
    };
    if last > MOST {
        return Err(CompleteError::ControllerIndex { kind: kind().name().word(), index: last, most: MOST });
    }
    for index in 0..=last {
        devices.add_controller(kind(), index);
    }
    Ok(())
}

/// Controllers without an index get the next one of their kind.
fn give_indices(devices: &mut Devices) {
    for at in 0..devices.controllers.len() {
        let Some(controller) = devices.controllers.get(at) else { continue };
        if controller.index.is_some() {
            continue;
        }
        let kind = controller.kind.name();
        let index = match &controller.kind {
            ControllerKind::Usb { model: Some(model), .. } if is_ich9(*model) => {
                Some(usb2_index(&devices.controllers, *model))
            }
            _ => {
                let of_kind = devices.controllers.iter().filter(|other| other.kind.name() == kind);
                let taken: BTreeSet<u32> = of_kind.filter_map(|other| other.index).collect();
                (0..=u32::MAX).find(|index| !taken.contains(index))
            }
        };
        if let Some(controller) = devices.controllers.get_mut(at) {
            controller.index = index;
        }
    }
    let controllers = std::mem::take(&mut devices.controllers);
    for controller in controllers {
        devices.insert_controller(controller);
    }
}

/// The parts of a USB 2 controller of the ICH9.
fn is_ich9(model: UsbModel) -> bool {
    matches!(model, UsbModel::Ich9Ehci1 | UsbModel::Ich9Uhci1 | UsbModel::Ich9Uhci2 | UsbModel::Ich9Uhci3)
}

/// The parts of one USB 2 controller share an index: a part joins the last controller that lacks it.
fn usb2_index(controllers: &[Controller], part: UsbModel) -> u32 {
    let usb = controllers.iter().filter_map(|controller| match controller.kind {
        ControllerKind::Usb { model, .. } => Some((controller.index?, model)),
        _ => None,
    });
    let Some(last) = usb.clone().map(|(index, _)| index).max() else {
        return 0;
    };
    let mut parts = usb.filter(|(index, _)| *index == last).filter_map(|(_, model)| model);
    if parts.all(|model| is_ich9(model) && model != part) { last } else { last.saturating_add(1) }
}

fn complete_models(controllers: &mut [Controller], root: PciModel) {
    let usual = if root == PciModel::PcieRoot { PciModel::PcieRootPort } else { PciModel::PciBridge };
    for controller in controllers {
        match &mut controller.kind {
            ControllerKind::Usb { model, master_startport, .. } => {
                let first_port = match model.get_or_insert(UsbModel::Piix3Uhci) {
                    UsbModel::Ich9Uhci1 => Some(0),
                    UsbModel::Ich9Uhci2 => Some(2),
                    UsbModel::Ich9Uhci3 => Some(4),
                    _ => None,
                };
                *master_startport = master_startport.or(first_port);
            }
            ControllerKind::Scsi { model } => {
                if matches!(model, None | Some(ScsiModel::Auto)) {
                    *model = Some(ScsiModel::Lsilogic);
                }
            }
            ControllerKind::Pci(pci) => {
                let default = if controller.index == Some(0) { root } else { usual };
                pci.model.get_or_insert(default);
            }
            _ => {}
        }
    }
}

fn is_companion(controller: &Controller) -> bool {
    matches!(controller.kind, ControllerKind::Usb { model: Some(model), .. }
        if is_ich9(model) && model != UsbModel::Ich9Ehci1)
}

impl Devices {
    /// Adds a controller unless there is one of its kind and index.
    pub(in crate::model) fn add_controller(&mut self, kind: ControllerKind, index: u32) {
        let name = kind.name();
        let is_there = |other: &Controller| other.kind.name() == name && other.index == Some(index);
        if !self.controllers.iter().any(is_there) {
            self.insert_controller(Controller::new(kind, index));
        }
    }

    /// Controllers of one kind stay together in the order of their indices, the EHCI part of a USB 2 controller
    /// before its companions; a new kind goes to the end.
    fn insert_controller(&mut self, controller: Controller) {
        let kind = controller.kind.name();
        let key = |controller: &Controller| (controller.index, is_companion(controller));
        let of_kind = |other: &Controller| other.kind.name() == kind;
        let after = self
            .controllers
            .iter()
            .rposition(|other| of_kind(other) && key(other) <= key(&controller))
            .map(|at| at + 1);
        let before = || self.controllers.iter().position(of_kind);
        let at = after.or_else(before).unwrap_or(self.controllers.len());
        self.controllers.insert(at, controller);
    }
}
