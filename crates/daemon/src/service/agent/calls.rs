//! Calls that a guest's agent answers.

use std::sync::Arc;

use base64::Engine as _;
use domain::model::address::{Address, DeviceInfo};
use domain::model::controller::Controller;
use rpc::error::{Code, Origin, RemoteError};
use rpc::remote::block::{FsInfo, FsInfoReply, FsfreezeArgs, FstrimArgs};
use rpc::remote::common::DomFlags;
use rpc::remote::domain::{AgentTimeoutArgs, Interface, IpAddr, SetTimeArgs, SetUserPasswordArgs, Time};
use rpc::xdr::{List, Text};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Patience, ask, raw};
use crate::locked;
use crate::service::device::affect::{check, internal, invalid};
use crate::service::domains::Vm;
use crate::service::{Failure, Service};

/// `virDomainGetHostnameFlags`.
const HOSTNAME_LEASE: u32 = 1;
const HOSTNAME_AGENT: u32 = 2;

/// `DOMAIN_GET_HOSTNAME`: by the agent, since sevirt's own networks give no leases.
pub(crate) async fn hostname(service: &Service, args: &DomFlags<'_>) -> Result<Text<'static>, Failure> {
    check(args.flags, HOSTNAME_LEASE | HOSTNAME_AGENT, "virDomainGetHostname")?;
    let vm = service.domains.of(&args.dom)?;
    vm.must_run()?;
    if args.flags == HOSTNAME_LEASE {
        let detail = format!("no hostname found for domain {}", vm.name());
        return Err(Box::new(RemoteError::new(Code::NO_HOSTNAME, Origin::QEMU, detail)));
    }
    let told = ask(service, &vm, "guest-get-host-name", None).await?;
    text(&told, "host-name").map(Text::from).ok_or_else(|| malformed("guest-get-host-name"))
}

/// A string of the guest's, without what XDR or a terminal would not take.
pub(super) fn text(value: &Value, key: &str) -> Option<String> {
    let text = value.get(key)?.as_str()?;
    Some(text.chars().filter(|c| !c.is_control()).take(4096).collect())
}

pub(super) fn malformed(command: &str) -> Failure {
    internal(format!("the guest agent's reply to '{command}' is not what it should be"))
}

/// `DOMAIN_GET_TIME`.
pub(crate) async fn get_time(service: &Service, args: &DomFlags<'_>) -> Result<Time, Failure> {
    check(args.flags, 0, "virDomainGetTime")?;
    let vm = service.domains.of(&args.dom)?;
    let told = ask(service, &vm, "guest-get-time", None).await?;
    let nanoseconds = told.as_i64().ok_or_else(|| malformed("guest-get-time"))?;
    let (seconds, rest) = (nanoseconds.div_euclid(1_000_000_000), nanoseconds.rem_euclid(1_000_000_000));
    Ok(Time { seconds, nseconds: u32::try_from(rest).unwrap_or_default() })
}

/// `VIR_DOMAIN_TIME_SYNC`: from the guest's own clock chip.
const TIME_SYNC: u32 = 1;

/// `DOMAIN_SET_TIME`.
pub(crate) async fn set_time(service: &Service, args: &SetTimeArgs<'_>) -> Result<(), Failure> {
    check(args.flags, TIME_SYNC, "virDomainSetTime")?;
    let vm = service.domains.of(&args.dom)?;
    let arguments = if args.flags & TIME_SYNC != 0 {
        None
    } else {
        let whole = args.seconds.checked_mul(1_000_000_000);
        let time = whole.and_then(|time| time.checked_add(args.nseconds.into()));
        let time =
            time.ok_or_else(|| invalid(format!("Time '{}' is too big for guest agent", args.seconds)))?;
        Some(json!({ "time": time }))
    };
    ask(service, &vm, "guest-set-time", arguments).await.map(|_| ())
}

/// `DOMAIN_FSFREEZE`: how many file systems stand still now.
pub(crate) async fn freeze(service: &Service, args: &FsfreezeArgs<'_>) -> Result<i32, Failure> {
    check(args.flags, 0, "virDomainFSFreeze")?;
    let vm = service.domains.of(&args.dom)?;
    let points: Vec<&str> = args.mountpoints.iter().map(AsRef::as_ref).collect();
    let told = if points.is_empty() {
        ask(service, &vm, "guest-fsfreeze-freeze", None).await?
    } else {
        ask(service, &vm, "guest-fsfreeze-freeze-list", Some(json!({ "mountpoints": points }))).await?
    };
    count(&told, "guest-fsfreeze-freeze")
}

/// `DOMAIN_FSTHAW`.
pub(crate) async fn thaw(service: &Service, args: &FsfreezeArgs<'_>) -> Result<i32, Failure> {
    check(args.flags, 0, "virDomainFSThaw")?;
    let vm = service.domains.of(&args.dom)?;
    if !args.mountpoints.is_empty() {
        return Err(invalid("specifying mountpoints is not supported"));
    }
    count(&ask(service, &vm, "guest-fsfreeze-thaw", None).await?, "guest-fsfreeze-thaw")
}

fn count(value: &Value, command: &str) -> Result<i32, Failure> {
    let count = value.as_i64().and_then(|count| i32::try_from(count).ok()).filter(|count| *count >= 0);
    count.ok_or_else(|| malformed(command))
}

/// `DOMAIN_FSTRIM`.
pub(crate) async fn trim(service: &Service, args: &FstrimArgs<'_>) -> Result<(), Failure> {
    check(args.flags, 0, "virDomainFSTrim")?;
    let vm = service.domains.of(&args.dom)?;
    vm.must_run()?;
    if args.mount_point.is_some() {
        return Err(invalid("specifying mount point is not supported for now"));
    }
    ask(service, &vm, "guest-fstrim", Some(json!({ "minimum": args.minimum }))).await.map(|_| ())
}

/// `VIR_DOMAIN_PASSWORD_ENCRYPTED`: it is a hash already.
const PASSWORD_ENCRYPTED: u32 = 1;

/// `DOMAIN_SET_USER_PASSWORD`.
pub(crate) async fn set_user_password(
    service: &Service,
    args: &SetUserPasswordArgs<'_>,
) -> Result<(), Failure> {
    check(args.flags, PASSWORD_ENCRYPTED, "virDomainSetUserPassword")?;
    let vm = service.domains.of(&args.dom)?;
    let user = args.user.as_deref().ok_or_else(|| invalid("no user is named"))?;
    let password = args.password.as_ref().map(|password| password.0.as_bytes()).unwrap_or_default();
    let engine = base64::engine::general_purpose::STANDARD;
    let encoded = Zeroizing::new(engine.encode(password));
    let crypted = args.flags & PASSWORD_ENCRYPTED != 0;
    let arguments = json!({ "username": user, "password": encoded.as_str(), "crypted": crypted });
    ask(service, &vm, "guest-set-user-password", Some(arguments)).await.map(|_| ())
}

/// `DOMAIN_GET_FSINFO`.
pub(crate) async fn fs_info(service: &Service, args: &DomFlags<'_>) -> Result<FsInfoReply<'static>, Failure> {
    check(args.flags, 0, "virDomainGetFSInfo")?;
    let vm = service.domains.of(&args.dom)?;
    let told = ask(service, &vm, "guest-get-fsinfo", None).await?;
    let all = told.as_array().ok_or_else(|| malformed("guest-get-fsinfo"))?;
    let live = vm.running()?.live();
    let info: Vec<FsInfo<'static>> = all
        .iter()
        .take(256)
        .filter_map(|system| {
            let disks = system.get("disk").and_then(Value::as_array);
            let aliases = disks.into_iter().flatten().take(256);
            Some(FsInfo {
                mountpoint: text(system, "mountpoint")?.into(),
                name: text(system, "name")?.into(),
                fstype: text(system, "type")?.into(),
                dev_aliases: aliases.filter_map(|disk| target(&live, disk)).map(Text::from).collect(),
            })
        })
        .collect();
    let ret = u32::try_from(info.len()).unwrap_or(u32::MAX);
    Ok(FsInfoReply { info: info.into(), ret })
}

/// The target of the disk that the guest means: by its own place on a PCI bus, or by its controller's and by its own
/// behind that. A guest numbers buses as its firmware does, which for QEMU's is the domain's order.
pub(super) fn target(live: &domain::Domain, disk: &Value) -> Option<String> {
    let number = |value: Option<&Value>| value?.as_u64().and_then(|number| u32::try_from(number).ok());
    let place = disk.get("pci-controller")?;
    let place = ["domain", "bus", "slot", "function"].map(|key| number(place.get(key)));
    let behind = ["bus", "target", "unit"].map(|key| number(disk.get(key)));
    let at = |info: &DeviceInfo| {
        info.pci().is_some_and(|pci| {
            [pci.domain, pci.bus.into(), pci.slot.into(), pci.function.into()].map(Some) == place
        })
    };
    let devices = &live.devices;
    let found = devices.disks.iter().find(|candidate| match &candidate.info.address {
        Some(Address::Pci(_)) => at(&candidate.info),
        Some(Address::Drive(drive)) => {
            let bus = candidate.target.bus.map(|bus| bus.to_string());
            let is_its = |one: &&Controller| {
                one.index == Some(drive.controller) && Some(one.kind.name().to_string()) == bus
            };
            let mut its = devices.controllers.iter().filter(is_its);
            [drive.bus, drive.target, drive.unit].map(Some) == behind && its.any(|one| at(&one.info))
        }
        _ => false,
    });
    found.map(|disk| disk.target.dev.clone())
}

/// `DOMAIN_INTERFACE_ADDRESSES` by the agent.
pub(crate) async fn interfaces(
    service: &Service,
    vm: &Arc<Vm>,
) -> Result<List<Interface<'static>, 2048>, Failure> {
    let told = ask(service, vm, "guest-network-get-interfaces", None).await?;
    let all = told.as_array().ok_or_else(|| malformed("guest-network-get-interfaces"))?;
    Ok(all.iter().take(2048).filter_map(interface).collect())
}

fn interface(told: &Value) -> Option<Interface<'static>> {
    let addresses = told.get("ip-addresses").and_then(Value::as_array);
    let addrs = addresses.into_iter().flatten().take(2048).filter_map(|address| {
        Some(IpAddr {
            kind: match address.get("ip-address-type")?.as_str()? {
                "ipv4" => 0,
                "ipv6" => 1,
                _ => return None,
            },
            addr: text(address, "ip-address")?.into(),
            prefix: address.get("prefix")?.as_u64().and_then(|prefix| u32::try_from(prefix).ok())?,
        })
    });
    Some(Interface {
        name: text(told, "name")?.into(),
        hwaddr: text(told, "hardware-address").map(Text::from),
        addrs: addrs.collect(),
    })
}

/// `DOMAIN_AGENT_SET_RESPONSE_TIMEOUT`.
pub(crate) fn set_response_timeout(service: &Service, args: &AgentTimeoutArgs<'_>) -> Result<i32, Failure> {
    check(args.flags, 0, "virDomainAgentSetResponseTimeout")?;
    let vm = service.domains.of(&args.dom)?;
    let patience = Patience::of(args.timeout).ok_or_else(|| {
        invalid(format!("guest agent timeout '{}' is less than the minimum '-2'", args.timeout))
    })?;
    *locked(&service.agents.slot(vm.uuid).patience) = patience;
    Ok(0)
}

/// How a guest is asked to end by its agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shutdown {
    PowerDown,
    Reboot,
}

/// Has the agent shut its guest down, or reboot it. The agent does not answer where it succeeds.
pub(crate) async fn shutdown(service: &Service, vm: &Vm, how: Shutdown) -> Result<(), Failure> {
    let mode = match how {
        Shutdown::PowerDown => "powerdown",
        Shutdown::Reboot => "reboot",
    };
    let command = json!({ "execute": "guest-shutdown", "arguments": { "mode": mode } });
    raw(service, vm, &command, Some(Patience::None)).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guests_disk_is_found_by_its_place() {
        let text = "<domain type='kvm'><name>a</name><memory>1</memory><os><type machine='q35'>hvm</type></os><devices>
            <controller type='scsi' index='0' model='virtio-scsi'>
              <address type='pci' domain='0' bus='3' slot='0' function='0'/></controller>
            <disk type='file'><source file='/a'/><target dev='vda' bus='virtio'/>
              <address type='pci' domain='0' bus='1' slot='0' function='0'/></disk>
            <disk type='file'><source file='/b'/><target dev='vdb' bus='virtio'/>
              <address type='pci' domain='0' bus='2' slot='0' function='0'/></disk>
            <disk type='file'><source file='/c'/><target dev='sda' bus='scsi'/>
              <address type='drive' controller='0' bus='0' target='0' unit='1'/></disk></devices></domain>";
        let (live, _) = domain::Domain::read(&domain::Document::parse(text).unwrap());
        let found = |bus: u32, unit: u32| {
            let place = json!({"domain": 0, "bus": bus, "slot": 0, "function": 0});
            target(&live, &json!({"pci-controller": place, "bus": 0, "target": 0, "unit": unit}))
        };
        assert_eq!(found(1, 0).as_deref(), Some("vda"));
        assert_eq!(found(2, 0).as_deref(), Some("vdb"));
        assert_eq!(found(3, 1).as_deref(), Some("sda"));
        assert_eq!((found(3, 0), found(4, 1)), (None, None));
    }

    #[test]
    fn addresses_of_a_guest_are_read() {
        let told = json!({"name": "eth0", "hardware-address": "52:54:00:00:00:01", "ip-addresses": [
            {"ip-address-type": "ipv4", "ip-address": "10.0.2.15", "prefix": 24},
            {"ip-address-type": "odd", "ip-address": "x", "prefix": 24},
            {"ip-address-type": "ipv6", "ip-address": "fe80::1\u{1b}[2J", "prefix": 64}]});
        let found = interface(&told).unwrap();
        assert_eq!(found.addrs.len(), 2);
        assert_eq!((found.addrs[1].addr.as_ref(), found.addrs[1].kind), ("fe80::1[2J", 1));
        assert!(interface(&json!({"name": 3})).is_none());
    }
}
