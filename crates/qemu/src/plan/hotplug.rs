//! Plugging one device into a guest that runs: the same device as on a command line, as steps of QMP.

use domain::{
    Domain,
    model::chardev::{Channel, CharKind, CharSource, SocketMode},
};
use serde_json::{Map, Value, json};

use super::{Device, PlanError, Surroundings, boot_order::BootOrder};
use crate::argv::{
    Argument, block, chardev::FdSets, console, controller, disk, input, interface, rng, watchdog,
};

/// Which device of the domain, by its place among those of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    Disk {
        index: usize,
        /// The first number that no block node of the guest has.
        node: usize,
    },
    Interface(usize),
    Channel(usize),
    Controller(usize),
    Rng(usize),
    Input(usize),
    Watchdog(usize),
}

/// One step, in the order in which they are made; they are undone in the opposite one.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    Object(Map<String, Value>),
    Block(Map<String, Value>),
    Chardev(Map<String, Value>),
    Netdev(Map<String, Value>),
    Device(Map<String, Value>),
}

impl Step {
    /// By which it is named when it is undone.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Block(map) => map.get("node-name"),
            Self::Object(map) | Self::Chardev(map) | Self::Netdev(map) | Self::Device(map) => map.get("id"),
        }?
        .as_str()
    }
}

/// The steps that give the guest one of the devices of `domain`, which has it already, with its alias and its address.
///
/// # Errors
/// The device cannot be planned, or its kind cannot be plugged in.
pub fn plug(domain: &Domain, which: Which, here: &Surroundings) -> Result<Vec<Step>, PlanError> {
    let mut sets = FdSets::default();
    let devices = &domain.devices;
    let boot = BootOrder::of(domain);
    // What is plugged into a running guest has a place in the boot order only if it says so itself.
    match which {
        Which::Disk { index, node } => {
            let found = devices.disks.get(index).ok_or_else(|| gone("disk"))?;
            let order = found.info.boot_order.and_then(|_| boot.disk(index));
            let is_cdrom = |path: &str| here.cdrom_drives.contains(path);
            steps(disk::disk(domain, found, node, order, is_cdrom)?)
        }
        Which::Interface(index) => {
            let found = devices.interfaces.get(index).ok_or_else(|| gone("interface"))?;
            let order = found.info.boot_order.and_then(|_| boot.interface(index));
            let id = super::ids::interface(&devices.interfaces, index);
            steps(interface::interface(domain, found, &id, order, here)?)
        }
        Which::Channel(index) => {
            let found = devices.channels.get(index).ok_or_else(|| gone("channel"))?;
            let id = super::ids::numbered("channel", index, &found.info);
            let backend = chardev_add(found, &id, here)?;
            let planned = console::channel(domain, index, found, here, &mut sets)?;
            let frontend = planned.device_add().cloned().map(Step::Device);
            Ok([Step::Chardev(backend)].into_iter().chain(frontend).collect())
        }
        Which::Controller(index) => {
            let alias = devices.controllers.get(index).and_then(|found| found.info.alias.clone());
            let all = controller::controllers(domain, boot.floppies(domain))?;
            of_alias(all, alias, "controller")
        }
        Which::Rng(index) => {
            let alias = devices.rngs.get(index).and_then(|found| found.info.alias.clone());
            of_alias(rng::rngs(domain, here, &mut sets)?, alias, "rng")
        }
        Which::Input(index) => {
            let alias = devices.inputs.get(index).and_then(|found| found.info.alias.clone());
            of_alias(input::inputs(domain)?, alias, "input")
        }
        Which::Watchdog(index) => {
            let alias = devices.watchdogs.get(index).and_then(|found| found.info.alias.clone());
            of_alias(watchdog::watchdogs(domain)?, alias, "watchdog")
        }
    }
}

/// The steps that make the block nodes of a disk's image, and the name of the upper one: a medium for a drive.
///
/// # Errors
/// The image cannot be planned.
pub fn medium(
    disk: &domain::model::disk::Disk,
    node: usize,
    here: &Surroundings,
) -> Result<Option<(Vec<Step>, String)>, PlanError> {
    let Some(source) = &disk.source else { return Ok(None) };
    let chain = block::chain(disk, source, node, |path: &str| here.cdrom_drives.contains(path))?;
    let nodes = chain.nodes.into_iter().map(|argument| backend(argument, &disk.target.dev));
    Ok(Some((nodes.collect::<Result<_, _>>()?, chain.top)))
}

fn of_alias(all: Vec<Device>, alias: Option<String>, kind: &str) -> Result<Vec<Step>, PlanError> {
    let alias = alias.ok_or_else(|| gone(kind))?;
    let found = all.into_iter().find(|device| device.id == alias).ok_or_else(|| gone(kind))?;
    steps(found)
}

/// The caller named a device that is not there, or one that QEMU does not make by itself.
fn gone(kind: &str) -> PlanError {
    PlanError::Incomplete { device: kind.to_owned() }
}

fn steps(device: Device) -> Result<Vec<Step>, PlanError> {
    let frontend = device.device_add().cloned().map(Step::Device);
    let id = device.id;
    let backends = device.backends.into_iter().map(|argument| backend(argument, &id));
    backends.chain(frontend.map(Ok)).collect()
}

fn backend(argument: Argument, device: &str) -> Result<Step, PlanError> {
    let unsupported = |what: &str| PlanError::Unsupported {
        device: device.to_owned(),
        what: format!("plugging it into a running guest ({what})"),
    };
    match argument {
        Argument::Json("-object", properties) => Ok(Step::Object(properties.as_map().clone())),
        Argument::Json("-blockdev", properties) => Ok(Step::Block(properties.as_map().clone())),
        Argument::Json("-netdev", properties) => Ok(Step::Netdev(properties.as_map().clone())),
        Argument::Json(option, _) | Argument::Text(option, _) | Argument::Flag(option) => {
            Err(unsupported(option))
        }
    }
}

/// `chardev-add` of a channel's host side.
fn chardev_add(channel: &Channel, id: &str, here: &Surroundings) -> Result<Map<String, Value>, PlanError> {
    let CharSource { kind, log } = &channel.source;
    let unsupported = |what: &str| PlanError::Unsupported {
        device: id.to_owned(),
        what: format!("plugging in a channel {what}"),
    };
    if log.is_some() {
        return Err(unsupported("with a log"));
    }
    let backend = match kind {
        CharKind::Null => json!({ "type": "null", "data": {} }),
        CharKind::Pty { .. } => json!({ "type": "pty", "data": {} }),
        CharKind::File { path, append } => {
            let append = append.is_some_and(domain::model::Switch::is_on);
            json!({ "type": "file", "data": { "out": path, "append": append } })
        }
        CharKind::Unix { mode, path, reconnect: None } => {
            let path = match (path, mode) {
                (Some(path), _) => path.clone(),
                (None, SocketMode::Bind) => here.domain_dir.join(format!("{id}.sock")).display().to_string(),
                (None, SocketMode::Connect) => return Err(PlanError::Incomplete { device: id.to_owned() }),
            };
            let address = json!({ "type": "unix", "data": { "path": path } });
            match mode {
                SocketMode::Bind => {
                    json!({ "type": "socket", "data": { "addr": address, "server": true, "wait": false } })
                }
                SocketMode::Connect => {
                    json!({ "type": "socket", "data": { "addr": address, "server": false } })
                }
            }
        }
        CharKind::SpiceVmc => json!({ "type": "spicevmc", "data": { "type": "vdagent" } }),
        _ => return Err(unsupported("of this type")),
    };
    Ok(Map::from_iter([("id".to_owned(), format!("char{id}").into()), ("backend".to_owned(), backend)]))
}

#[cfg(test)]
mod tests {
    use domain::Document;

    use super::*;

    const DOMAIN: &str = "<domain type='qemu'><name>g</name><memory>65536</memory>
        <os><type machine='q35'>hvm</type></os><devices>
        <controller type='pci' index='0' model='pcie-root'/>
        <controller type='pci' index='1' model='pcie-root-port'/>
        <controller type='virtio-serial' index='0'><address type='pci' domain='0' bus='0' slot='3' function='0'/>
        </controller>
        <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/x/a.qcow2'/>
            <target dev='vdb' bus='virtio'/><alias name='virtio-disk1'/>
            <address type='pci' domain='0' bus='1' slot='0' function='0'/></disk>
        <interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/><alias name='net3'/>
            <address type='pci' domain='0' bus='1' slot='0' function='0'/></interface>
        <channel type='unix'><target type='virtio' name='org.test.0'/><alias name='channel0'/>
            <address type='virtio-serial' controller='0' bus='0' port='1'/></channel>
        <rng model='virtio'><backend model='random'>/dev/urandom</backend><alias name='rng0'/>
            <address type='pci' domain='0' bus='1' slot='0' function='0'/></rng>
        </devices></domain>";

    fn check(which: Which, expected: &[Value]) {
        let (domain, problems) = Domain::read(&Document::parse(DOMAIN).unwrap());
        assert_eq!(problems, []);
        let here = Surroundings { domain_dir: "/run/g".into(), ..Surroundings::default() };
        let steps = plug(&domain, which, &here).unwrap();
        let said: Vec<Value> = steps
            .into_iter()
            .map(|step| match step {
                Step::Object(map) => json!({ "object-add": map }),
                Step::Block(map) => json!({ "blockdev-add": map }),
                Step::Chardev(map) => json!({ "chardev-add": map }),
                Step::Netdev(map) => json!({ "netdev_add": map }),
                Step::Device(map) => json!({ "device_add": map }),
            })
            .collect();
        assert_eq!(said, expected);
    }

    #[test]
    fn a_disk_is_its_nodes_and_its_device() {
        check(
            Which::Disk { index: 0, node: 7 },
            &[
                json!({ "blockdev-add": { "driver": "file", "filename": "/x/a.qcow2",
                    "node-name": "libvirt-7-storage", "auto-read-only": true, "discard": "unmap" } }),
                json!({ "blockdev-add": { "node-name": "libvirt-7-format", "read-only": false,
                    "driver": "qcow2", "file": "libvirt-7-storage" } }),
                json!({ "device_add": { "driver": "virtio-blk-pci", "bus": "pci.1", "addr": "0x0",
                    "drive": "libvirt-7-format", "id": "virtio-disk1" } }),
            ],
        );
    }

    #[test]
    fn an_interface_is_its_network_and_its_card() {
        check(
            Which::Interface(0),
            &[
                json!({ "netdev_add": { "type": "user", "id": "hostnet3" } }),
                json!({ "device_add": { "driver": "virtio-net-pci", "netdev": "hostnet3", "id": "net3",
                    "mac": "52:54:00:00:00:01", "bus": "pci.1", "addr": "0x0" } }),
            ],
        );
    }

    #[test]
    fn a_channel_is_its_socket_and_its_port() {
        check(
            Which::Channel(0),
            &[
                json!({ "chardev-add": { "id": "charchannel0", "backend": { "type": "socket", "data": {
                    "addr": { "type": "unix", "data": { "path": "/run/g/channel0.sock" } },
                    "server": true, "wait": false } } } }),
                json!({ "device_add": { "driver": "virtserialport", "bus": "virtio-serial0.0", "nr": 1,
                    "chardev": "charchannel0", "id": "channel0", "name": "org.test.0" } }),
            ],
        );
    }

    #[test]
    fn a_random_number_generator_is_its_source_and_its_device() {
        check(
            Which::Rng(0),
            &[
                json!({ "object-add": { "qom-type": "rng-random", "id": "objrng0", "filename": "/dev/urandom" } }),
                json!({ "device_add": { "driver": "virtio-rng-pci", "rng": "objrng0", "id": "rng0",
                    "bus": "pci.1", "addr": "0x0" } }),
            ],
        );
    }
}
