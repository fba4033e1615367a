//! The virtio devices of a domain, as they stand in the document: devices that the model does not hold are among them.

use std::borrow::Cow;

use domain::model::Switch;
use domain::{Edit, Element, NewElement, Span};

use crate::subject::Subject;

/// A virtio device that the domain names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Virtio<'d> {
    pub(crate) element: Element<'d>,
    pub(crate) kind: Kind,
    pub(crate) form: Form,
    /// `<driver iommu=…>`.
    pub(crate) iommu: Option<Switch>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Balloon,
    Crypto,
    Disk,
    /// A directory by the 9p protocol.
    Filesystem,
    /// A directory by virtiofs.
    Virtiofs,
    Input,
    Interface,
    Rng,
    Scsi,
    Serial,
    Sound,
    Video,
    Vsock,
}

/// Which versions of virtio the device speaks (virtio 1.2 §1.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// QEMU decides by the bus that it sits on.
    Either,
    Transitional,
    NonTransitional,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Balloon => "memory balloon",
            Self::Crypto => "crypto device",
            Self::Disk => "disk",
            Self::Filesystem | Self::Virtiofs => "filesystem",
            Self::Input => "input device",
            Self::Interface => "network interface",
            Self::Rng => "rng device",
            Self::Scsi => "SCSI controller",
            Self::Serial => "serial controller",
            Self::Sound => "sound device",
            Self::Video => "video device",
            Self::Vsock => "vsock device",
        }
    }

    /// Whether QEMU has transitional and non-transitional models of it. It makes all others virtio 1.0 devices on any
    /// bus.
    pub(crate) fn has_forms(self) -> bool {
        match self {
            Self::Balloon
            | Self::Disk
            | Self::Filesystem
            | Self::Interface
            | Self::Rng
            | Self::Scsi
            | Self::Serial => true,
            Self::Crypto | Self::Input | Self::Sound | Self::Video | Self::Virtiofs | Self::Vsock => false,
        }
    }
}

impl<'d> Virtio<'d> {
    /// None where the device is no virtio device.
    fn of(element: Element<'d>) -> Option<Self> {
        let of_child = |child: &str, name: &str| value(element.child(child)?, name);
        let model = |otherwise: &'static str| value(element, "model").unwrap_or(Cow::Borrowed(otherwise));
        let (kind, model) = match element.name() {
            "disk" => {
                let target = element.child("target")?;
                let is_virtio = match value(target, "bus") {
                    Some(bus) => bus == "virtio",
                    None => value(target, "dev").is_some_and(|name| name.starts_with("vd")),
                };
                is_virtio.then(|| (Kind::Disk, model("virtio")))?
            }
            "controller" => match &*value(element, "type")? {
                "virtio-serial" => (Kind::Serial, model("virtio")),
                "scsi" => (Kind::Scsi, model("")),
                _ => return None,
            },
            "interface" => (Kind::Interface, of_child("model", "type")?),
            "memballoon" => (Kind::Balloon, model("")),
            "rng" => (Kind::Rng, model("")),
            "video" => (Kind::Video, of_child("model", "type")?),
            "input" => {
                let is_virtio = match value(element, "bus") {
                    Some(bus) => bus == "virtio",
                    None => value(element, "type").is_some_and(|kind| kind == "passthrough"),
                };
                is_virtio.then(|| (Kind::Input, model("virtio")))?
            }
            "vsock" => (Kind::Vsock, model("virtio")),
            "filesystem" => {
                let virtiofs = of_child("driver", "type").is_some_and(|kind| kind == "virtiofs");
                (if virtiofs { Kind::Virtiofs } else { Kind::Filesystem }, model("virtio"))
            }
            "crypto" => (Kind::Crypto, model("")),
            "sound" => (Kind::Sound, model("")),
            _ => return None,
        };
        let form = match &*model {
            "virtio" | "virtio-scsi" => Form::Either,
            "virtio-transitional" => Form::Transitional,
            "virtio-non-transitional" => Form::NonTransitional,
            _ => return None,
        };
        let iommu = of_child("driver", "iommu").and_then(|word| match &*word {
            "on" => Some(Switch::On),
            "off" => Some(Switch::Off),
            _ => None,
        });
        Some(Self { element, kind, form, iommu })
    }

    /// What messages call it.
    pub(crate) fn name(&self) -> String {
        let target = self.element.child("target").filter(|_| self.kind == Kind::Disk);
        match target.and_then(|target| target.attribute("dev")) {
            Some(dev) => format!("disk `{}`", dev.value()),
            None => self.kind.name().to_owned(),
        }
    }

    /// What a finding about it points at.
    pub(crate) fn span(&self) -> Span {
        self.element.start_tag_span()
    }

    /// `<driver iommu='on'/>`.
    pub(crate) fn turn_on_iommu(&self) -> Edit {
        match self.element.child("driver") {
            Some(driver) => Edit::set_attribute(driver, "iommu", "on"),
            None => Edit::insert_child(self.element, &NewElement::new("driver").attribute("iommu", "on")),
        }
    }

    /// The non-transitional model.
    pub(crate) fn make_non_transitional(&self) -> Option<Edit> {
        const MODEL: &str = "virtio-non-transitional";
        match self.kind {
            Kind::Interface => Some(Edit::set_attribute(self.element.child("model")?, "type", MODEL)),
            kind if kind.has_forms() => Some(Edit::set_attribute(self.element, "model", MODEL)),
            _ => None,
        }
    }

    /// The bus of its PCI address, where the domain says it.
    fn bus(&self) -> Option<u32> {
        let address = self.element.child("address")?;
        if address.attribute("type")?.value() != "pci" {
            return None;
        }
        let bus = address.attribute("bus").map_or_else(|| "0".into(), |bus| bus.value());
        match bus.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => bus.parse().ok(),
        }
    }
}

/// An attribute's value.
fn value<'d>(element: Element<'d>, name: &str) -> Option<Cow<'d, str>> {
    element.attribute(name).map(|attribute| attribute.value())
}

impl<'a> Subject<'a> {
    /// The virtio devices that the domain names, in its order.
    pub(crate) fn virtio(&self) -> impl Iterator<Item = Virtio<'a>> + use<'a> {
        self.element(&["devices"]).into_iter().flat_map(|devices| devices.children()).filter_map(Virtio::of)
    }

    /// Whether the machine is the legacy PC, which has no PCI Express; a domain without a machine type means it.
    pub(crate) fn is_legacy_pc(&self) -> bool {
        let machine = self.domain.os.machine.as_deref();
        machine.is_none_or(|name| name == "pc" || name.starts_with("pc-i440fx-"))
    }

    /// Whether a device is not behind a PCI Express port, where QEMU gives a virtio device of either form its legacy
    /// interface. A device without an address is behind one on any machine that has them.
    pub(crate) fn is_on_conventional_bus(&self, device: &Virtio<'_>) -> bool {
        if self.is_legacy_pc() {
            return true;
        }
        let Some(bus) = device.bus() else { return false };
        bus == 0 || self.is_conventional(bus)
    }

    /// Whether the controller of that index makes a conventional bus.
    fn is_conventional(&self, index: u32) -> bool {
        let controllers = self.element(&["devices"]).into_iter();
        let mut controllers = controllers.flat_map(|devices| devices.children_named("controller"));
        let is = |controller: &Element<'_>, name: &str, value: &str| {
            controller.attribute(name).is_some_and(|attribute| attribute.value() == value)
        };
        let index = index.to_string();
        controllers.any(|controller| {
            is(&controller, "type", "pci")
                && is(&controller, "index", &index)
                && ["pci-bridge", "dmi-to-pci-bridge", "pcie-to-pci-bridge", "pci-expander-bus"]
                    .iter()
                    .any(|model| is(&controller, "model", model))
        })
    }
}

#[cfg(test)]
mod tests {
    use domain::{Document, Domain};
    use expect_test::{Expect, expect};
    use host::Facts;

    use super::*;

    fn check(machine: &str, devices: &str, expected: &Expect) {
        let text = format!(
            "<domain type='kvm'><name>a</name><os><type machine='{machine}'>hvm</type></os>\
             <devices>{devices}</devices></domain>"
        );
        let document = Document::parse(&text).unwrap();
        let (domain, problems) = Domain::read(&document);
        let facts = Facts::default();
        let subject = Subject { document: &document, domain: &domain, problems: &problems, facts: &facts };
        let mut said = String::new();
        for device in subject.virtio() {
            let bus = if subject.is_on_conventional_bus(&device) { "conventional" } else { "express" };
            let iommu = device.iommu.map_or("-", Switch::on_off);
            said.push_str(&format!("{}: {:?}, iommu {iommu}, {bus}\n", device.name(), device.form));
        }
        expected.assert_eq(&said);
    }

    #[test]
    fn devices_are_told_by_bus_or_model() {
        let devices = "<disk><target dev='vda'/><driver name='qemu' iommu='on'/></disk>\
             <disk><target dev='sda'/></disk><disk model='virtio-transitional'><target dev='x' bus='virtio'/></disk>\
             <controller type='usb'/><controller type='scsi'/><controller type='scsi' model='virtio-scsi'/>\
             <controller type='virtio-serial'><driver iommu='off'/></controller>\
             <interface type='user'/><interface type='user'><model type='e1000'/></interface>\
             <interface type='user'><model type='virtio-non-transitional'/></interface>\
             <memballoon model='none'/><memballoon model='virtio'/><rng model='virtio'/><vsock/>\
             <video><model type='qxl'/></video><video><model type='virtio'/></video>\
             <input type='tablet' bus='usb'/><input type='passthrough'/><input type='mouse' bus='virtio'/>\
             <filesystem/><filesystem><driver type='virtiofs'/></filesystem>\
             <crypto model='virtio'/><sound model='ich9'/><sound model='virtio'/>";
        check(
            "q35",
            devices,
            &expect![[r#"
                disk `vda`: Either, iommu on, express
                disk `x`: Transitional, iommu -, express
                SCSI controller: Either, iommu -, express
                serial controller: Either, iommu off, express
                network interface: NonTransitional, iommu -, express
                memory balloon: Either, iommu -, express
                rng device: Either, iommu -, express
                vsock device: Either, iommu -, express
                video device: Either, iommu -, express
                input device: Either, iommu -, express
                input device: Either, iommu -, express
                filesystem: Either, iommu -, express
                filesystem: Either, iommu -, express
                crypto device: Either, iommu -, express
                sound device: Either, iommu -, express
            "#]],
        );
    }

    #[test]
    fn the_bus_is_that_of_the_address() {
        let devices = "<controller type='pci' index='7' model='pcie-to-pci-bridge'/>\
             <rng model='virtio'><address type='pci' bus='0x00' slot='0x05'/></rng>\
             <rng model='virtio'><address type='pci' bus='0x01' slot='0x00'/></rng>\
             <rng model='virtio'><address type='pci' bus='7' slot='0x01'/></rng>\
             <rng model='virtio'/>";
        let expected = expect![[r#"
            rng device: Either, iommu -, conventional
            rng device: Either, iommu -, express
            rng device: Either, iommu -, conventional
            rng device: Either, iommu -, express
        "#]];
        check("pc-q35-3.0", devices, &expected);
        let expected = expect![[r#"
            rng device: Either, iommu -, conventional
        "#]];
        check("pc", "<rng model='virtio'/>", &expected);
    }
}
