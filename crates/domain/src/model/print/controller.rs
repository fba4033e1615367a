//! Prints `<controller>`.

use super::{PrintForm, node::Node};
use crate::model::controller::{Controller, ControllerKind, PciController};

pub(super) fn print_controller(controller: &Controller, form: PrintForm) -> Node {
    let node = Node::new("controller").attr("type", controller.kind.name()).opt("index", controller.index);
    let node = match &controller.kind {
        ControllerKind::Ide { model } => node.word("model", *model),
        ControllerKind::Scsi { model } => node.word("model", *model),
        ControllerKind::Sata { model } => node.word("model", *model),
        ControllerKind::VirtioSerial { model, ports, vectors } => {
            node.word("model", *model).opt("ports", *ports).opt("vectors", *vectors)
        }
        ControllerKind::Usb { model, ports, master_startport } => {
            let master = master_startport.map(|port| Node::new("master").attr("startport", port));
            node.word("model", *model).opt("ports", *ports).maybe(master)
        }
        ControllerKind::Pci(pci) => node.word("model", pci.model).all(print_pci(pci)),
        ControllerKind::Fdc | ControllerKind::Ccid | ControllerKind::Isa => node,
    };
    let driver = &controller.driver;
    let driver = Node::new("driver")
        .opt("queues", driver.queues)
        .opt("cmd_per_lun", driver.cmd_per_lun)
        .opt("max_sectors", driver.max_sectors)
        .on_off("ioeventfd", driver.ioeventfd)
        .opt("iothread", driver.iothread)
        .virtio(controller.virtio);
    let hole = match &controller.kind {
        ControllerKind::Pci(PciController { pcihole64: Some(size), .. }) => {
            Some(Node::of_size("pcihole64", *size))
        }
        _ => None,
    };
    node.maybe(driver.unless_empty()).info(&controller.info, form).maybe(hole)
}

fn print_pci(pci: &PciController) -> impl Iterator<Item = Node> {
    let model = pci.model_name.map(|name| Node::new("model").attr("name", name));
    let target = pci.target;
    let target = Node::new("target")
        .opt("chassisNr", target.chassis_nr)
        .opt("chassis", target.chassis)
        .opt("port", target.port.map(|port| format!("{port:#x}")))
        .opt("busNr", target.bus_nr)
        .on_off("hotplug", target.hotplug)
        .text_child("node", target.node)
        .unless_empty();
    model.into_iter().chain(target)
}
