//! Reads what every device can carry: address, alias, boot order, option ROM, ACPI index.

use super::{reader::Reader, values::parse_number};
use crate::model::{
    address::{Address, DeviceInfo, DriveAddress, PciAddress, Rom, UsbAddress, VirtioSerialAddress},
    devices::VirtioOptions,
    kept::Kept,
};

/// The parts of a device that its kind has in common with all others.
pub(super) fn read_info(device: &Reader<'_, '_>) -> DeviceInfo {
    DeviceInfo {
        alias: device.child("alias").and_then(|alias| alias.string("name")),
        address: device.child("address").and_then(|address| read_address(&address)),
        boot_order: device.child("boot").and_then(|boot| {
            boot.parsed("order", "a number from 1", |text| parse_number(text, 10).filter(|order| *order > 0))
        }),
        rom: device.child("rom").map(|rom| Rom {
            enabled: rom.yes_no("enabled"),
            bar: rom.on_off("bar"),
            file: rom.string("file"),
        }),
        acpi_index: device.child("acpi").and_then(|acpi| acpi.number("index")),
        kept: Kept::default(),
    }
}

/// The virtio attributes of a `<driver>`.
pub(super) fn read_virtio(driver: &Reader<'_, '_>) -> VirtioOptions {
    VirtioOptions {
        iommu: driver.on_off("iommu"),
        ats: driver.on_off("ats"),
        packed: driver.on_off("packed"),
        page_per_vq: driver.on_off("page_per_vq"),
    }
}

/// The virtio options of a device whose `<driver>` has nothing else.
pub(super) fn read_virtio_driver(device: &Reader<'_, '_>) -> VirtioOptions {
    device.child("driver").map(|driver| read_virtio(&driver)).unwrap_or_default()
}

fn read_address(reader: &Reader<'_, '_>) -> Option<Address> {
    match reader.string("type").as_deref() {
        // An address without places asks for one of this kind, which is the usual one.
        Some("pci") if reader.element().attribute("slot").is_none() && is_bare(reader) => None,
        Some("pci") => read_pci(reader).map(Address::Pci),
        Some("drive") => Some(Address::Drive(DriveAddress {
            controller: reader.number("controller").unwrap_or(0),
            bus: reader.number("bus").unwrap_or(0),
            target: reader.number("target").unwrap_or(0),
            unit: reader.number("unit").unwrap_or(0),
        })),
        Some("virtio-serial") => Some(Address::VirtioSerial(VirtioSerialAddress {
            controller: reader.number("controller").unwrap_or(0),
            bus: reader.number("bus").unwrap_or(0),
            port: reader.number("port"),
        })),
        Some("usb") => Some(Address::Usb(UsbAddress {
            bus: reader.number("bus").unwrap_or(0),
            port: reader
                .parsed("port", "up to four port numbers with dots between", read_port)
                .unwrap_or_default(),
        })),
        Some("isa") => {
            Some(Address::Isa { iobase: reader.number_in("iobase", 16), irq: reader.number_in("irq", 16) })
        }
        Some("virtio-mmio") => Some(Address::VirtioMmio),
        Some("unassigned") => Some(Address::Unassigned),
        Some(kind) => {
            reader.not_modelled(&format!("addresses of the kind `{kind}` are not supported"));
            None
        }
        None => {
            reader.settle();
            reader.missing("attribute `type`");
            None
        }
    }
}

/// Whether an address has a type and nothing else.
fn is_bare(reader: &Reader<'_, '_>) -> bool {
    reader.element().attributes().count() == 1
}

fn read_pci(reader: &Reader<'_, '_>) -> Option<PciAddress> {
    let domain = reader.number("domain");
    let bus = reader.number("bus");
    let slot = reader.parsed("slot", "a slot from 0 to 0x1f", |text| below(text, 32));
    let function = reader.parsed("function", "a function from 0 to 7", |text| below(text, 8));
    let multifunction = reader.on_off("multifunction");
    let has = |name| reader.element().attribute(name).is_some();
    // A place that could not be read is not a place.
    if (has("slot") && slot.is_none())
        || (has("function") && function.is_none())
        || (has("bus") && bus.is_none())
    {
        return None;
    }
    Some(PciAddress {
        domain: domain.unwrap_or(0),
        bus: bus.unwrap_or(0),
        slot: slot.unwrap_or(0),
        function: function.unwrap_or(0),
        multifunction,
    })
}

fn below(text: &str, end: u8) -> Option<u8> {
    parse_number(text, 10).filter(|number| *number < end)
}

fn read_port(text: &str) -> Option<Vec<u32>> {
    let numbers: Option<Vec<u32>> = text.split('.').map(|number| parse_number(number, 10)).collect();
    numbers.filter(|numbers| numbers.len() <= 4)
}
