//! Ports of USB controllers and hubs.

use super::AddressError;
use crate::model::{
    address::{Address, DeviceInfo, UsbAddress},
    chardev::SerialTarget,
    controller::{ControllerKind, UsbModel},
    devices::{Devices, Hub, InputBus},
    disk::DiskBus,
};

/// Ports of a hub.
const HUB_PORTS: usize = 8;

/// How deep hubs may hang below each other.
const MOST_LEVELS: usize = 4;

/// Gives USB devices their ports, and adds hubs where ports run out.
pub(in crate::model) fn assign_usb(devices: &mut Devices) -> Result<(), AddressError> {
    let mut buses = Buses::new(devices);
    if buses.0.is_empty() {
        return Ok(());
    }
    let mut hubs: Vec<&UsbAddress> = devices.hubs.iter().filter_map(|hub| port(&hub.info)).collect();
    // A hub that hangs below another needs that one first.
    hubs.sort_by_key(|address| address.port.len());
    for address in hubs {
        buses.add_hub(address)?;
    }
    for info in usb_infos(devices) {
        if let Some(address) = port(info) {
            buses.reserve(address)?;
        }
    }
    // New hubs come first, so that what follows can sit on them.
    let wanted = usb_infos(devices).filter(|info| port(info).is_none()).count();
    for hub in devices.hubs.iter_mut().filter(|hub| port(&hub.info).is_none()) {
        let address = buses.next(wanted_bus(&hub.info)).ok_or(AddressError::NoUsbPort)?;
        buses.add_hub_below(&address)?;
        hub.info.address = Some(Address::Usb(address));
    }
    while buses.free() < wanted {
        let address = buses.next(None).ok_or(AddressError::NoUsbPort)?;
        buses.add_hub_below(&address)?;
        let info = DeviceInfo { address: Some(Address::Usb(address)), ..DeviceInfo::default() };
        devices.hubs.push(Hub { info });
    }
    for info in usb_infos(devices) {
        if port(info).is_none() {
            let address = buses.next(wanted_bus(info)).ok_or(AddressError::NoUsbPort)?;
            info.address = Some(Address::Usb(address));
        }
    }
    Ok(())
}

/// The address of a device that has its port.
fn port(info: &DeviceInfo) -> Option<&UsbAddress> {
    match &info.address {
        Some(Address::Usb(address)) if !address.port.is_empty() => Some(address),
        _ => None,
    }
}

/// The bus that a device without a port asks for.
fn wanted_bus(info: &DeviceInfo) -> Option<u32> {
    match &info.address {
        Some(Address::Usb(address)) => Some(address.bus),
        _ => None,
    }
}

/// The USB devices but hubs, in the order in which they get their ports.
fn usb_infos(devices: &mut Devices) -> impl Iterator<Item = &mut DeviceInfo> {
    let disks = devices
        .disks
        .iter_mut()
        .filter(|disk| disk.target.bus == Some(DiskBus::Usb))
        .map(|disk| &mut disk.info);
    let serials = devices
        .serials
        .iter_mut()
        .filter(|serial| serial.target == Some(SerialTarget::UsbSerial))
        .map(|serial| &mut serial.info);
    let inputs = devices
        .inputs
        .iter_mut()
        .filter(|input| input.bus == Some(InputBus::Usb))
        .map(|input| &mut input.info);
    disks.chain(serials).chain(inputs)
}

/// The buses by their numbers, each with its root hub.
struct Buses(Vec<(u32, Ports)>);

/// The ports of a hub; ports count from 1.
struct Ports(Vec<Port>);

enum Port {
    Free,
    Taken,
    Hub(Ports),
}

impl Buses {
    fn new(devices: &Devices) -> Self {
        let mut buses: Vec<(u32, usize)> = Vec::new();
        for controller in &devices.controllers {
            let (ControllerKind::Usb { model, ports, .. }, Some(index)) =
                (&controller.kind, controller.index)
            else {
                continue;
            };
            let count = ports_of(*model, *ports);
            if *model == Some(UsbModel::None) || buses.iter().any(|(bus, _)| *bus == index) && count == 0 {
                continue;
            }
            match buses.iter_mut().find(|(bus, _)| *bus == index) {
                Some((_, known)) => *known = (*known).max(count),
                None => buses.push((index, count)),
            }
        }
        buses.sort_unstable();
        Self(buses.into_iter().map(|(bus, count)| (bus, Ports::new(count))).collect())
    }

    fn bus(&mut self, bus: u32) -> Option<&mut Ports> {
        self.0.iter_mut().find(|(number, _)| *number == bus).map(|(_, ports)| ports)
    }

    fn reserve(&mut self, address: &UsbAddress) -> Result<(), AddressError> {
        self.set(address, Port::Taken)
    }

    fn add_hub(&mut self, address: &UsbAddress) -> Result<(), AddressError> {
        self.set(address, Port::Hub(Ports::new(HUB_PORTS)))
    }

    /// Puts a hub where a port was taken for it.
    fn add_hub_below(&mut self, address: &UsbAddress) -> Result<(), AddressError> {
        let port = self.bus(address.bus).and_then(|ports| ports.at(&address.port));
        *port.ok_or_else(|| AddressError::Usb(address.clone()))? = Port::Hub(Ports::new(HUB_PORTS));
        Ok(())
    }

    fn set(&mut self, address: &UsbAddress, to: Port) -> Result<(), AddressError> {
        let error = || AddressError::Usb(address.clone());
        let port = self.bus(address.bus).and_then(|ports| ports.at(&address.port)).ok_or_else(error)?;
        if !matches!(port, Port::Free) {
            return Err(error());
        }
        *port = to;
        Ok(())
    }

    /// Takes the first free port, of one bus or of all.
    fn next(&mut self, bus: Option<u32>) -> Option<UsbAddress> {
        let buses = self.0.iter_mut().filter(|(number, _)| bus.is_none_or(|bus| bus == *number));
        for (number, ports) in buses {
            let mut path = Vec::new();
            if ports.take_first(&mut path) {
                return Some(UsbAddress { bus: *number, port: path });
            }
        }
        None
    }

    fn free(&self) -> usize {
        self.0.iter().map(|(_, ports)| ports.free()).sum()
    }
}

impl Ports {
    fn new(count: usize) -> Self {
        Self((0..count).map(|_| Port::Free).collect())
    }

    fn at(&mut self, path: &[u32]) -> Option<&mut Port> {
        let (first, rest) = path.split_first()?;
        let port = self.0.get_mut(usize::try_from(first.checked_sub(1)?).ok()?)?;
        match (rest.is_empty(), port) {
            (true, port) => Some(port),
            (false, Port::Hub(ports)) => ports.at(rest),
            (false, _) => None,
        }
    }

    /// Takes the first free port of this hub, else of the hubs below it.
    fn take_first(&mut self, path: &mut Vec<u32>) -> bool {
        for (number, port) in (1..).zip(&mut self.0) {
            if matches!(port, Port::Free) {
                *port = Port::Taken;
                path.push(number);
                return true;
            }
        }
        if path.len() + 1 >= MOST_LEVELS {
            return false;
        }
        for (number, port) in (1..).zip(&mut self.0) {
            if let Port::Hub(ports) = port {
                path.push(number);
                if ports.take_first(path) {
                    return true;
                }
                path.pop();
            }
        }
        false
    }

    fn free(&self) -> usize {
        self.0
            .iter()
            .map(|port| match port {
                Port::Free => 1,
                Port::Taken => 0,
                Port::Hub(ports) => ports.free(),
            })
            .sum()
    }
}

/// How many ports a controller has; companions have none of their own.
fn ports_of(model: Option<UsbModel>, ports: Option<u32>) -> usize {
    match model {
        None | Some(UsbModel::Piix3Uhci | UsbModel::Piix4Uhci | UsbModel::Vt82c686bUhci) => 2,
        Some(UsbModel::Ehci | UsbModel::Ich9Ehci1) => 6,
        Some(UsbModel::PciOhci) => 3,
        // QEMU takes up to 15.
        Some(UsbModel::NecXhci | UsbModel::QemuXhci) => {
            usize::try_from(ports.unwrap_or(4).min(15)).unwrap_or(4)
        }
        Some(UsbModel::Ich9Uhci1 | UsbModel::Ich9Uhci2 | UsbModel::Ich9Uhci3 | UsbModel::None) => 0,
    }
}
