//! Prints what every device can carry.

use super::{PrintForm, node::Node};
use crate::model::{
    address::{Address, DeviceInfo},
    devices::VirtioOptions,
};

/// Aliases that the user chose start with this; only they outlive a run.
const USER_ALIAS: &str = "ua-";

impl Node {
    /// The common parts of a device, which stand at the end of it.
    pub(super) fn info(self, info: &DeviceInfo, form: PrintForm) -> Self {
        let alias = info.alias.as_ref().filter(|alias| form.is_live() || alias.starts_with(USER_ALIAS));
        let rom = info.rom.as_ref().and_then(|rom| {
            Self::new("rom")
                .yes_no("enabled", rom.enabled)
                .on_off("bar", rom.bar)
                .opt("file", rom.file.as_ref())
                .unless_empty()
        });
        self.maybe(info.boot_order.map(|order| Self::new("boot").attr("order", order)))
            .maybe(alias.map(|alias| Self::new("alias").attr("name", alias)))
            .maybe(rom)
            .maybe(info.acpi_index.map(|index| Self::new("acpi").attr("index", index)))
            .maybe(info.address.as_ref().map(print_address))
    }

    /// The virtio attributes of a `<driver>`.
    pub(super) fn virtio(self, options: VirtioOptions) -> Self {
        self.on_off("iommu", options.iommu)
            .on_off("ats", options.ats)
            .on_off("packed", options.packed)
            .on_off("page_per_vq", options.page_per_vq)
    }
}

/// The `<driver>` of a device that has nothing but virtio options.
pub(super) fn print_virtio_driver(options: VirtioOptions) -> Option<Node> {
    Node::new("driver").virtio(options).unless_empty()
}

fn print_address(address: &Address) -> Node {
    let node = Node::new("address");
    match address {
        Address::Pci(pci) => node
            .attr("type", "pci")
            .attr("domain", format!("{:#06x}", pci.domain))
            .attr("bus", format!("{:#04x}", pci.bus))
            .attr("slot", format!("{:#04x}", pci.slot))
            .attr("function", format!("{:#x}", pci.function))
            .on_off("multifunction", pci.multifunction),
        Address::Drive(drive) => node
            .attr("type", "drive")
            .attr("controller", drive.controller)
            .attr("bus", drive.bus)
            .attr("target", drive.target)
            .attr("unit", drive.unit),
        Address::VirtioSerial(serial) => node
            .attr("type", "virtio-serial")
            .attr("controller", serial.controller)
            .attr("bus", serial.bus)
            .opt("port", serial.port),
        Address::Usb(usb) => {
            let port = usb.port_path();
            node.attr("type", "usb")
                .attr("bus", usb.bus)
                .opt("port", Some(port).filter(|port| !port.is_empty()))
        }
        Address::Isa { iobase, irq } => node
            .attr("type", "isa")
            .opt("iobase", iobase.map(|base| format!("{base:#x}")))
            .opt("irq", irq.map(|irq| format!("{irq:#x}"))),
        Address::VirtioMmio => node.attr("type", "virtio-mmio"),
        Address::Unassigned => node.attr("type", "unassigned"),
    }
}
