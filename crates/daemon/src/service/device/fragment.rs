//! One device's XML, as clients hand it over.

use domain::model::ProblemKind;
use domain::model::chardev::{Channel, Console, Serial};
use domain::model::controller::Controller;
use domain::model::devices::{Input, Rng, Watchdog};
use domain::model::disk::Disk;
use domain::model::graphics::Graphics;
use domain::model::interface::Interface;
use domain::{Document, Domain};
use rpc::error::RemoteError;

use super::affect::config_unsupported;
use crate::service::Failure;
use crate::service::domain::xml::ill_formed;

/// The elements that libvirt takes for devices (`virDomainDeviceType`).
const KNOWN: [&str; 27] = [
    "disk",
    "lease",
    "filesystem",
    "interface",
    "input",
    "sound",
    "video",
    "hostdev",
    "watchdog",
    "controller",
    "graphics",
    "hub",
    "redirdev",
    "smartcard",
    "parallel",
    "serial",
    "channel",
    "console",
    "memballoon",
    "nvram",
    "rng",
    "shmem",
    "tpm",
    "panic",
    "memory",
    "iommu",
    "vsock",
];

/// A device, and what its XML says beyond what sevirt has a notion of.
#[derive(Debug, Clone)]
pub(super) struct Fragment {
    /// The element's name.
    pub(super) kind: &'static str,
    pub(super) device: Device,
    pub(super) unknown: Vec<String>,
}

#[derive(Debug, Clone)]
pub(super) enum Device {
    Disk(Box<Disk>),
    Interface(Box<Interface>),
    Channel(Channel),
    Controller(Controller),
    Rng(Rng),
    Input(Input),
    Watchdog(Watchdog),
    Serial(Serial),
    Console(Console),
    Graphics(Box<Graphics>),
    /// One that is not plugged in or out.
    Other,
}

/// Reads it.
pub(super) fn parse(xml: &str) -> Result<Fragment, Failure> {
    let document = Document::parse(xml).map_err(|error| ill_formed(&error))?;
    let root = document.root();
    let kind = KNOWN.into_iter().find(|known| *known == root.name());
    let kind = kind.ok_or_else(|| config_unsupported(format!("unknown device type '{}'", root.name())))?;
    let element = root.span().of(document.text());
    let around = format!(
        "<domain type='kvm'><name>a</name><memory>1</memory><os><type machine='q35'>hvm</type></os><devices>{element}\
         </devices></domain>"
    );
    let around = Document::parse(&around).map_err(|error| ill_formed(&error))?;
    let (domain, problems) = Domain::read(&around);
    let without = |path: &str| path.strip_prefix("devices/").unwrap_or(path).to_owned();
    if let Some(problem) = problems.iter().find(|problem| problem.kind == ProblemKind::Malformed) {
        let detail = format!("{}: {}", without(&problem.path), problem.message);
        return Err(Box::new(RemoteError::xml_error(detail)));
    }
    let unknown =
        problems.iter().map(|problem| format!("{}: {}", without(&problem.path), problem.message)).collect();
    Ok(Fragment { kind, device: the_one(domain).unwrap_or(Device::Other), unknown })
}

/// The device of a domain that has one.
fn the_one(domain: Domain) -> Option<Device> {
    let devices = domain.devices;
    let disk = devices.disks.into_iter().map(|disk| Device::Disk(Box::new(disk)));
    let interface = devices.interfaces.into_iter().map(|found| Device::Interface(Box::new(found)));
    let graphics = devices.graphics.into_iter().map(|found| Device::Graphics(Box::new(found)));
    disk.chain(interface)
        .chain(devices.channels.into_iter().map(Device::Channel))
        .chain(devices.controllers.into_iter().map(Device::Controller))
        .chain(devices.rngs.into_iter().map(Device::Rng))
        .chain(devices.inputs.into_iter().map(Device::Input))
        .chain(devices.watchdogs.into_iter().map(Device::Watchdog))
        .chain(devices.serials.into_iter().map(Device::Serial))
        .chain(devices.consoles.into_iter().map(Device::Console))
        .chain(graphics)
        .next()
}

impl Fragment {
    /// Refuses what would be left out.
    pub(super) fn whole(&self) -> Result<(), Failure> {
        match self.unknown.first() {
            None => Ok(()),
            Some(unknown) => Err(config_unsupported(format!(
                "{unknown}: sevirt has no notion of it, and would plug in another device than is asked for"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_one_element() {
        let disk = parse("<disk type='file'><source file='/x'/><target dev='vdb'/></disk>").unwrap();
        assert!(matches!(&disk.device, Device::Disk(disk) if disk.target.dev == "vdb"), "{disk:?}");
        assert!(disk.whole().is_ok());
        let text = "<?xml version='1.0'?>\n<!-- why --><interface type='user'><mac address='52:54:00:00:00:01'/>\
            <bandwidth><inbound average='1'/></bandwidth></interface>";
        let interface = parse(text).unwrap();
        assert_eq!((interface.kind, interface.unknown.len()), ("interface", 1));
        assert!(interface.whole().unwrap_err().to_string().contains("bandwidth"));
        assert!(matches!(parse("<hostdev mode='subsystem' type='pci'/>").unwrap().device, Device::Other));
    }

    #[test]
    fn what_is_no_device_is_refused() {
        for (text, said) in [
            ("<nonsense/>", "unsupported configuration: unknown device type 'nonsense'"),
            ("<disk", "column 6"),
            ("<disk/><disk/>", "column 8"),
            ("<disk type='file'><target dev='vdb' bus='odd'/></disk>", "`odd` is not supported"),
            ("<interface type='user'><mac address='01:00:5e:00:00:01'/></interface>", "found multicast"),
        ] {
            let error = parse(text).and_then(|fragment| fragment.whole()).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
