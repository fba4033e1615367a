//! Keyboards, mice, tablets and USB hubs.

use domain::{
    Domain,
    model::devices::{Input, InputBus, InputKind},
};

use super::{
    Properties,
    address::{Buses, virtio_pci},
};
use crate::plan::{Device, DeviceKind, PlanError, ids};

/// USB hubs.
pub(crate) fn hubs(domain: &Domain) -> Result<Vec<Device>, PlanError> {
    let mut devices = Vec::new();
    for (index, hub) in domain.devices.hubs.iter().enumerate() {
        let id = ids::numbered("hub", index, &hub.info);
        let frontend = Properties::device("usb-hub").with("id", id.as_str());
        let frontend = frontend.and(Buses::new(domain).usb(&hub.info, &id)?);
        devices.push(Device::plain(DeviceKind::Hub, id, frontend));
    }
    Ok(devices)
}

/// Input devices. Those at the PS/2 ports come with the machine.
pub(crate) fn inputs(domain: &Domain) -> Result<Vec<Device>, PlanError> {
    let mut devices = Vec::new();
    for (index, input) in domain.devices.inputs.iter().enumerate() {
        let id = ids::numbered("input", index, &input.info);
        if let Some(frontend) = frontend(domain, input, &id)? {
            devices.push(Device::plain(DeviceKind::Input, id, frontend));
        }
    }
    Ok(devices)
}

fn frontend(domain: &Domain, input: &Input, id: &str) -> Result<Option<Properties>, PlanError> {
    let buses = Buses::new(domain);
    let bus = input.bus.ok_or_else(|| PlanError::Incomplete { device: id.to_owned() })?;
    let unsupported = || PlanError::Unsupported {
        device: id.to_owned(),
        what: format!("an input of type {} on the {bus} bus", input.kind),
    };
    match bus {
        InputBus::Ps2 => Ok(None),
        InputBus::Usb => {
            let driver = match input.kind {
                InputKind::Mouse => "usb-mouse",
                InputKind::Tablet => "usb-tablet",
                InputKind::Keyboard => "usb-kbd",
                InputKind::Passthrough => return Err(unsupported()),
            };
            let device = Properties::device(driver).with("id", id);
            Ok(Some(device.and(buses.usb(&input.info, id)?)))
        }
        InputBus::Virtio => {
            let name = match input.kind {
                InputKind::Mouse => "virtio-mouse",
                InputKind::Tablet => "virtio-tablet",
                InputKind::Keyboard => "virtio-keyboard",
                InputKind::Passthrough => "virtio-input-host",
            };
            let device = virtio_pci(name, input.model, input.virtio)
                .with("id", id)
                .with_some("evdev", input.source.as_deref());
            Ok(Some(device.and(buses.pci(&input.info, id)?)))
        }
    }
}
