//! What is built into the chipsets at fixed addresses, or has its usual place there.
//!
//! i440fx: slot 1 is the PIIX3 (ISA bridge, IDE at function 1, USB at function 2), the first video device is in
//! slot 2. q35: slot 0x1f is the ICH9 (LPC at function 0, SATA at 2, SMBus at 3), USB 2 controllers are in 0x1d and
//! 0x1a, the DMI bridge is in 0x1e, the first video device is in slot 1.

use super::{
    bus::Buses,
    connect::{Connection, Need},
};
use crate::model::{
    Switch,
    address::{Address, DeviceInfo, PciAddress},
    assign::AddressError,
    controller::{Controller, ControllerKind, PciModel, UsbModel},
    devices::Devices,
    graphics::VideoModel,
};

/// What sits in the chipset's slots beside devices that the domain names.
const BUILT_IN: Need = Need { is_hotplugged: false, ..Need::new(Connection::Pci, "a part of the chipset") };

/// Gives the devices that are built in the addresses that they have.
pub(super) fn fix_built_in(devices: &mut Devices, root: PciModel) -> Result<(), AddressError> {
    for controller in devices.controllers.iter_mut().filter(|controller| controller.index == Some(0)) {
        let built_in = match (&controller.kind, root) {
            (ControllerKind::Ide { .. }, PciModel::PciRoot) => {
                ("the IDE controller", PciAddress::new(0, 1, 1))
            }
            (ControllerKind::Sata { .. }, PciModel::PcieRoot) => {
                ("the SATA controller", PciAddress::new(0, 0x1f, 2))
            }
            _ => continue,
        };
        let (what, wanted) = built_in;
        match controller.info.pci() {
            Some(found) if found.place() != wanted.place() => {
                return Err(AddressError::BuiltIn { what, found, wanted });
            }
            Some(_) => {}
            None => controller.info.address = Some(Address::Pci(wanted)),
        }
    }
    Ok(())
}

/// Reserves the chipset's slots, and gives the devices that have a usual place that place if it is free.
pub(super) fn assign_usual(
    devices: &mut Devices,
    buses: &mut Buses,
    root: PciModel,
) -> Result<(), AddressError> {
    let video_slot = match root {
        PciModel::PcieRoot => {
            for function in [0, 3] {
                buses.reserve(PciAddress::new(0, 0x1f, function), BUILT_IN)?;
            }
            assign_q35(&mut devices.controllers, buses)?;
            1
        }
        _ => {
            buses.reserve(PciAddress::new(0, 1, 0), BUILT_IN)?;
            assign_piix3_usb(&mut devices.controllers, buses)?;
            2
        }
    };
    let Some(video) = devices.videos.first_mut() else {
        return Ok(());
    };
    if matches!(video.model, None | Some(VideoModel::None | VideoModel::Ramfb))
        || video.info.address.is_some()
    {
        return Ok(());
    }
    give(&mut video.info, PciAddress::new(0, video_slot, 0), buses).map(|_| ())
}

/// Takes a place if its slot is free.
fn give(info: &mut DeviceInfo, place: PciAddress, buses: &mut Buses) -> Result<bool, AddressError> {
    if !buses.is_slot_free(place.bus, place.slot) {
        return Ok(false);
    }
    buses.reserve(place, BUILT_IN)?;
    info.address = Some(Address::Pci(place));
    Ok(true)
}

/// The first USB controller of i440fx is the one in its chipset, if it is of that kind.
fn assign_piix3_usb(controllers: &mut [Controller], buses: &mut Buses) -> Result<(), AddressError> {
    let is_piix3 = |controller: &&mut Controller| {
        controller.index == Some(0)
            && matches!(controller.kind, ControllerKind::Usb { model: Some(UsbModel::Piix3Uhci), .. })
    };
    if let Some(usb) = controllers.iter_mut().find(is_piix3)
        && usb.info.address.is_none()
    {
        let place = PciAddress::new(0, 1, 2);
        buses.reserve(place, BUILT_IN)?;
        usb.info.address = Some(Address::Pci(place));
    }
    Ok(())
}

fn assign_q35(controllers: &mut [Controller], buses: &mut Buses) -> Result<(), AddressError> {
    for controller in controllers {
        if controller.info.address.is_some() {
            continue;
        }
        match &controller.kind {
            ControllerKind::Usb { model: Some(UsbModel::Ich9Uhci1), .. } => {
                for slot in [0x1d, 0x1a] {
                    let place = PciAddress { multifunction: Some(Switch::On), ..PciAddress::new(0, slot, 0) };
                    if give(&mut controller.info, place, buses)? {
                        break;
                    }
                }
            }
            ControllerKind::Pci(pci) if pci.model == Some(PciModel::DmiToPciBridge) => {
                give(&mut controller.info, PciAddress::new(0, 0x1e, 0), buses)?;
            }
            _ => {}
        }
    }
    Ok(())
}
