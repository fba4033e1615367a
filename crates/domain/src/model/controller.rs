//! `<controller>`: the buses that devices sit on.

use super::{
    Switch,
    address::DeviceInfo,
    devices::{VirtioModel, VirtioOptions},
    keyword::keywords,
    memory::Kib,
};

/// `<controller>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controller {
    pub kind: ControllerKind,
    /// `None` until the next free one of its kind is given.
    pub index: Option<u32>,
    pub driver: ControllerDriver,
    pub virtio: VirtioOptions,
    pub info: DeviceInfo,
}

impl Controller {
    pub fn new(kind: ControllerKind, index: u32) -> Self {
        Self {
            kind,
            index: Some(index),
            driver: ControllerDriver::default(),
            virtio: VirtioOptions::default(),
            info: DeviceInfo::default(),
        }
    }
}

/// `<controller type=…>` with what belongs to each. A `model` is `None` until the machine's usual one is filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControllerKind {
    Ide { model: Option<IdeModel> },
    Fdc,
    Scsi { model: Option<ScsiModel> },
    Sata { model: Option<SataModel> },
    VirtioSerial { model: Option<VirtioModel>, ports: Option<u32>, vectors: Option<u32> },
    Usb { model: Option<UsbModel>, ports: Option<u32>, master_startport: Option<u32> },
    Pci(PciController),
    Ccid,
    Isa,
}

keywords! {
    /// `<controller type=…>`, in libvirt's order.
    pub enum ControllerType {
        Ide = "ide",
        Fdc = "fdc",
        Scsi = "scsi",
        Sata = "sata",
        VirtioSerial = "virtio-serial",
        Ccid = "ccid",
        Usb = "usb",
        Pci = "pci",
        Isa = "isa",
    }
}

impl ControllerKind {
    pub fn name(&self) -> ControllerType {
        match self {
            Self::Ide { .. } => ControllerType::Ide,
            Self::Fdc => ControllerType::Fdc,
            Self::Scsi { .. } => ControllerType::Scsi,
            Self::Sata { .. } => ControllerType::Sata,
            Self::VirtioSerial { .. } => ControllerType::VirtioSerial,
            Self::Usb { .. } => ControllerType::Usb,
            Self::Pci(_) => ControllerType::Pci,
            Self::Ccid => ControllerType::Ccid,
            Self::Isa => ControllerType::Isa,
        }
    }
}

/// `<driver>` of `<controller>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControllerDriver {
    pub queues: Option<u32>,
    pub cmd_per_lun: Option<u32>,
    pub max_sectors: Option<u32>,
    pub ioeventfd: Option<Switch>,
    /// `iothread=…` of a virtio SCSI controller: the number of the I/O thread that serves its disks.
    pub iothread: Option<u32>,
}

keywords! {
    /// `model=…` of an `ide` controller.
    pub enum IdeModel {
        Piix3 = "piix3",
        Piix4 = "piix4",
        Ich6 = "ich6",
    }
}

keywords! {
    /// `model=…` of a `sata` controller.
    pub enum SataModel {
        Ich9Ahci = "ich9-ahci",
    }
}

keywords! {
    /// `model=…` of a `scsi` controller.
    pub enum ScsiModel {
        Auto = "auto",
        Buslogic = "buslogic",
        Lsilogic = "lsilogic",
        Lsisas1068 = "lsisas1068",
        Vmpvscsi = "vmpvscsi",
        VirtioScsi = "virtio-scsi",
        Lsisas1078 = "lsisas1078",
        VirtioTransitional = "virtio-transitional",
        VirtioNonTransitional = "virtio-non-transitional",
        Am53c974 = "am53c974",
        Dc390 = "dc390",
    }
}

impl ScsiModel {
    /// The virtio kind, for a virtio-scsi controller.
    pub fn virtio(self) -> Option<VirtioModel> {
        match self {
            Self::VirtioScsi => Some(VirtioModel::Virtio),
            Self::VirtioTransitional => Some(VirtioModel::Transitional),
            Self::VirtioNonTransitional => Some(VirtioModel::NonTransitional),
            _ => None,
        }
    }
}

keywords! {
    /// `model=…` of a `usb` controller.
    pub enum UsbModel {
        Piix3Uhci = "piix3-uhci",
        Piix4Uhci = "piix4-uhci",
        Ehci = "ehci",
        Ich9Ehci1 = "ich9-ehci1",
        Ich9Uhci1 = "ich9-uhci1",
        Ich9Uhci2 = "ich9-uhci2",
        Ich9Uhci3 = "ich9-uhci3",
        Vt82c686bUhci = "vt82c686b-uhci",
        PciOhci = "pci-ohci",
        NecXhci = "nec-xhci",
        QemuXhci = "qemu-xhci",
        None = "none",
    }
}

/// A `pci` controller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PciController {
    /// `None` only while a controller with nothing but an index awaits the usual model.
    pub model: Option<PciModel>,
    /// `<model name=…>`: QEMU's device.
    pub model_name: Option<PciModelName>,
    pub target: PciTarget,
    /// `<pcihole64>` of a root.
    pub pcihole64: Option<Kib>,
}

keywords! {
    /// `model=…` of a `pci` controller.
    pub enum PciModel {
        PciRoot = "pci-root",
        PcieRoot = "pcie-root",
        PciBridge = "pci-bridge",
        DmiToPciBridge = "dmi-to-pci-bridge",
        PcieToPciBridge = "pcie-to-pci-bridge",
        PcieRootPort = "pcie-root-port",
        PcieSwitchUpstreamPort = "pcie-switch-upstream-port",
        PcieSwitchDownstreamPort = "pcie-switch-downstream-port",
        PciExpanderBus = "pci-expander-bus",
        PcieExpanderBus = "pcie-expander-bus",
    }
}

keywords! {
    /// `<model name=…>` of a `pci` controller.
    pub enum PciModelName {
        PciBridge = "pci-bridge",
        I82801b11Bridge = "i82801b11-bridge",
        Ioh3420 = "ioh3420",
        X3130Upstream = "x3130-upstream",
        Xio3130Downstream = "xio3130-downstream",
        Pxb = "pxb",
        PxbPcie = "pxb-pcie",
        PcieRootPort = "pcie-root-port",
        PciePciBridge = "pcie-pci-bridge",
    }
}

/// `<target>` of a `pci` controller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PciTarget {
    pub chassis_nr: Option<u8>,
    pub chassis: Option<u8>,
    pub port: Option<u8>,
    pub bus_nr: Option<u8>,
    pub hotplug: Option<Switch>,
    /// `<node>`: the NUMA node of an expander bus.
    pub node: Option<u32>,
}
