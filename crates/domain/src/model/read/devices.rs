//! Reads `<devices>`.

use super::{
    chardev, controller, disk, graphics, interface, reader::Reader, small_devices, values::parse_number,
};
use crate::{
    Element,
    model::{address::PciAddress, devices::Devices},
};

/// Reads `<devices>`.
pub(super) fn read_devices(reader: &Reader<'_, '_>) -> Devices {
    fn all<'d, 'p, T>(
        reader: &Reader<'d, 'p>,
        name: &'static str,
        read: impl Fn(&Reader<'d, 'p>) -> Option<T>,
    ) -> Vec<T> {
        reader.children(name).filter_map(|child| read(&child)).collect()
    }
    let devices = Devices {
        emulator: reader.child("emulator").and_then(|path| path.trimmed_text()),
        disks: all(reader, "disk", disk::read_disk),
        controllers: all(reader, "controller", controller::read_controller),
        interfaces: all(reader, "interface", |child| Some(interface::read_interface(child))),
        serials: all(reader, "serial", chardev::read_serial),
        consoles: all(reader, "console", chardev::read_console),
        channels: all(reader, "channel", chardev::read_channel),
        inputs: all(reader, "input", small_devices::read_input),
        tpms: all(reader, "tpm", small_devices::read_tpm),
        graphics: all(reader, "graphics", graphics::read_graphics),
        audios: all(reader, "audio", small_devices::read_audio),
        videos: all(reader, "video", graphics::read_video),
        hubs: all(reader, "hub", small_devices::read_hub),
        watchdogs: all(reader, "watchdog", small_devices::read_watchdog),
        memballoon: reader.child("memballoon").and_then(|child| small_devices::read_memballoon(&child)),
        rngs: all(reader, "rng", small_devices::read_rng),
        panics: all(reader, "panic", small_devices::read_panic),
        iommu: reader.child("iommu").and_then(|child| small_devices::read_iommu(&child)),
        vsock: reader.child("vsock").map(|child| small_devices::read_vsock(&child)),
        occupied: Vec::new(),
    };
    Devices { occupied: reader.unread_children().filter_map(read_place).collect(), ..devices }
}

/// The PCI address of a device of which nothing else is read.
fn read_place(device: Element<'_>) -> Option<PciAddress> {
    let place = device.child("address")?;
    let number =
        |name| place.attribute(name).map_or(Some(0), |value| parse_number::<u32>(&value.value(), 10));
    if place.attribute("type")?.value() != "pci" {
        return None;
    }
    Some(PciAddress {
        domain: number("domain")?,
        bus: number("bus")?.try_into().ok()?,
        slot: number("slot")?.try_into().ok().filter(|slot| *slot < 32)?,
        function: number("function")?.try_into().ok().filter(|function| *function < 8)?,
        multifunction: None,
    })
}
