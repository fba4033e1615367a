//! Where a device sits: addresses on the guest's buses, and what else every device can carry.

use std::fmt;

use super::{Switch, kept::Kept};

/// What any device may have beside its own settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceInfo {
    /// `<alias name=…>`: the user's (`ua-…`) or, in a live domain, the one given at start.
    pub alias: Option<String>,
    pub address: Option<Address>,
    /// `<boot order=…>`, from 1.
    pub boot_order: Option<u32>,
    pub rom: Option<Rom>,
    /// `<acpi index=…>`.
    pub acpi_index: Option<u32>,
    /// What the device has beyond the model.
    pub kept: Kept,
}

impl DeviceInfo {
    /// The PCI address, where the device has one.
    pub fn pci(&self) -> Option<PciAddress> {
        match self.address {
            Some(Address::Pci(address)) => Some(address),
            _ => None,
        }
    }
}

/// `<rom>`: the option ROM of a PCI device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rom {
    pub enabled: Option<Switch>,
    pub bar: Option<Switch>,
    pub file: Option<String>,
}

/// `<address type=…>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Pci(PciAddress),
    Drive(DriveAddress),
    VirtioSerial(VirtioSerialAddress),
    Usb(UsbAddress),
    Isa {
        iobase: Option<u32>,
        irq: Option<u32>,
    },
    /// `type='virtio-mmio'`.
    VirtioMmio,
    /// `type='unassigned'`: described but not given to the guest.
    Unassigned,
}

/// A PCI function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PciAddress {
    pub domain: u32,
    pub bus: u8,
    pub slot: u8,
    pub function: u8,
    pub multifunction: Option<Switch>,
}

impl PciAddress {
    pub const fn new(bus: u8, slot: u8, function: u8) -> Self {
        Self { domain: 0, bus, slot, function, multifunction: None }
    }

    /// The address without `multifunction`, for comparing places.
    pub const fn place(self) -> (u32, u8, u8, u8) {
        (self.domain, self.bus, self.slot, self.function)
    }
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{:x}", self.domain, self.bus, self.slot, self.function)
    }
}

/// A place on an IDE, SATA, SCSI or floppy controller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DriveAddress {
    pub controller: u32,
    pub bus: u32,
    pub target: u32,
    pub unit: u32,
}

/// A port of a virtio-serial controller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VirtioSerialAddress {
    pub controller: u32,
    pub bus: u32,
    /// `None` until it is assigned.
    pub port: Option<u32>,
}

/// A port of a USB controller, through hubs where the path has more than one number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsbAddress {
    pub bus: u32,
    /// Port numbers from the root hub on; empty until it is assigned. At most four.
    pub port: Vec<u32>,
}

impl UsbAddress {
    /// `1.2` for port 2 of the hub at port 1.
    pub fn port_path(&self) -> String {
        let mut path = String::new();
        for number in &self.port {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&number.to_string());
        }
        path
    }
}
