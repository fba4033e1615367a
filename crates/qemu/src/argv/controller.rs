//! Controllers: `-device pcie-root-port`, `qemu-xhci`, `virtio-scsi-pci`, …

use domain::{
    Domain,
    model::{
        Switch,
        controller::{
            Controller, ControllerDriver, ControllerKind, ControllerType, PciController, PciModel,
            PciModelName, ScsiModel, UsbModel,
        },
        iothreads::alias,
    },
};

use super::{
    Argument, Properties,
    address::{Buses, virtio_pci},
};
use crate::plan::{Device, DeviceKind, PlanError, ids};

/// The kinds in the order in which QEMU must meet them: a bus before what sits on it.
const ORDER: [ControllerType; 7] = [
    ControllerType::Pci,
    ControllerType::Usb,
    ControllerType::Scsi,
    ControllerType::Ide,
    ControllerType::Sata,
    ControllerType::VirtioSerial,
    ControllerType::Ccid,
];

/// All controllers but those that the machine brings.
pub(crate) fn controllers(domain: &Domain, floppy_boot: [Option<u32>; 2]) -> Result<Vec<Device>, PlanError> {
    let mut devices = Vec::new();
    for kind in ORDER {
        for controller in domain.devices.controllers.iter().filter(|c| c.kind.name() == kind) {
            devices.extend(device(domain, controller)?);
        }
    }
    devices.extend(floppy_controller(domain, floppy_boot));
    Ok(devices)
}

/// What concerns the root buses and their host: hotplug, the size of the 64-bit window, memory for system management.
pub(crate) fn globals(domain: &Domain) -> Vec<Argument> {
    let mut globals = Vec::new();
    if let Some(size) = domain.features.smm.and_then(|smm| smm.tseg) {
        globals.push(Argument::Text("-global", format!("mch.extended-tseg-mbytes={}", size.0 / 1024)));
    }
    for controller in &domain.devices.controllers {
        let ControllerKind::Pci(pci) = &controller.kind else { continue };
        let host = match pci.model {
            Some(PciModel::PciRoot) => "i440FX-pcihost",
            Some(PciModel::PcieRoot) => "q35-pcihost",
            _ => continue,
        };
        if let (Some(PciModel::PciRoot), Some(hotplug)) = (pci.model, pci.target.hotplug) {
            let hotplug = hotplug.on_off();
            globals.push(Argument::Text("-global", format!("PIIX4_PM.acpi-root-pci-hotplug={hotplug}")));
        }
        if let Some(size) = pci.pcihole64 {
            globals.push(Argument::Text("-global", format!("{host}.pci-hole64-size={}K", size.0)));
        }
    }
    globals
}

fn device(domain: &Domain, controller: &Controller) -> Result<Option<Device>, PlanError> {
    let id = ids::controller(domain, controller);
    let index = controller.index.unwrap_or_default();
    let frontend = match &controller.kind {
        ControllerKind::Pci(pci) => pci_controller(pci, index, &id)?,
        ControllerKind::Usb { model, ports, master_startport } => {
            usb(domain, model.as_ref(), *ports, *master_startport, index, &id)?
        }
        ControllerKind::Scsi { model } => Some(scsi(*model, controller, &id)?),
        ControllerKind::VirtioSerial { model, ports, vectors } => Some(
            virtio_pci("virtio-serial", *model, controller.virtio)
                .with("id", id.as_str())
                .with_some("max_ports", *ports)
                .with_some("vectors", *vectors),
        ),
        // The machine's own; a second IDE controller does not exist on a PC.
        ControllerKind::Ide { .. } if index == 0 && !ids::is_q35(domain) => None,
        ControllerKind::Sata { .. } if index == 0 && ids::is_q35(domain) => None,
        ControllerKind::Ide { .. } => {
            return Err(PlanError::Unsupported {
                device: id,
                what: "an IDE controller beside the machine's own".into(),
            });
        }
        ControllerKind::Sata { .. } => Some(Properties::device("ahci").with("id", id.as_str())),
        ControllerKind::Ccid => Some(Properties::device("usb-ccid").with("id", id.as_str())),
        ControllerKind::Fdc | ControllerKind::Isa => None,
    };
    let Some(frontend) = frontend else { return Ok(None) };
    let buses = Buses::new(domain);
    let place = match controller.kind {
        ControllerKind::Ccid => buses.usb(&controller.info, &id)?,
        _ => buses.pci(&controller.info, &id)?,
    };
    Ok(Some(Device::plain(DeviceKind::Controller, id, frontend.and(place))))
}

fn pci_controller(pci: &PciController, index: u32, id: &str) -> Result<Option<Properties>, PlanError> {
    let incomplete = || PlanError::Incomplete { device: id.to_owned() };
    let model = pci.model.ok_or_else(incomplete)?;
    let default_name = match model {
        PciModel::PciRoot | PciModel::PcieRoot => return Ok(None),
        PciModel::PciBridge => PciModelName::PciBridge,
        PciModel::DmiToPciBridge => PciModelName::I82801b11Bridge,
        PciModel::PcieToPciBridge => PciModelName::PciePciBridge,
        PciModel::PcieRootPort => PciModelName::PcieRootPort,
        PciModel::PcieSwitchUpstreamPort => PciModelName::X3130Upstream,
        PciModel::PcieSwitchDownstreamPort => PciModelName::Xio3130Downstream,
        PciModel::PciExpanderBus => PciModelName::Pxb,
        PciModel::PcieExpanderBus => PciModelName::PxbPcie,
    };
    let name = pci.model_name.unwrap_or(default_name);
    let device = Properties::device(name.to_string());
    let target = pci.target;
    let chassis = target.chassis.map_or(index, u32::from);
    let device = match model {
        PciModel::PciBridge => {
            device.with("chassis_nr", target.chassis_nr.map_or(index, u32::from)).with("id", id)
        }
        PciModel::PcieRootPort | PciModel::PcieSwitchDownstreamPort => {
            device.with("port", target.port.ok_or_else(incomplete)?).with("chassis", chassis).with("id", id)
        }
        PciModel::PciExpanderBus | PciModel::PcieExpanderBus => device
            .with("bus_nr", target.bus_nr.ok_or_else(incomplete)?)
            .with("id", id)
            .with_some("numa_node", target.node),
        _ => device.with("id", id),
    };
    Ok(Some(device.with_some("hotplug", target.hotplug.map(Switch::is_on))))
}

fn usb(
    domain: &Domain,
    model: Option<&UsbModel>,
    ports: Option<u32>,
    start_port: Option<u32>,
    index: u32,
    id: &str,
) -> Result<Option<Properties>, PlanError> {
    let model = model.ok_or_else(|| PlanError::Incomplete { device: id.to_owned() })?;
    let driver = match model {
        UsbModel::None => return Ok(None),
        UsbModel::Piix3Uhci => "piix3-usb-uhci",
        UsbModel::Piix4Uhci => "piix4-usb-uhci",
        UsbModel::Ehci => "usb-ehci",
        UsbModel::Ich9Ehci1 => "ich9-usb-ehci1",
        UsbModel::Ich9Uhci1 => "ich9-usb-uhci1",
        UsbModel::Ich9Uhci2 => "ich9-usb-uhci2",
        UsbModel::Ich9Uhci3 => "ich9-usb-uhci3",
        UsbModel::Vt82c686bUhci => "vt82c686b-usb-uhci",
        UsbModel::PciOhci => "pci-ohci",
        UsbModel::NecXhci => "nec-usb-xhci",
        UsbModel::QemuXhci => "qemu-xhci",
    };
    let device = Properties::device(driver);
    Ok(Some(match start_port {
        // A companion serves the slow ports of its master, which shares its index.
        Some(port) => {
            let master = Buses::new(domain).controller(ControllerType::Usb, index, id)?;
            device.with("masterbus", format!("{master}.0")).with("firstport", port)
        }
        None => device.with_some("p2", ports).with_some("p3", ports).with("id", id),
    }))
}

fn scsi(model: Option<ScsiModel>, controller: &Controller, id: &str) -> Result<Properties, PlanError> {
    let model = model.ok_or_else(|| PlanError::Incomplete { device: id.to_owned() })?;
    if model.virtio().is_some() {
        let ControllerDriver { queues, cmd_per_lun, max_sectors, ioeventfd, iothread } = controller.driver;
        return Ok(virtio_pci("virtio-scsi", model.virtio(), controller.virtio)
            .with_some("iothread", iothread.map(alias))
            .with("id", id)
            .with_some("num_queues", queues)
            .with_some("cmd_per_lun", cmd_per_lun)
            .with_some("max_sectors", max_sectors)
            .with_some("ioeventfd", ioeventfd.map(Switch::is_on)));
    }
    let driver = match model {
        ScsiModel::Lsilogic => "lsi",
        ScsiModel::Lsisas1068 => "mptsas1068",
        ScsiModel::Lsisas1078 => "megasas",
        ScsiModel::Vmpvscsi => "pvscsi",
        ScsiModel::Am53c974 => "am53c974",
        ScsiModel::Dc390 => "dc-390",
        other => {
            return Err(PlanError::Unsupported {
                device: id.to_owned(),
                what: format!("SCSI model {other}"),
            });
        }
    };
    Ok(Properties::device(driver).with("id", id))
}

/// The floppy controller, which holds the boot order of its drives. Q35 has none of its own.
fn floppy_controller(domain: &Domain, boot: [Option<u32>; 2]) -> Option<Device> {
    if !domain.devices.controllers.iter().any(|c| matches!(c.kind, ControllerKind::Fdc)) {
        return None;
    }
    let id = "fdc0".to_owned();
    let [first, second] = boot;
    let drives = [("bootindexA", first), ("bootindexB", second)];
    if ids::is_q35(domain) {
        let frontend = drives
            .into_iter()
            .fold(Properties::device("isa-fdc"), |device, (key, index)| device.with_some(key, index));
        return Some(Device::plain(DeviceKind::Controller, id, frontend));
    }
    let globals: Vec<_> = drives
        .into_iter()
        .filter_map(|(key, index)| Some(Argument::Text("-global", format!("isa-fdc.{key}={}", index?))))
        .collect();
    (!globals.is_empty()).then(|| Device::host_side(DeviceKind::Controller, id, globals))
}
