//! Reads `<controller>`.

use super::{
    address::{read_info, read_virtio},
    iothreads,
    reader::Reader,
};
use crate::model::controller::{
    Controller, ControllerDriver, ControllerKind, ControllerType, PciController, PciTarget,
};

/// Reads `<controller>`; `None` where sevirt has no notion of its kind or model.
pub(super) fn read_controller(reader: &Reader<'_, '_>) -> Option<Controller> {
    let kind = match reader.discriminator("type")? {
        ControllerType::Ide => ControllerKind::Ide { model: read_model(reader)? },
        ControllerType::Fdc => ControllerKind::Fdc,
        ControllerType::Scsi => ControllerKind::Scsi { model: read_model(reader)? },
        ControllerType::Sata => ControllerKind::Sata { model: read_model(reader)? },
        ControllerType::VirtioSerial => ControllerKind::VirtioSerial {
            model: read_model(reader)?,
            ports: reader.number("ports"),
            vectors: reader.number("vectors"),
        },
        ControllerType::Usb => ControllerKind::Usb {
            model: read_model(reader)?,
            ports: reader.number("ports"),
            master_startport: reader.child("master").and_then(|master| master.number("startport")),
        },
        ControllerType::Pci => ControllerKind::Pci(read_pci(reader)?),
        ControllerType::Ccid => ControllerKind::Ccid,
        ControllerType::Isa => ControllerKind::Isa,
    };
    let driver = reader.child("driver");
    let driver = driver.as_ref();
    Some(Controller {
        kind,
        index: reader.number("index"),
        driver: driver.map(read_driver).unwrap_or_default(),
        virtio: driver.map(read_virtio).unwrap_or_default(),
        info: read_info(reader),
    })
}

/// `model`: `Some(None)` where it is not said, `None` where it is not known.
#[expect(clippy::option_option, reason = "missing and unknown differ, and `?` wants the outer one")]
fn read_model<K: crate::model::Keyword>(reader: &Reader<'_, '_>) -> Option<Option<K>> {
    match reader.element().attribute("model") {
        None => Some(None),
        Some(_) => reader.discriminator("model").map(Some),
    }
}

fn read_driver(reader: &Reader<'_, '_>) -> ControllerDriver {
    ControllerDriver {
        queues: reader.number("queues"),
        cmd_per_lun: reader.number("cmd_per_lun"),
        max_sectors: reader.number("max_sectors"),
        ioeventfd: reader.on_off("ioeventfd"),
        iothread: iothreads::read_number(reader, "iothread"),
    }
}

fn read_pci(reader: &Reader<'_, '_>) -> Option<PciController> {
    Some(PciController {
        model: read_model(reader)?,
        model_name: reader.child("model").and_then(|model| model.known_word("name")),
        target: reader
            .child("target")
            .map(|target| PciTarget {
                chassis_nr: target.number("chassisNr"),
                chassis: target.number("chassis"),
                port: target.number("port"),
                bus_nr: target.number("busNr"),
                hotplug: target.on_off("hotplug"),
                node: target.child("node").and_then(|node| node.text_number(10)),
            })
            .unwrap_or_default(),
        pcihole64: reader.child("pcihole64").and_then(|hole| hole.size()),
    })
}
