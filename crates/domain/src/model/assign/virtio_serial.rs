//! Ports of virtio-serial controllers.

use std::collections::BTreeMap;

use super::AddressError;
use crate::model::{
    address::{Address, VirtioSerialAddress},
    chardev::{Channel, ChannelTarget},
    controller::ControllerKind,
    devices::Devices,
};

/// Ports of a controller that does not say how many it has.
const USUAL_PORTS: u32 = 31;

/// A port number beyond this does not fit the virtio device.
const MOST_PORTS: u32 = 512;

/// Gives channels their ports. Port 0 is for consoles of old guests and is never given.
pub(in crate::model) fn assign_virtio_serial(devices: &mut Devices) -> Result<(), AddressError> {
    let mut ports = Ports::default();
    for controller in &devices.controllers {
        if let ControllerKind::VirtioSerial { ports: count, .. } = controller.kind {
            ports.add(controller.index.unwrap_or(0), count.unwrap_or(USUAL_PORTS));
        }
    }
    let fixed =
        devices.channels.iter().filter_map(port).chain(devices.consoles.iter().filter_map(|console| {
            match console.info.address {
                Some(Address::VirtioSerial(place)) => Some(place),
                _ => None,
            }
        }));
    for place in fixed {
        if let Some(number) = place.port {
            ports.reserve(place.controller, number)?;
        }
    }
    for channel in &mut devices.channels {
        if !matches!(channel.target, ChannelTarget::Virtio { .. }) {
            continue;
        }
        let place = match &channel.info.address {
            None => ports.next()?,
            Some(Address::VirtioSerial(place)) if place.port.is_none() => ports.next_of(place.controller)?,
            Some(_) => continue,
        };
        channel.info.address = Some(Address::VirtioSerial(place));
    }
    for index in ports.added {
        let kind = ControllerKind::VirtioSerial { model: None, ports: None, vectors: None };
        devices.add_controller(kind, index);
    }
    Ok(())
}

fn port(channel: &Channel) -> Option<VirtioSerialAddress> {
    match channel.info.address {
        Some(Address::VirtioSerial(place)) => Some(place),
        _ => None,
    }
}

#[derive(Default)]
struct Ports {
    /// Which ports of a controller are taken.
    controllers: BTreeMap<u32, Vec<bool>>,
    /// Controllers that had to be added.
    added: Vec<u32>,
}

impl Ports {
    fn add(&mut self, index: u32, count: u32) {
        let count = usize::try_from(count.min(MOST_PORTS)).unwrap_or(0);
        self.controllers.insert(index, vec![false; count]);
    }

    fn reserve(&mut self, controller: u32, port: u32) -> Result<(), AddressError> {
        let taken = self
            .controllers
            .get_mut(&controller)
            .and_then(|ports| ports.get_mut(usize::try_from(port).ok()?))
            .filter(|taken| !**taken)
            .ok_or(AddressError::VirtioSerial { controller, port })?;
        *taken = true;
        Ok(())
    }

    /// The first free port of one controller.
    fn next_of(&mut self, controller: u32) -> Result<VirtioSerialAddress, AddressError> {
        let place = self.free_port(controller).ok_or(AddressError::NoVirtioSerialPort)?;
        self.reserve(controller, place)?;
        Ok(VirtioSerialAddress { controller, bus: 0, port: Some(place) })
    }

    /// The first free port of all, on a new controller where there is none.
    fn next(&mut self) -> Result<VirtioSerialAddress, AddressError> {
        let free = self.controllers.keys().copied().find(|controller| self.free_port(*controller).is_some());
        let controller = match free {
            Some(controller) => controller,
            None => {
                let next = self.controllers.keys().next_back().map_or(Some(0), |last| last.checked_add(1));
                let next = next.ok_or(AddressError::NoVirtioSerialPort)?;
                self.add(next, USUAL_PORTS);
                self.added.push(next);
                next
            }
        };
        self.next_of(controller)
    }

    fn free_port(&self, controller: u32) -> Option<u32> {
        let ports = self.controllers.get(&controller)?;
        let port = ports.iter().skip(1).position(|taken| !taken)? + 1;
        u32::try_from(port).ok()
    }
}
