//! Network interfaces: `-netdev` and `-device virtio-net-pci`.

use domain::{
    Domain,
    model::{
        Switch,
        interface::{BackendKind, Interface, InterfaceModel, InterfaceSource, IpFamily, TxMode},
    },
};

use super::{
    Argument, Properties,
    address::{Buses, virtio_pci},
};
use crate::plan::{Device, DeviceKind, Network, PlanError, Surroundings, TapFd, TapFds, ids};

/// All network interfaces.
pub(crate) fn interfaces(
    domain: &Domain,
    here: &Surroundings,
    boot_index: impl Fn(usize) -> Option<u32>,
) -> Result<Vec<Device>, PlanError> {
    let mut devices = Vec::new();
    for (position, interface) in domain.devices.interfaces.iter().enumerate() {
        let id = ids::interface(&domain.devices.interfaces, position);
        devices.push(self::interface(domain, interface, &id, boot_index(position), here)?);
    }
    Ok(devices)
}

/// One network interface.
pub(crate) fn interface(
    domain: &Domain,
    interface: &Interface,
    id: &str,
    boot_index: Option<u32>,
    here: &Surroundings,
) -> Result<Device, PlanError> {
    Ok(Device {
        id: id.to_owned(),
        kind: DeviceKind::Interface,
        backends: vec![Argument::Json("-netdev", netdev(interface, id, here)?)],
        frontend: Some(frontend(domain, interface, id, boot_index)?),
    })
}

/// Whether the interface is a user-mode one in these surroundings.
pub(crate) fn is_user_mode(interface: &Interface, here: &Surroundings) -> bool {
    match &interface.source {
        InterfaceSource::User { .. } => true,
        InterfaceSource::Network { network, .. } => {
            !matches!(here.networks.get(network), Some(Network::Bridge(_)))
        }
        _ => false,
    }
}

fn netdev(interface: &Interface, id: &str, here: &Surroundings) -> Result<Properties, PlanError> {
    let hostnet = format!("host{id}");
    if interface.backend.kind == Some(BackendKind::Passt) {
        let socket =
            here.passt_sockets.get(id).ok_or_else(|| PlanError::NoPasst { device: id.to_owned() })?;
        let socket = socket.display().to_string();
        return Ok(Properties::default()
            .with("type", "stream")
            .with("addr", serde_json::json!({ "type": "unix", "path": socket }))
            .with("server", false)
            .with("reconnect-ms", 5000)
            .with("id", hostnet));
    }
    if is_user_mode(interface, here) {
        return Ok(user_mode(interface).with("id", hostnet));
    }
    if let InterfaceSource::Other { kind } = &interface.source {
        return Err(PlanError::Unsupported {
            device: id.to_owned(),
            what: format!("an interface of type {kind}"),
        });
    }
    let fds = here.fds.taps.get(id).filter(|fds| !fds.tap.is_empty());
    let fds = fds.ok_or_else(|| PlanError::NoTap { device: id.to_owned() })?;
    Ok(tap(fds).with_some("sndbuf", interface.sndbuf).with("id", hostnet))
}

fn user_mode(interface: &Interface) -> Properties {
    let mut netdev = Properties::default().with("type", "user");
    for ip in &interface.ips {
        let prefix = |default: u32| ip.prefix.unwrap_or(default);
        let v6 = ip.family == Some(IpFamily::Ipv6) || (ip.family.is_none() && ip.address.contains(':'));
        netdev = if v6 {
            netdev.with("ipv6-prefix", ip.address.as_str()).with("ipv6-prefixlen", prefix(64))
        } else {
            netdev.with("net", format!("{}/{}", ip.address, prefix(24)))
        };
    }
    netdev
}

fn tap(fds: &TapFds) -> Properties {
    let list = |fds: &[TapFd]| fds.iter().map(ToString::to_string).collect::<Vec<_>>().join(":");
    let several = fds.tap.len() > 1;
    let netdev =
        Properties::default().with("type", "tap").with(if several { "fds" } else { "fd" }, list(&fds.tap));
    if fds.vhost.is_empty() {
        return netdev;
    }
    netdev
        .with("vhost", true)
        .with(if fds.vhost.len() > 1 { "vhostfds" } else { "vhostfd" }, list(&fds.vhost))
}

fn frontend(
    domain: &Domain,
    interface: &Interface,
    id: &str,
    boot_index: Option<u32>,
) -> Result<Properties, PlanError> {
    let incomplete = || PlanError::Incomplete { device: id.to_owned() };
    let device = match interface.model.as_ref().ok_or_else(incomplete)? {
        InterfaceModel::Virtio(model) => {
            let device = virtio_pci("virtio-net", Some(*model), interface.virtio);
            device.and(virtio_net(interface))
        }
        InterfaceModel::Other(driver) => Properties::device(driver.as_str()),
    };
    Ok(device
        .with("netdev", format!("host{id}"))
        .with("id", id)
        .with("mac", interface.mac.ok_or_else(incomplete)?.to_string())
        .with_some("bootindex", boot_index)
        .and(Buses::new(domain).pci_with_rom(&interface.info, id)?))
}

/// What only virtio-net has.
fn virtio_net(interface: &Interface) -> Properties {
    let driver = &interface.driver;
    let (host, guest) = (driver.host, driver.guest);
    let switch = |switch: Option<Switch>| switch.map(Switch::is_on);
    let transmit = driver.txmode.map(|mode| match mode {
        TxMode::Iothread => "bh",
        TxMode::Timer => "timer",
    });
    let properties = Properties::default()
        .with_some("tx", transmit)
        .with_some("ioeventfd", switch(driver.ioeventfd))
        .with_some("event_idx", switch(driver.event_idx))
        .with_some("csum", switch(host.csum))
        .with_some("gso", switch(host.gso))
        .with_some("host_tso4", switch(host.tso4))
        .with_some("host_tso6", switch(host.tso6))
        .with_some("host_ecn", switch(host.ecn))
        .with_some("host_ufo", switch(host.ufo))
        .with_some("mrg_rxbuf", switch(host.mrg_rxbuf))
        .with_some("guest_csum", switch(guest.csum))
        .with_some("guest_tso4", switch(guest.tso4))
        .with_some("guest_tso6", switch(guest.tso6))
        .with_some("guest_ecn", switch(guest.ecn))
        .with_some("guest_ufo", switch(guest.ufo));
    // One vector for each queue's two directions, one for configuration, one for control.
    let queues = driver.queues.filter(|queues| *queues > 1);
    properties
        .with_some("mq", queues.map(|_| true))
        .with_some("vectors", queues.map(|queues| queues.saturating_mul(2).saturating_add(2)))
        .with_some("rx_queue_size", driver.rx_queue_size)
        .with_some("tx_queue_size", driver.tx_queue_size)
        .with_some("host_mtu", interface.mtu)
        .with_some("rss", switch(driver.rss))
        .with_some("hash", switch(driver.rss_hash_report))
}
