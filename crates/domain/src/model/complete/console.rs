//! Serial ports and consoles: the first console is the first serial port under another name.

use crate::model::{
    address::Address,
    chardev::{
        Channel, ChannelTarget, CharKind, Console, ConsoleTarget, Serial, SerialModel, SerialTarget,
        SocketMode,
    },
    devices::Devices,
};

/// Where libvirt puts the sockets of channels whose place is its own choice.
const CHOSEN_SOCKETS: &str = "/var/lib/libvirt/qemu/channel/target/";

pub(super) fn complete(devices: &mut Devices) {
    devices.channels.iter_mut().for_each(forget_chosen_socket);
    if devices.serials.is_empty()
        && let Some(console) = devices.consoles.first()
        && console.target == ConsoleTarget::Serial
    {
        devices.serials.push(Serial { source: console.source.clone(), ..Serial::default() });
    }
    complete_serials(&mut devices.serials);
    if let Some(first) = devices.serials.first() {
        let is_named =
            devices.consoles.first().is_some_and(|console| console.target == ConsoleTarget::Serial);
        if !is_named && first.target != Some(SerialTarget::IsaDebug) {
            devices.consoles.insert(0, Console::default());
        }
        if let Some(console) = devices.consoles.first_mut()
            && console.target == ConsoleTarget::Serial
        {
            console.source = first.source.clone();
            console.port = first.port;
        }
    }
    for (port, console) in (0..).zip(&mut devices.consoles) {
        console.port.get_or_insert(port);
        if console.target == ConsoleTarget::Virtio {
            console.port = Some(port);
        }
    }
}

/// A socket that was chosen at an earlier start is chosen afresh at the next.
fn forget_chosen_socket(channel: &mut Channel) {
    if let (ChannelTarget::Virtio { name: Some(name), .. }, CharKind::Unix { mode, path, reconnect }) =
        (&channel.target, &mut channel.source.kind)
        && let Some(place) = path.as_ref().and_then(|path| path.strip_prefix(CHOSEN_SOCKETS))
        && place.rsplit('/').next() == Some(name)
    {
        (*mode, *path, *reconnect) = (SocketMode::Bind, None, None);
    }
}

fn complete_serials(serials: &mut [Serial]) {
    let mut next =
        serials.iter().filter_map(|serial| serial.port).max().map_or(0, |port| port.saturating_add(1));
    for serial in serials {
        if serial.port.is_none() {
            serial.port = Some(next);
            next = next.saturating_add(1);
        }
        let target = *serial.target.get_or_insert(match serial.info.address {
            Some(Address::Pci(_)) => SerialTarget::PciSerial,
            Some(Address::Usb(_)) => SerialTarget::UsbSerial,
            _ => SerialTarget::IsaSerial,
        });
        serial.model.get_or_insert(match target {
            SerialTarget::IsaSerial => SerialModel::IsaSerial,
            SerialTarget::UsbSerial => SerialModel::UsbSerial,
            SerialTarget::PciSerial => SerialModel::PciSerial,
            SerialTarget::IsaDebug => SerialModel::IsaDebugcon,
        });
    }
}
