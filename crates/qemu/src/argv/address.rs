//! Where a device sits, in QEMU's words: `"bus":"pci.2","addr":"0x0"`.

use domain::{
    Domain,
    model::{
        Switch,
        address::{Address, DeviceInfo, PciAddress, Rom},
        controller::{ControllerKind, ControllerType, PciModel},
        devices::{VirtioModel, VirtioOptions},
    },
};

use super::Properties;
use crate::plan::{PlanError, ids};

/// Finds the names of the buses that a domain's controllers make.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Buses<'d> {
    domain: &'d Domain,
}

impl<'d> Buses<'d> {
    pub(crate) fn new(domain: &'d Domain) -> Self {
        Self { domain }
    }

    /// `bus` and `addr` of a PCI device, then what else belongs to its place.
    pub(crate) fn pci(self, info: &DeviceInfo, id: &str) -> Result<Properties, PlanError> {
        let Some(Address::Pci(address)) = &info.address else {
            return Err(PlanError::NoAddress { device: id.to_owned() });
        };
        let slot = match address.function {
            0 => format!("{:#x}", address.slot),
            function => format!("{:#x}.{function:#x}", address.slot),
        };
        Ok(Properties::default()
            .with("bus", self.pci_bus(*address, id)?)
            .with_some("multifunction", address.multifunction.map(Switch::is_on))
            .with("addr", slot)
            .with_some("acpi-index", info.acpi_index))
    }

    /// A PCI device's place, then its option ROM.
    pub(crate) fn pci_with_rom(self, info: &DeviceInfo, id: &str) -> Result<Properties, PlanError> {
        Ok(self.pci(info, id)?.and(rom(info.rom.as_ref())))
    }

    /// `bus` and `port` of a USB device.
    pub(crate) fn usb(self, info: &DeviceInfo, id: &str) -> Result<Properties, PlanError> {
        match &info.address {
            Some(Address::Usb(address)) if !address.port.is_empty() => Ok(Properties::default()
                .with("bus", format!("{}.0", self.controller(ControllerType::Usb, address.bus, id)?))
                .with("port", address.port_path())),
            _ => Err(PlanError::NoAddress { device: id.to_owned() }),
        }
    }

    /// `bus` and `nr` of a port on a virtio-serial controller.
    pub(crate) fn virtio_serial(self, info: &DeviceInfo, id: &str) -> Result<Properties, PlanError> {
        match &info.address {
            Some(Address::VirtioSerial(address)) => {
                let controller = self.controller(ControllerType::VirtioSerial, address.controller, id)?;
                Ok(Properties::default()
                    .with("bus", format!("{controller}.{}", address.bus))
                    .with_some("nr", address.port))
            }
            _ => Err(PlanError::NoAddress { device: id.to_owned() }),
        }
    }

    /// The id of the controller of a kind that has an index.
    pub(crate) fn controller(
        self,
        kind: ControllerType,
        index: u32,
        device: &str,
    ) -> Result<String, PlanError> {
        self.domain
            .devices
            .controllers
            .iter()
            .find(|controller| controller.kind.name() == kind && controller.index == Some(index))
            .map(|controller| ids::controller(self.domain, controller))
            .ok_or_else(|| PlanError::NoController { device: device.to_owned(), kind, index })
    }

    fn pci_bus(self, address: PciAddress, id: &str) -> Result<String, PlanError> {
        let index = u32::from(address.bus);
        let root = self.domain.devices.controllers.iter().find_map(|controller| match &controller.kind {
            ControllerKind::Pci(pci) if controller.index == Some(index) => match pci.model {
                Some(PciModel::PciRoot) => Some(format!("pci.{index}")),
                Some(PciModel::PcieRoot) => Some(format!("pcie.{index}")),
                _ => None,
            },
            _ => None,
        });
        match root {
            Some(name) => Ok(name),
            None => self.controller(ControllerType::Pci, index, id),
        }
    }
}

/// What `<rom>` asks for.
fn rom(rom: Option<&Rom>) -> Properties {
    match rom {
        None => Properties::default(),
        Some(Rom { enabled: Some(Switch::Off), .. }) => Properties::default().with("romfile", ""),
        Some(rom) => Properties::default()
            .with_some("rombar", rom.bar.map(|bar| u32::from(bar.is_on())))
            .with_some("romfile", rom.file.as_deref()),
    }
}

/// A virtio device on PCI: its name by kind, then what every virtio driver takes.
pub(crate) fn virtio_pci(name: &str, model: Option<VirtioModel>, options: VirtioOptions) -> Properties {
    let suffix = match model {
        None | Some(VirtioModel::Virtio) => "",
        Some(VirtioModel::Transitional) => "-transitional",
        Some(VirtioModel::NonTransitional) => "-non-transitional",
    };
    Properties::device(format!("{name}-pci{suffix}")).and(virtio_options(options))
}

/// `<driver iommu=… ats=… packed=… page_per_vq=…>`.
pub(crate) fn virtio_options(options: VirtioOptions) -> Properties {
    Properties::default()
        .with_some("iommu_platform", options.iommu.map(Switch::is_on))
        .with_some("ats", options.ats.map(Switch::is_on))
        .with_some("packed", options.packed.map(Switch::is_on))
        .with_some("page-per-vq", options.page_per_vq.map(Switch::is_on))
}
