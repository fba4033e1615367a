//! Serial ports, channels and consoles: a character device, and the port that the guest sees.

use std::net::Ipv4Addr;

use domain::{
    Domain,
    model::{
        address::Address,
        chardev::{Channel, ChannelTarget, CharKind, Console, ConsoleTarget, Serial, SerialTarget},
    },
};

use super::{
    Argument, Properties,
    address::Buses,
    chardev::{FdSets, chardev},
};
use crate::plan::{Device, DeviceKind, PlanError, Surroundings, ids};

/// Serial ports.
pub(crate) fn serials(
    domain: &Domain,
    here: &Surroundings,
    sets: &mut FdSets,
) -> Result<Vec<Device>, PlanError> {
    let serials = domain.devices.serials.iter().enumerate();
    serials.map(|(index, port)| serial(domain, index, port, here, sets)).collect()
}

fn serial(
    domain: &Domain,
    index: usize,
    port: &Serial,
    here: &Surroundings,
    sets: &mut FdSets,
) -> Result<Device, PlanError> {
    let id = ids::numbered("serial", index, &port.info);
    let backends = chardev(&port.source, &id, here, sets)?;
    let target = port.target.ok_or_else(|| PlanError::Incomplete { device: id.clone() })?;
    let device = |driver: &str| {
        Properties::device(driver).with("chardev", format!("char{id}")).with("id", id.as_str())
    };
    let buses = Buses::new(domain);
    let frontend = match target {
        SerialTarget::IsaSerial => device("isa-serial").with_some("index", port.port),
        SerialTarget::IsaDebug => {
            let iobase = match port.info.address {
                Some(Address::Isa { iobase, .. }) => iobase,
                _ => None,
            };
            device("isa-debugcon").with_some("iobase", iobase)
        }
        SerialTarget::UsbSerial => device("usb-serial").and(buses.usb(&port.info, &id)?),
        SerialTarget::PciSerial => device("pci-serial").and(buses.pci(&port.info, &id)?),
    };
    Ok(Device { id, kind: DeviceKind::Serial, backends, frontend: Some(frontend) })
}

/// Channels: ports of a virtio-serial controller, or addresses inside a user-mode network.
pub(crate) fn channels(
    domain: &Domain,
    here: &Surroundings,
    sets: &mut FdSets,
) -> Result<Vec<Device>, PlanError> {
    let channels = domain.devices.channels.iter().enumerate();
    channels.map(|(index, port)| channel(domain, index, port, here, sets)).collect()
}

/// One channel.
pub(crate) fn channel(
    domain: &Domain,
    index: usize,
    port: &Channel,
    here: &Surroundings,
    sets: &mut FdSets,
) -> Result<Device, PlanError> {
    let id = ids::numbered("channel", index, &port.info);
    let mut backends = chardev(&port.source, &id, here, sets)?;
    let frontend = match &port.target {
        ChannelTarget::Guestfwd { address, port } => {
            // What follows the address can name a command to run: nothing but an address may stand here.
            let address: Ipv4Addr = address
                .parse()
                .map_err(|_| PlanError::BadForward { device: id.clone(), address: address.clone() })?;
            let forward = format!("tcp:{address}:{port}-chardev:char{id}");
            let netdev = Properties::default()
                .with("type", "user")
                .with("guestfwd", serde_json::json!([{ "str": forward }]))
                .with("id", id.as_str());
            backends.push(Argument::Json("-netdev", netdev));
            None
        }
        ChannelTarget::Virtio { name, .. } => {
            // Spice finds its agent by this name.
            let agent = matches!(port.source.kind, CharKind::SpiceVmc | CharKind::QemuVdagent { .. });
            let name = name.as_deref().or_else(|| agent.then_some("com.redhat.spice.0"));
            let frontend = Properties::device("virtserialport")
                .and(Buses::new(domain).virtio_serial(&port.info, &id)?)
                .with("chardev", format!("char{id}"))
                .with("id", id.as_str())
                .with_some("name", name);
            Some(frontend)
        }
    };
    Ok(Device { id, kind: DeviceKind::Channel, backends, frontend })
}

/// Consoles beyond the first serial port's.
pub(crate) fn consoles(
    domain: &Domain,
    here: &Surroundings,
    sets: &mut FdSets,
) -> Result<Vec<Device>, PlanError> {
    let mut devices = Vec::new();
    for (index, console) in domain.devices.consoles.iter().enumerate() {
        // A serial console is another name of a serial port.
        if console.target == ConsoleTarget::Virtio {
            devices.push(virtio_console(domain, index, console, here, sets)?);
        }
    }
    Ok(devices)
}

fn virtio_console(
    domain: &Domain,
    index: usize,
    console: &Console,
    here: &Surroundings,
    sets: &mut FdSets,
) -> Result<Device, PlanError> {
    let id = ids::numbered("console", index, &console.info);
    let backends = chardev(&console.source, &id, here, sets)?;
    let place = match console.info.address {
        Some(Address::VirtioSerial(_)) => Buses::new(domain).virtio_serial(&console.info, &id)?,
        // QEMU finds a port itself.
        _ => Properties::default(),
    };
    let frontend = Properties::device("virtconsole")
        .and(place)
        .with("chardev", format!("char{id}"))
        .with("id", id.as_str());
    Ok(Device { id, kind: DeviceKind::Console, backends, frontend: Some(frontend) })
}
