//! Gives every device its place, as libvirt does: what has an address keeps it, the rest get the first that fits.

mod alias;
mod drive;
mod pci;
mod usb;
mod virtio_serial;

use super::address::{PciAddress, UsbAddress};

pub(super) use drive::{assign_drives, disk_number};
pub(super) use pci::assign_pci;
pub(super) use usb::assign_usb;
pub(super) use virtio_serial::assign_virtio_serial;

/// Why an address cannot be kept or found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("the PCI address {0} is given to two devices")]
    PciTaken(PciAddress),
    #[error("the PCI address {address} does not exist: bus {bus} is a {model} with slots {first:#x} to {last:#x}", bus = address.bus)]
    NoSuchSlot { address: PciAddress, model: &'static str, first: u8, last: u8 },
    #[error("the PCI address {0} is in a domain that this machine does not have")]
    PciDomain(PciAddress),
    #[error("the PCI address {found} of {what} is not the one it is built in at, {wanted}")]
    BuiltIn { what: &'static str, found: PciAddress, wanted: PciAddress },
    #[error("no PCI slot is free for {0}")]
    NoPciSlot(&'static str),
    #[error("the name of the disk `{0}` does not say where it goes")]
    DiskName(String),
    #[error("no place is free for the disk `{0}`")]
    NoDrive(String),
    #[error("the virtio-serial port {port} of controller {controller} is given twice, or is not there")]
    VirtioSerial { controller: u32, port: u32 },
    #[error("no virtio-serial port is free")]
    NoVirtioSerialPort,
    #[error("the USB port {} of bus {} is given to two devices, or is not there", .0.port_path(), .0.bus)]
    Usb(UsbAddress),
    #[error("no USB port is free")]
    NoUsbPort,
}
