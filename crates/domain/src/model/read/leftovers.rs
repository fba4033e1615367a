//! From what nobody asked for while a document was read to what the model keeps of it.

use super::reader::{Leftover, Part};
use crate::{
    Element,
    model::{
        Domain,
        address::DeviceInfo,
        devices::Devices,
        kept::{Kept, Piece, Raw, Step, What},
    },
};

/// Gives the domain and its devices what was left over. The devices are still those that were read, in their order.
pub(super) fn keep(domain: &mut Domain, leftovers: Vec<Leftover<'_>>) {
    if leftovers.is_empty() {
        return;
    }
    let leftovers = sorted(leftovers);
    let wholes: Vec<Element<'_>> =
        leftovers.iter().filter(|one| one.part.is_whole()).map(|one| one.element).collect();
    for leftover in &leftovers {
        if let Part::Namespace(declaration) = leftover.part {
            let prefix = declaration.name().trim_start_matches("xmlns:");
            if !leftovers.iter().any(|other| other.is_named_with(prefix)) {
                continue;
            }
        }
        let (kept, path) = place(domain, leftover, &wholes);
        kept.push(Piece { path, what: what(leftover) });
    }
}

/// In the order of the document, and without those that are part of another.
fn sorted(mut leftovers: Vec<Leftover<'_>>) -> Vec<Leftover<'_>> {
    leftovers.sort_by_key(|leftover| (leftover.element.span().start, !leftover.part.is_whole()));
    let mut covered = 0;
    leftovers.retain(|leftover| {
        let span = leftover.element.span();
        let is_part = span.start < covered;
        if !is_part && leftover.part.is_whole() {
            covered = span.end;
        }
        !is_part
    });
    leftovers
}

fn what(leftover: &Leftover<'_>) -> What {
    let element = leftover.element;
    let raw = || Raw::new(element.span().of(element.document().text()));
    match leftover.part {
        Part::Attribute(attribute) | Part::Namespace(attribute) => {
            What::Attribute { name: attribute.name().to_owned(), value: attribute.value().into_owned() }
        }
        Part::Whole => What::Element(raw()),
        Part::Only => What::Only { name: element.name().to_owned(), raw: raw() },
        Part::Instead => What::Instead(raw()),
    }
}

/// Who keeps it, and the way from there.
fn place<'k>(
    domain: &'k mut Domain,
    leftover: &Leftover<'_>,
    wholes: &[Element<'_>],
) -> (&'k mut Kept, Vec<Step>) {
    let mut path = Vec::new();
    let mut next = match leftover.part {
        Part::Whole | Part::Only => leftover.element.parent(),
        Part::Attribute(_) | Part::Namespace(_) | Part::Instead => Some(leftover.element),
    };
    while let Some(element) = next {
        let Some(parent) = element.parent() else { break };
        let name = element.name();
        let index = parent.children_named(name).take_while(|sibling| *sibling != element);
        let index = index.filter(|sibling| !wholes.contains(sibling)).count();
        path.push(Step { name: name.to_owned(), index });
        next = Some(parent);
    }
    path.reverse();
    let is_device = path.len() > 1 && path.first().is_some_and(|step| step.name == "devices");
    if is_device
        && let Some(device) = path.get(1).cloned()
        && info_mut(&mut domain.devices, &device.name, device.index).is_some()
        && let Some(info) = info_mut(&mut domain.devices, &device.name, device.index)
    {
        path.drain(..2);
        return (&mut info.kept, path);
    }
    (&mut domain.kept, path)
}

/// The device of that element name and number.
fn info_mut<'d>(devices: &'d mut Devices, name: &str, index: usize) -> Option<&'d mut DeviceInfo> {
    match name {
        "disk" => devices.disks.get_mut(index).map(|device| &mut device.info),
        "controller" => devices.controllers.get_mut(index).map(|device| &mut device.info),
        "interface" => devices.interfaces.get_mut(index).map(|device| &mut device.info),
        "serial" => devices.serials.get_mut(index).map(|device| &mut device.info),
        "console" => devices.consoles.get_mut(index).map(|device| &mut device.info),
        "channel" => devices.channels.get_mut(index).map(|device| &mut device.info),
        "input" => devices.inputs.get_mut(index).map(|device| &mut device.info),
        "tpm" => devices.tpms.get_mut(index).map(|device| &mut device.info),
        "video" => devices.videos.get_mut(index).map(|device| &mut device.info),
        "hub" => devices.hubs.get_mut(index).map(|device| &mut device.info),
        "watchdog" => devices.watchdogs.get_mut(index).map(|device| &mut device.info),
        "memballoon" => devices.memballoon.as_mut().map(|device| &mut device.info),
        "rng" => devices.rngs.get_mut(index).map(|device| &mut device.info),
        "panic" => devices.panics.get_mut(index).map(|device| &mut device.info),
        "iommu" => devices.iommu.as_mut().map(|device| &mut device.info),
        "vsock" => devices.vsock.as_mut().map(|device| &mut device.info),
        _ => None,
    }
}
