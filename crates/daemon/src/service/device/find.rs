//! Finds the device of a domain that a client means, by the XML of one like it or by its alias.

use domain::Domain;
use domain::model::address::DeviceInfo;
use domain::model::chardev::{Channel, ChannelTarget, CharKind};
use domain::model::devices::RngBackend;
use domain::model::disk::Disk;
use domain::model::interface::Interface;
use rpc::error::{Code, RemoteError};

use super::affect::{internal, invalid, missing, unsupported};
use super::fragment::{Device, Fragment};
use crate::service::Failure;

/// A device by its place among those of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Disk(usize),
    Interface(usize),
    Channel(usize),
    Controller(usize),
    Rng(usize),
    Input(usize),
    Watchdog(usize),
}

impl Found {
    pub(super) fn info(self, domain: &Domain) -> Option<&DeviceInfo> {
        let devices = &domain.devices;
        match self {
            Self::Disk(at) => devices.disks.get(at).map(|device| &device.info),
            Self::Interface(at) => devices.interfaces.get(at).map(|device| &device.info),
            Self::Channel(at) => devices.channels.get(at).map(|device| &device.info),
            Self::Controller(at) => devices.controllers.get(at).map(|device| &device.info),
            Self::Rng(at) => devices.rngs.get(at).map(|device| &device.info),
            Self::Input(at) => devices.inputs.get(at).map(|device| &device.info),
            Self::Watchdog(at) => devices.watchdogs.get(at).map(|device| &device.info),
        }
    }

    /// Puts a device that is in `from` into `to` too: a disk after those that it comes after there, others last.
    pub(super) fn copy(self, from: &Domain, to: &mut Domain) {
        fn last<T: Clone>(from: &[T], at: usize, to: &mut Vec<T>) {
            to.extend(from.get(at).cloned());
        }
        let (from, to) = (&from.devices, &mut to.devices);
        match self {
            Self::Disk(at) => {
                let (before, rest) = from.disks.split_at(at.min(from.disks.len()));
                let comes_before =
                    |known: &Disk| before.iter().any(|disk| disk.target.dev == known.target.dev);
                let place = to.disks.iter().rposition(comes_before).map_or(0, |place| place + 1);
                if let Some(disk) = rest.first() {
                    to.disks.insert(place, disk.clone());
                }
            }
            Self::Interface(at) => last(&from.interfaces, at, &mut to.interfaces),
            Self::Channel(at) => last(&from.channels, at, &mut to.channels),
            Self::Controller(at) => last(&from.controllers, at, &mut to.controllers),
            Self::Rng(at) => last(&from.rngs, at, &mut to.rngs),
            Self::Input(at) => last(&from.inputs, at, &mut to.inputs),
            Self::Watchdog(at) => last(&from.watchdogs, at, &mut to.watchdogs),
        }
    }

    /// Takes it away.
    pub(super) fn remove(self, domain: &mut Domain) {
        fn at<T>(list: &mut Vec<T>, at: usize) {
            if at < list.len() {
                list.remove(at);
            }
        }
        let devices = &mut domain.devices;
        match self {
            Self::Disk(index) => at(&mut devices.disks, index),
            Self::Interface(index) => at(&mut devices.interfaces, index),
            Self::Channel(index) => at(&mut devices.channels, index),
            Self::Controller(index) => at(&mut devices.controllers, index),
            Self::Rng(index) => at(&mut devices.rngs, index),
            Self::Input(index) => at(&mut devices.inputs, index),
            Self::Watchdog(index) => at(&mut devices.watchdogs, index),
        }
    }
}

/// Every device that can be found, in the order of the XML.
pub(super) fn all(domain: &Domain) -> Vec<Found> {
    let devices = &domain.devices;
    let disks = (0..devices.disks.len()).map(Found::Disk);
    disks
        .chain((0..devices.controllers.len()).map(Found::Controller))
        .chain((0..devices.interfaces.len()).map(Found::Interface))
        .chain((0..devices.channels.len()).map(Found::Channel))
        .chain((0..devices.inputs.len()).map(Found::Input))
        .chain((0..devices.watchdogs.len()).map(Found::Watchdog))
        .chain((0..devices.rngs.len()).map(Found::Rng))
        .collect()
}

/// The device with that alias.
pub(super) fn by_alias(domain: &Domain, alias: &str) -> Result<Found, Failure> {
    let has_it = |found: &Found| found.info(domain).and_then(|info| info.alias.as_deref()) == Some(alias);
    if let Some(found) = all(domain).into_iter().find(has_it) {
        return Ok(found);
    }
    let devices = &domain.devices;
    macro_rules! fixed {
        ($($kind:literal $list:expr;)*) => {$(
            if $list.iter().any(|device| device.info.alias.as_deref() == Some(alias)) {
                return Err(not_unplugged($kind));
            }
        )*};
    }
    fixed! {
        "serial" devices.serials;
        "console" devices.consoles;
        "tpm" devices.tpms;
        "video" devices.videos;
        "hub" devices.hubs;
        "memballoon" devices.memballoon;
        "panic" devices.panics;
        "vsock" devices.vsock;
        "iommu" devices.iommu;
    }
    Err(internal(format!("no device found with alias {alias}")))
}

fn not_unplugged(kind: &str) -> Failure {
    unsupported(format!("live detach of device '{kind}' is not supported"))
}

fn not_removed(kind: &str) -> Failure {
    unsupported(format!("persistent detach of device '{kind}' is not supported"))
}

/// What an update of a kind of device is called when it is refused.
pub(super) fn kind_of_update(kind: &'static str) -> &'static str {
    match kind {
        "serial" | "parallel" | "console" | "channel" => "chr",
        kind => kind,
    }
}

/// The device of a definition that is like the one in the XML; libvirt has words of its own for those.
pub(super) fn defined_like(domain: &Domain, fragment: &Fragment) -> Result<Found, Failure> {
    like(domain, fragment).map_err(|error| {
        if error.code == Code::OPERATION_UNSUPPORTED {
            return not_removed(fragment.kind);
        }
        if error.code != Code::DEVICE_MISSING {
            return error;
        }
        match &fragment.device {
            Device::Disk(disk) => missing(format!("no target device {}", disk.target.dev)),
            Device::Rng(_) => missing("no matching RNG device was found"),
            Device::Channel(_) => invalid("device not present in domain configuration"),
            Device::Controller(_) => missing("device not present in domain configuration"),
            _ => error,
        }
    })
}

/// The device that is like the one in the XML.
pub(super) fn like(domain: &Domain, fragment: &Fragment) -> Result<Found, Failure> {
    let devices = &domain.devices;
    let agrees = |known: &DeviceInfo, asked: &DeviceInfo| {
        (asked.alias.is_none() || known.alias.is_none() || asked.alias == known.alias)
            && (asked.address.is_none() || asked.address == known.address)
    };
    match &fragment.device {
        Device::Disk(asked) => {
            let at = devices.disks.iter().position(|disk| disk.target.dev == asked.target.dev);
            at.map(Found::Disk).ok_or_else(|| missing(format!("disk {} not found", asked.target.dev)))
        }
        Device::Interface(asked) => interface(&devices.interfaces, asked).map(Found::Interface),
        Device::Channel(asked) => {
            let at = devices.channels.iter().position(|known| same_channel(known, asked));
            at.map(Found::Channel)
                .ok_or_else(|| missing("chr type 'channel' device not present in domain configuration"))
        }
        Device::Controller(asked) => {
            let is_it = |known: &domain::model::controller::Controller| {
                known.kind.name() == asked.kind.name() && asked.index.is_some() && known.index == asked.index
            };
            let at = devices.controllers.iter().position(is_it);
            at.map(Found::Controller).ok_or_else(|| {
                let place = asked.index.unwrap_or_default();
                missing(format!("controller {}:{place} not found", asked.kind.name()))
            })
        }
        Device::Rng(asked) => {
            let at = devices.rngs.iter().position(|known| {
                known.model == asked.model
                    && known.backend == asked.backend
                    && agrees(&known.info, &asked.info)
            });
            at.map(Found::Rng).ok_or_else(|| {
                let kind = match asked.backend {
                    Some(RngBackend::Egd(_)) => "egd",
                    Some(RngBackend::Builtin) => "builtin",
                    Some(RngBackend::Random { .. }) | None => "random",
                };
                missing(format!("model '{kind}' RNG device not present in domain configuration"))
            })
        }
        Device::Input(asked) => {
            let at = devices.inputs.iter().position(|known| {
                known.kind == asked.kind
                    && (asked.bus.is_none() || known.bus == asked.bus)
                    && agrees(&known.info, &asked.info)
            });
            at.map(Found::Input).ok_or_else(|| missing("matching input device not found"))
        }
        Device::Watchdog(asked) => {
            let at = devices.watchdogs.iter().position(|known| known.model == asked.model);
            at.map(Found::Watchdog)
                .ok_or_else(|| missing("no watchdog device present in domain configuration"))
        }
        Device::Serial(_) | Device::Console(_) | Device::Graphics(_) | Device::Other => {
            Err(not_unplugged(fragment.kind))
        }
    }
}

/// The interface with that hardware address, and place and alias where they are given.
pub(super) fn interface(all: &[Interface], asked: &Interface) -> Result<usize, Failure> {
    let fits = |known: &Interface| {
        (asked.mac.is_none() || known.mac == asked.mac)
            && (asked.info.pci().is_none()
                || asked.info.pci().map(|pci| pci.place()) == known.info.pci().map(|pci| pci.place()))
            && is_alias(known.info.alias.as_deref(), asked.info.alias.as_deref())
    };
    let mac = asked.mac.map_or_else(|| "(null)".to_owned(), |mac| mac.to_string());
    let mut found = all.iter().enumerate().filter(|(_, known)| fits(known)).map(|(at, _)| at);
    match (found.next(), found.next()) {
        (Some(at), None) => Ok(at),
        (Some(_), Some(_)) => Err(Box::new(RemoteError::operation_failed(format!(
            "multiple devices matching MAC address {mac} found"
        )))),
        (None, _) => {
            let place = asked.info.pci().map_or_else(|| "(<null>)".to_owned(), |pci| pci.to_string());
            let alias = asked.info.alias.as_deref().unwrap_or("(<null>)");
            Err(missing(format!(
                "no device found at address '{place}' matching MAC address '{mac}' and alias '{alias}'"
            )))
        }
    }
}

/// A definition has no aliases but those that users gave.
fn is_alias(known: Option<&str>, asked: Option<&str>) -> bool {
    asked.is_none()
        || known == asked
        || (known.is_none() && asked.is_some_and(|alias| !alias.starts_with("ua-")))
}

/// Channels are the same by what the guest sees; a path that was chosen at start is not asked for.
fn same_channel(known: &Channel, asked: &Channel) -> bool {
    match (&known.target, &asked.target) {
        (ChannelTarget::Virtio { name: one, .. }, ChannelTarget::Virtio { name: other, .. }) => {
            one == other
                && std::mem::discriminant(&known.source.kind) == std::mem::discriminant(&asked.source.kind)
                && same_path(&known.source.kind, &asked.source.kind)
        }
        (one, other) => one == other,
    }
}

fn same_path(known: &CharKind, asked: &CharKind) -> bool {
    match (known, asked) {
        (CharKind::Unix { path: Some(known), .. }, CharKind::Unix { path: Some(asked), .. }) => {
            known == asked
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use domain::Document;

    use super::super::fragment;
    use super::*;

    const DOMAIN: &str =
        "<domain type='kvm'><name>a</name><memory>1</memory><os><type machine='q35'>hvm</type></os>
        <devices><disk type='file'><source file='/x'/><target dev='vda'/><alias name='virtio-disk0'/></disk>
        <interface type='user'><mac address='52:54:00:00:00:01'/><alias name='net0'/></interface>
        <interface type='user'><mac address='52:54:00:00:00:01'/><alias name='net1'/></interface>
        <channel type='unix'><source mode='bind' path='/run/x'/><target type='virtio' name='org.x'/></channel>
        <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
        <video><model type='vga'/><alias name='video0'/></video></devices></domain>";

    #[track_caller]
    fn check(xml: &str, expected: Result<Found, &str>) {
        let (domain, _) = Domain::read(&Document::parse(DOMAIN).unwrap());
        let found = like(&domain, &fragment::parse(xml).unwrap());
        assert_eq!(found.map_err(|error| error.to_string()), expected.map_err(str::to_owned));
    }

    #[test]
    fn devices_are_found_by_what_is_theirs() {
        check("<disk type='block'><target dev='vda'/></disk>", Ok(Found::Disk(0)));
        check("<disk><target dev='vdb'/></disk>", Err("device not found: disk vdb not found"));
        check(
            "<interface type='user'><mac address='52:54:00:00:00:01'/><alias name='net1'/></interface>",
            Ok(Found::Interface(1)),
        );
        check(
            "<interface type='user'><mac address='52:54:00:00:00:02'/></interface>",
            Err(
                "device not found: no device found at address '(<null>)' matching MAC address '52:54:00:00:00:02' \
                and alias '(<null>)'",
            ),
        );
        check("<channel type='unix'><target type='virtio' name='org.x'/></channel>", Ok(Found::Channel(0)));
        check("<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>", Ok(Found::Rng(0)));
    }

    #[test]
    fn a_new_device_comes_beside_what_has_changed_meanwhile() {
        let read = |text: &str| Domain::read(&Document::parse(text).unwrap()).0;
        let disk =
            |name: &str| format!("<disk type='file'><source file='/{name}'/><target dev='{name}'/></disk>");
        let mut placed = read(DOMAIN);
        let with = read(&DOMAIN.replace("<interface", &format!("{}<interface", disk("vdb"))));
        placed.devices.disks.push(with.devices.disks[1].clone());
        placed.devices.rngs.push(placed.devices.rngs[0].clone());
        // Meanwhile the balloon moved, an interface went, and a disk came that goes behind.
        let mut live = read(&DOMAIN.replace("<interface", &format!("{}<interface", disk("vdc"))));
        live.devices.disks.truncate(2);
        live.devices.interfaces.remove(0);
        live.current_memory = Some(domain::model::memory::Kib(7));
        for found in [Found::Disk(1), Found::Rng(1)] {
            found.copy(&placed, &mut live);
        }
        let names: Vec<&str> = live.devices.disks.iter().map(|disk| disk.target.dev.as_str()).collect();
        assert_eq!(names, ["vda", "vdb", "vdc"]);
        assert_eq!((live.devices.interfaces.len(), live.devices.rngs.len()), (1, 2));
        assert_eq!(live.current_memory, Some(domain::model::memory::Kib(7)));
    }

    #[test]
    fn aliases_name_one_device() {
        let (domain, _) = Domain::read(&Document::parse(DOMAIN).unwrap());
        assert_eq!(by_alias(&domain, "net1").unwrap(), Found::Interface(1));
        assert_eq!(
            by_alias(&domain, "video0").unwrap_err().to_string(),
            "Operation not supported: live detach of device 'video' is not supported"
        );
        assert_eq!(
            by_alias(&domain, "nope").unwrap_err().to_string(),
            "internal error: no device found with alias nope"
        );
    }
}
