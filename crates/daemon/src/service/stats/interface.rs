//! Figures and addresses of network interfaces.

use std::collections::BTreeMap;
use std::fs;

use domain::model::interface::{Interface, Mac};
use rpc::error::RemoteError;
use rpc::remote::block::InterfaceStats;
use rpc::remote::common::{DomDevice, DomNumberFlags};
use rpc::remote::domain::{Interface as Addresses, IpAddr};
use rpc::xdr::List;

use crate::service::agent;
use crate::service::device::affect::{self, check, invalid};
use crate::service::{Failure, Service};

/// `virDomainInterfaceAddressesSource`.
const LEASE: u32 = 0;
const AGENT: u32 = 1;
const ARP: u32 = 2;

/// What the kernel counted of a network device, as the host sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counters {
    rx_bytes: u64,
    rx_packets: u64,
    rx_errs: u64,
    rx_drop: u64,
    tx_bytes: u64,
    tx_packets: u64,
    tx_errs: u64,
    tx_drop: u64,
}

impl Counters {
    /// As the guest sees it: what the host's end of a tap sends, the guest receives.
    pub(super) fn as_guest(self) -> Self {
        Self {
            rx_bytes: self.tx_bytes,
            rx_packets: self.tx_packets,
            rx_errs: self.tx_errs,
            rx_drop: self.tx_drop,
            tx_bytes: self.rx_bytes,
            tx_packets: self.rx_packets,
            tx_errs: self.rx_errs,
            tx_drop: self.rx_drop,
        }
    }

    pub(super) fn named(self) -> [(&'static str, u64); 8] {
        [
            ("rx.bytes", self.rx_bytes),
            ("rx.pkts", self.rx_packets),
            ("rx.errs", self.rx_errs),
            ("rx.drop", self.rx_drop),
            ("tx.bytes", self.tx_bytes),
            ("tx.pkts", self.tx_packets),
            ("tx.errs", self.tx_errs),
            ("tx.drop", self.tx_drop),
        ]
    }
}

/// All network devices of the host, by name.
pub(super) fn host_devices() -> BTreeMap<String, Counters> {
    parse_devices(&fs::read_to_string("/proc/net/dev").unwrap_or_default())
}

fn parse_devices(text: &str) -> BTreeMap<String, Counters> {
    let device = |line: &str| {
        let (name, rest) = line.rsplit_once(':')?;
        let numbers: Vec<u64> = rest.split_whitespace().map_while(|number| number.parse().ok()).collect();
        let at = |index: usize| numbers.get(index).copied();
        let counters = Counters {
            rx_bytes: at(0)?,
            rx_packets: at(1)?,
            rx_errs: at(2)?,
            rx_drop: at(3)?,
            tx_bytes: at(8)?,
            tx_packets: at(9)?,
            tx_errs: at(10)?,
            tx_drop: at(11)?,
        };
        Some((name.trim().to_owned(), counters))
    };
    text.lines().filter_map(device).collect()
}

/// The interface with a host device or an address of that name.
pub(crate) fn find<'d>(interfaces: &'d [Interface], name: &str) -> Option<&'d Interface> {
    let mac = name.parse::<Mac>().ok();
    interfaces.iter().find(|interface| {
        interface.target.as_deref() == Some(name) || (mac.is_some() && interface.mac == mac)
    })
}

/// `DOMAIN_INTERFACE_STATS`.
pub(crate) fn interface_stats(service: &Service, args: &DomDevice<'_>) -> Result<InterfaceStats, Failure> {
    let vm = service.domains.of(&args.dom)?;
    let live = affect::running(&vm)?.live();
    let name = &args.device;
    let found = find(&live.devices.interfaces, name)
        .ok_or_else(|| invalid(format!("'{name}' is not a known interface")))?;
    let device = found.target.as_ref().ok_or_else(|| {
        // Traffic of user-mode networking is counted nowhere.
        Box::new(RemoteError::internal("Interface name not provided"))
    })?;
    let counters = host_devices().get(device).copied().ok_or_else(|| {
        Box::new(RemoteError::internal(format!("/proc/net/dev: Interface '{device}' not found")))
    })?;
    let guest = counters.as_guest();
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    Ok(InterfaceStats {
        rx_bytes: signed(guest.rx_bytes),
        rx_packets: signed(guest.rx_packets),
        rx_errs: signed(guest.rx_errs),
        rx_drop: signed(guest.rx_drop),
        tx_bytes: signed(guest.tx_bytes),
        tx_packets: signed(guest.tx_packets),
        tx_errs: signed(guest.tx_errs),
        tx_drop: signed(guest.tx_drop),
    })
}

/// `DOMAIN_INTERFACE_ADDRESSES`.
pub(crate) async fn addresses(
    service: &Service,
    args: &DomNumberFlags<'_>,
) -> Result<List<Addresses<'static>, 2048>, Failure> {
    check(args.flags, 0, "virDomainInterfaceAddresses")?;
    let vm = service.domains.of(&args.dom)?;
    let guest = affect::running(&vm)?;
    match args.number {
        // The networks that sevirt has itself give no leases.
        LEASE => Ok(List::default()),
        ARP => {
            let table = fs::read_to_string("/proc/net/arp").unwrap_or_default();
            Ok(neighbours(&guest.live().devices.interfaces, &table).into())
        }
        AGENT => agent::interfaces(service, &vm).await,
        other => Err(invalid(format!("Unknown IP address data source {other}"))),
    }
}

/// The addresses that the host's kernel knows of the guest's interfaces.
fn neighbours(interfaces: &[Interface], table: &str) -> Vec<Addresses<'static>> {
    let known: Vec<(Mac, &str)> = table
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let address = fields.next()?;
            Some((fields.nth(2)?.parse().ok()?, address))
        })
        .collect();
    let of = |interface: &Interface| {
        let mac = interface.mac?;
        let name = interface.target.clone()?;
        let addrs: List<IpAddr<'_>, 2048> = known
            .iter()
            .filter(|(known, _)| *known == mac)
            .map(|(_, address)| IpAddr { kind: 0, addr: (*address).to_owned().into(), prefix: 0 })
            .collect();
        (!addrs.is_empty()).then(|| Addresses {
            name: name.into(),
            hwaddr: Some(mac.to_string().into()),
            addrs,
        })
    };
    interfaces.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guest_receives_what_the_host_sends() {
        let text = "Inter-|   Receive                 |  Transmit\n face |bytes    packets errs\n\
            vnet0: 100 1 2 3 0 0 0 0 200 4 5 6 0 0 0 0\n  lo:   7 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0\n";
        let all = parse_devices(text);
        assert_eq!(all.len(), 2);
        let guest = all["vnet0"].as_guest();
        assert_eq!((guest.rx_bytes, guest.rx_errs, guest.tx_bytes, guest.tx_drop), (200, 5, 100, 3));
    }
}
