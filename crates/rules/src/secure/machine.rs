//! From the legacy PC to Q35. The guest's PCI addresses belong to the machine, so they go as well.

use domain::{Edit, Element};

use super::{Change, Wish};
use crate::fix::Safety;
use crate::subject::Subject;

pub(super) fn step(subject: &Subject<'_>, _: &Wish) -> Option<Change> {
    let machine = subject.domain.os.machine.as_deref();
    let legacy = machine.is_none_or(|name| name == "pc" || name.starts_with("pc-i440fx-"));
    let kind = subject.element(&["os", "type"]).filter(|_| legacy)?;
    let mut edits = vec![Edit::set_attribute(kind, "machine", "q35")];
    if let Some(devices) = subject.element(&["devices"]) {
        edits.extend(devices.children().flat_map(|device| moved(devices, device)));
    }
    let effect = "it sees another computer: all devices at other PCI addresses, IDE disks as SATA disks. Linux finds its \
                  disks by UUID and may name its network interfaces differently; Windows may have to be activated again";
    let title =
        format!("use the machine Q35 instead of the legacy PC ({})", machine.unwrap_or("the default"));
    Some(Change::new("machine", Safety::Unsafe, title, effect, edits))
}

/// What changes of one device.
fn moved(devices: Element<'_>, device: Element<'_>) -> Vec<Edit> {
    if is_of_the_legacy_pc(device) {
        return vec![Edit::remove_element(device)];
    }
    let mut edits = Vec::new();
    let ide = device
        .child("target")
        .filter(|target| device.name() == "disk" && is(*target, "bus", "ide"))
        .map(|target| (target, sata_name(devices, target)));
    for address in device.children_named("address") {
        if is(address, "type", "pci") || (ide.is_some() && is(address, "type", "drive")) {
            edits.push(Edit::remove_element(address));
        }
    }
    if let Some((target, name)) = ide {
        edits.push(Edit::set_attribute(target, "bus", "sata"));
        edits.push(Edit::set_attribute(target, "dev", &name));
    }
    edits
}

/// Controllers that Q35 has others for.
fn is_of_the_legacy_pc(device: Element<'_>) -> bool {
    let usb = || {
        let model = device.attribute("model").map(|model| model.value());
        is(device, "type", "usb") && model.is_none_or(|model| model.starts_with("piix"))
    };
    device.name() == "controller" && (is(device, "type", "pci") || is(device, "type", "ide") || usb())
}

/// A name of SCSI-like disks for `hda` to `hdd`: the same letter, or the first that no other disk has.
fn sata_name(devices: Element<'_>, target: Element<'_>) -> String {
    let dev = |target: Element<'_>| target.attribute("dev").map(|dev| dev.value().into_owned());
    let others: Vec<String> =
        devices.children_named("disk").filter_map(|disk| dev(disk.child("target")?)).collect();
    let own = dev(target).unwrap_or_default();
    // Those that become SATA disks before this one have taken their letters, too.
    let ide: Vec<&String> = others.iter().filter(|name| name.starts_with("hd")).collect();
    let letters = || ('a'..='z').map(|letter| format!("sd{letter}"));
    let free: Vec<String> = letters().filter(|name| !others.contains(name)).collect();
    let place = ide.iter().position(|name| **name == own).unwrap_or(0);
    free.get(place).cloned().unwrap_or_else(|| own.replacen("hd", "sd", 1))
}

fn is(element: Element<'_>, attribute: &str, value: &str) -> bool {
    element.attribute(attribute).is_some_and(|attribute| attribute.value() == value)
}
