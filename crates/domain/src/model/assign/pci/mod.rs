//! PCI addresses as libvirt gives them.
//!
//! Two passes: the first, over a copy, finds out how many buses are needed; the controllers for those that are
//! missing are added; the second gives every device its place, when all buses are there.

mod bus;
mod chipset;
mod connect;
mod devices;

use std::collections::BTreeMap;

use super::AddressError;
use crate::model::{
    Domain, Switch,
    address::{Address, PciAddress},
    complete::MachineKind,
    controller::{Controller, ControllerKind, PciController, PciModel, PciModelName},
    devices::Devices,
};

use bus::Buses;
use connect::{Connection, Need};
use devices::{Slotted, visit};

/// A device that may be plugged in later.
const SPARE: &str = "a device plugged in later";

/// Gives every PCI device its place, and adds the buses that this takes.
pub(in crate::model) fn assign_pci(domain: &mut Domain) -> Result<(), AddressError> {
    let root = match domain.os.machine_kind() {
        MachineKind::I440fx => PciModel::PciRoot,
        MachineKind::Q35 => PciModel::PcieRoot,
        MachineKind::Other => return Ok(()),
    };
    let devices = &mut domain.devices;
    chipset::fix_built_in(devices, root)?;
    let needed = count_buses(devices.clone(), root)?;
    for (index, model) in (0..).zip(needed) {
        devices.add_controller(crate::model::complete::pci(model), index);
    }
    let mut buses = Buses::new(devices, root);
    buses.can_grow = false;
    assign_all(devices, &mut buses, root)?;
    visit(devices, root == PciModel::PcieRoot, |mut device| {
        mark_multifunction(&mut device, &buses);
        Ok(())
    })?;
    complete_controllers(&mut devices.controllers);
    Ok(())
}

/// The models of all buses that the devices need.
fn count_buses(mut devices: Devices, root: PciModel) -> Result<Vec<PciModel>, AddressError> {
    let mut buses = Buses::new(&devices, root);
    let (there, is_express) = (buses.len(), root == PciModel::PcieRoot);
    reserve_fixed(&mut devices, &mut buses, is_express)?;
    chipset::assign_usual(&mut devices, &mut buses, root)?;
    if !is_express && !buses.are_full() {
        buses.take(Need::new(Connection::Pci, SPARE), 0)?;
    }
    assign_rest(&mut devices, &mut buses, is_express)?;
    // Who left the buses to us gets one more, so that a device can be plugged in.
    if is_express && there <= 1 && buses.len() > there {
        buses.take(Need::new(Connection::Pcie, SPARE), 0)?;
    }
    Ok((0..buses.len()).filter_map(|bus| buses.model(bus)).collect())
}

fn assign_all(devices: &mut Devices, buses: &mut Buses, root: PciModel) -> Result<(), AddressError> {
    let is_express = root == PciModel::PcieRoot;
    reserve_fixed(devices, buses, is_express)?;
    chipset::assign_usual(devices, buses, root)?;
    assign_rest(devices, buses, is_express)
}

/// Takes the places that devices have.
fn reserve_fixed(devices: &mut Devices, buses: &mut Buses, is_express: bool) -> Result<(), AddressError> {
    visit(devices, is_express, |device| match device.info.pci() {
        Some(place) => buses.reserve(place, device.need),
        None => Ok(()),
    })?;
    devices.occupied.iter().for_each(|place| buses.occupy(*place));
    Ok(())
}

/// Gives places to the devices that have none.
fn assign_rest(devices: &mut Devices, buses: &mut Buses, is_express: bool) -> Result<(), AddressError> {
    let mut usb2: BTreeMap<u32, PciAddress> = BTreeMap::new();
    visit(devices, is_express, |device| {
        if let (Some((index, _)), Some(place)) = (device.companion, device.info.pci()) {
            usb2.entry(index).or_insert(place);
        }
        Ok::<(), AddressError>(())
    })?;
    visit(devices, is_express, |device| {
        if !device.lacks_place() {
            return Ok(());
        }
        let place = match device.companion {
            None => buses.take(device.need, 0)?,
            Some((index, function)) => {
                let place = match usb2.get(&index) {
                    // All parts of a USB 2 controller are in one slot.
                    Some(sibling) => {
                        let place = PciAddress { function, multifunction: None, ..*sibling };
                        buses.reserve(place, device.need)?;
                        place
                    }
                    None => buses.take(device.need, function)?,
                };
                usb2.entry(index).or_insert(place);
                let multifunction = (function == 0).then_some(Switch::On);
                PciAddress { multifunction, ..place }
            }
        };
        device.info.address = Some(Address::Pci(place));
        Ok(())
    })
}

/// The first function of a slot says whether there are others.
fn mark_multifunction(device: &mut Slotted<'_>, buses: &Buses) {
    if let Some(Address::Pci(place)) = &mut device.info.address
        && place.function == 0
        && place.multifunction.is_none()
        && buses.is_multifunction(*place)
    {
        place.multifunction = Some(Switch::On);
    }
}

/// What a PCI controller says to the guest follows from its place.
fn complete_controllers(controllers: &mut [Controller]) {
    let mut next_bus_number = 254;
    for controller in controllers {
        let (Some(index), place) = (controller.index, controller.info.pci()) else { continue };
        let ControllerKind::Pci(pci) = &mut controller.kind else { continue };
        complete_controller(pci, index, place, &mut next_bus_number);
    }
}

fn complete_controller(pci: &mut PciController, index: u32, place: Option<PciAddress>, bus_number: &mut u8) {
    let Some(model) = pci.model else { return };
    let number = u8::try_from(index).ok();
    let name = match model {
        PciModel::PciRoot | PciModel::PcieRoot => return,
        PciModel::PciBridge => {
            pci.target.chassis_nr = pci.target.chassis_nr.or(number);
            PciModelName::PciBridge
        }
        PciModel::DmiToPciBridge => PciModelName::I82801b11Bridge,
        PciModel::PcieToPciBridge => PciModelName::PciePciBridge,
        PciModel::PcieRootPort => {
            pci.target.chassis = pci.target.chassis.or(number);
            let port = place.map(|place| (place.slot << 3) | place.function);
            pci.target.port = pci.target.port.or(port);
            PciModelName::PcieRootPort
        }
        PciModel::PcieSwitchUpstreamPort => PciModelName::X3130Upstream,
        PciModel::PcieSwitchDownstreamPort => {
            pci.target.chassis = pci.target.chassis.or(number);
            pci.target.port = pci.target.port.or_else(|| place.map(|place| place.slot));
            PciModelName::Xio3130Downstream
        }
        PciModel::PciExpanderBus | PciModel::PcieExpanderBus => {
            if pci.target.bus_nr.is_none() {
                pci.target.bus_nr = Some(*bus_number);
                *bus_number = bus_number.saturating_sub(2);
            }
            if model == PciModel::PciExpanderBus { PciModelName::Pxb } else { PciModelName::PxbPcie }
        }
    };
    pci.model_name.get_or_insert(name);
}
