//! The PCI devices in the order in which they get their slots, with what each needs.

use super::connect::{Connection, Need};
use crate::model::{
    address::{Address, DeviceInfo},
    chardev::SerialTarget,
    controller::{ControllerKind, ScsiModel, UsbModel},
    devices::{Devices, InputBus, IommuModel, VirtioModel, WatchdogModel},
    disk::DiskBus,
    graphics::VideoModel,
    interface::{InterfaceModel, InterfaceSource},
};

/// A device that sits on PCI.
pub(super) struct Slotted<'d> {
    pub(super) info: &'d mut DeviceInfo,
    pub(super) need: Need,
    /// For the parts of a USB 2 controller: its number and the function that this part has.
    pub(super) companion: Option<(u32, u8)>,
}

impl Slotted<'_> {
    /// Whether it still lacks a place; devices that are elsewhere do not.
    pub(super) fn lacks_place(&self) -> bool {
        self.info.address.is_none()
    }
}

/// Visits all PCI devices, in the order of assignment. Stops at the first error.
pub(super) fn visit<E>(
    devices: &mut Devices,
    is_express: bool,
    mut see: impl FnMut(Slotted<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let needs = Needs { is_express };
    let mut one = |info: &mut DeviceInfo, need: Option<Need>| match need {
        Some(need) if on_pci(info) => see(Slotted { info, need, companion: None }),
        _ => Ok(()),
    };
    for controller in &mut devices.controllers {
        if let ControllerKind::Pci(pci) = &controller.kind {
            one(&mut controller.info, pci.model.and_then(Need::of_controller))?;
        }
    }
    for interface in &mut devices.interfaces {
        let need = match (&interface.source, &interface.model) {
            (InterfaceSource::Other { .. }, _) => None,
            (_, Some(InterfaceModel::Virtio(model))) => Some(needs.virtio(*model, "a network interface")),
            (_, Some(InterfaceModel::Other(model))) => needs.interface(model),
            (_, None) => None,
        };
        one(&mut interface.info, need)?;
    }
    for controller in &mut devices.controllers {
        let need = needs.controller(&controller.kind);
        let companion = controller.index.zip(companion_function(&controller.kind));
        if let Some(need) = need
            && on_pci(&controller.info)
        {
            see(Slotted { info: &mut controller.info, need, companion })?;
        }
    }
    let mut one = |info: &mut DeviceInfo, need: Option<Need>| match need {
        Some(need) if on_pci(info) => see(Slotted { info, need, companion: None }),
        _ => Ok(()),
    };
    for disk in &mut devices.disks {
        let is_virtio = disk.target.bus == Some(DiskBus::Virtio);
        let model = disk.model.unwrap_or(VirtioModel::Virtio);
        one(&mut disk.info, is_virtio.then(|| needs.virtio(model, "a disk")))?;
    }
    if let Some(balloon) = &mut devices.memballoon {
        one(&mut balloon.info, balloon.model.map(|model| needs.virtio(model, "the memory balloon")))?;
    }
    for rng in &mut devices.rngs {
        one(&mut rng.info, Some(needs.virtio(rng.model, "a random number generator")))?;
    }
    for watchdog in &mut devices.watchdogs {
        let is_pci = watchdog.model == WatchdogModel::I6300esb;
        one(&mut watchdog.info, is_pci.then_some(Need::new(Connection::Pci, "a watchdog")))?;
    }
    for video in &mut devices.videos {
        one(&mut video.info, video.model.and_then(|model| needs.video(model)))?;
    }
    for input in &mut devices.inputs {
        let is_virtio = input.bus == Some(InputBus::Virtio);
        let model = input.model.unwrap_or(VirtioModel::Virtio);
        one(&mut input.info, is_virtio.then(|| needs.virtio(model, "an input device")))?;
    }
    for serial in &mut devices.serials {
        let is_pci = serial.target == Some(SerialTarget::PciSerial);
        one(&mut serial.info, is_pci.then_some(Need::new(Connection::Pci, "a serial port")))?;
    }
    if let Some(iommu) = &mut devices.iommu {
        let need = Need { is_hotplugged: false, ..needs.express("the IOMMU") };
        one(&mut iommu.info, (iommu.model == IommuModel::Virtio).then_some(need))?;
    }
    if let Some(vsock) = &mut devices.vsock {
        let model = vsock.model.unwrap_or(VirtioModel::Virtio);
        one(&mut vsock.info, Some(needs.virtio(model, "the vsock device")))?;
    }
    Ok(())
}

/// Whether a device is on PCI, or may go there.
fn on_pci(info: &DeviceInfo) -> bool {
    matches!(info.address, None | Some(Address::Pci(_)))
}

/// The function of a part of a USB 2 controller.
fn companion_function(kind: &ControllerKind) -> Option<u8> {
    let ControllerKind::Usb { model: Some(model), .. } = kind else {
        return None;
    };
    match model {
        UsbModel::Ich9Ehci1 => Some(7),
        UsbModel::Ich9Uhci1 => Some(0),
        UsbModel::Ich9Uhci2 => Some(1),
        UsbModel::Ich9Uhci3 => Some(2),
        _ => None,
    }
}

/// What devices need on this machine.
#[derive(Clone, Copy)]
struct Needs {
    is_express: bool,
}

impl Needs {
    /// A device that is at home on PCI Express, where there is such.
    fn express(self, what: &'static str) -> Need {
        Need::new(if self.is_express { Connection::Pcie } else { Connection::Pci }, what)
    }

    /// Transitional virtio devices have ports for I/O, and so need conventional PCI.
    fn virtio(self, model: VirtioModel, what: &'static str) -> Need {
        match model {
            VirtioModel::Transitional => Need::new(Connection::Pci, what),
            VirtioModel::Virtio | VirtioModel::NonTransitional => self.express(what),
        }
    }

    fn interface(self, model: &str) -> Option<Need> {
        const WHAT: &str = "a network interface";
        match model {
            "usb-net" => None,
            "e1000e" | "igb" | "vmxnet3" => Some(self.express(WHAT)),
            _ => Some(Need::new(Connection::Pci, WHAT)),
        }
    }

    fn video(self, model: VideoModel) -> Option<Need> {
        const WHAT: &str = "a video device";
        match model {
            VideoModel::None | VideoModel::Ramfb => None,
            VideoModel::Virtio => Some(self.virtio(VirtioModel::Virtio, WHAT)),
            VideoModel::Bochs => Some(self.express(WHAT)),
            VideoModel::Vga | VideoModel::Cirrus | VideoModel::Vmvga | VideoModel::Qxl => {
                Some(Need::new(Connection::Pci, WHAT))
            }
        }
    }

    fn controller(self, kind: &ControllerKind) -> Option<Need> {
        const WHAT: &str = "a controller";
        let conventional = Need::new(Connection::Pci, WHAT);
        match kind {
            ControllerKind::Ide { .. } | ControllerKind::Sata { .. } => Some(conventional),
            ControllerKind::VirtioSerial { model, .. } => {
                Some(self.virtio(model.unwrap_or(VirtioModel::Virtio), WHAT))
            }
            ControllerKind::Scsi { model: Some(model) } => Some(match model.virtio() {
                Some(model) => self.virtio(model, WHAT),
                None if matches!(
                    model,
                    ScsiModel::Lsisas1068 | ScsiModel::Lsisas1078 | ScsiModel::Vmpvscsi
                ) =>
                {
                    self.express(WHAT)
                }
                None => conventional,
            }),
            ControllerKind::Usb { model, .. } => match model {
                Some(UsbModel::None) => None,
                Some(UsbModel::NecXhci | UsbModel::QemuXhci) => Some(self.express(WHAT)),
                _ => Some(conventional),
            },
            ControllerKind::Scsi { model: None }
            | ControllerKind::Fdc
            | ControllerKind::Pci(_)
            | ControllerKind::Ccid
            | ControllerKind::Isa => None,
        }
    }
}
