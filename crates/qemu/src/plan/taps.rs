//! The tap devices that must be open before a domain is planned.

use std::{collections::BTreeMap, path::PathBuf};

use domain::{
    Domain,
    model::{
        Switch,
        interface::{BackendKind, Interface, InterfaceDriverName, InterfaceSource, Mac},
    },
};

use super::{Network, ids};

/// A tap device for one network interface of the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedTap {
    /// The interface's alias, by which [`super::InheritedFds::taps`] takes the descriptors.
    pub id: String,
    /// The host's name of the device; none: the kernel makes one up.
    pub name: Option<String>,
    /// The bridge that it joins.
    pub bridge: Option<String>,
    /// Whether the device is sevirt's to make and set up; otherwise it is there and stays as it is.
    pub managed: bool,
    /// The guest's address of the interface.
    pub mac: Option<Mac>,
    pub mtu: Option<u32>,
    /// How many queues it has, each with a descriptor of its own; at least 1.
    pub queues: u32,
    /// The guest's driver takes packets that are not yet cut up and summed (virtio).
    pub offloads: bool,
    pub vhost: Vhost,
    /// The device file that makes taps, where it is not `/dev/net/tun`.
    pub tun: Option<PathBuf>,
    /// The device file of the kernel's virtio-net, where it is not `/dev/vhost-net`.
    pub vhost_net: Option<PathBuf>,
}

/// Who moves the packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vhost {
    /// QEMU.
    Never,
    /// The kernel, where it can.
    Preferred,
    /// The kernel: the domain says so.
    Required,
}

/// The tap devices of a domain whose named networks are `networks`.
#[must_use]
pub fn wanted_taps(domain: &Domain, networks: &BTreeMap<String, Network>) -> Vec<WantedTap> {
    let interfaces = &domain.devices.interfaces;
    let wanted = interfaces.iter().enumerate().filter_map(|(position, interface)| {
        let bridge = bridge(interface, networks)?;
        Some(wanted(interface, ids::interface(interfaces, position), bridge))
    });
    wanted.collect()
}

/// `None`: the interface needs no tap; `Some(None)`: it needs one that joins no bridge.
fn bridge(interface: &Interface, networks: &BTreeMap<String, Network>) -> Option<Option<String>> {
    if interface.backend.kind == Some(BackendKind::Passt) {
        return None;
    }
    match &interface.source {
        InterfaceSource::Bridge { bridge } => Some(Some(bridge.clone())),
        InterfaceSource::Ethernet => Some(None),
        InterfaceSource::Network { network, .. } => match networks.get(network)? {
            Network::Bridge(bridge) => Some(Some(bridge.clone())),
            Network::User => None,
        },
        InterfaceSource::User { .. } | InterfaceSource::Other { .. } => None,
    }
}

fn wanted(interface: &Interface, id: String, bridge: Option<String>) -> WantedTap {
    let virtio = interface.model.as_ref().is_some_and(domain::model::interface::InterfaceModel::is_virtio);
    WantedTap {
        id,
        name: interface.chosen_target().map(str::to_owned),
        managed: bridge.is_some() || interface.target_managed != Some(Switch::Off),
        bridge,
        mac: interface.mac,
        mtu: interface.mtu,
        queues: interface.driver.queues.filter(|_| virtio).unwrap_or(1).max(1),
        offloads: virtio,
        vhost: match interface.driver.name {
            _ if !virtio => Vhost::Never,
            Some(InterfaceDriverName::Qemu) => Vhost::Never,
            Some(InterfaceDriverName::Vhost) => Vhost::Required,
            None => Vhost::Preferred,
        },
        tun: interface.backend.tap.as_ref().map(PathBuf::from),
        vhost_net: interface.backend.vhost.as_ref().map(PathBuf::from),
    }
}
