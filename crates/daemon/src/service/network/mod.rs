//! Calls about networks, answered by the embedded one where no other daemon does; and about what this host has none of:
//! packet filters, node devices, secrets.

pub(super) mod absent;
pub(super) mod computer;

use std::sync::Arc;

use rpc::error::Code;
use rpc::remote::common::ListAll;
use rpc::remote::connect::ListAllNetworksReply;
use rpc::remote::network::{
    DhcpLeasesArgs, DhcpLeasesReply, GetMetadataArgs, ListAllPortsArgs, ListAllPortsReply, NetFlags,
    SetAutostartArgs,
};
use rpc::remote::object::Network;
use rpc::xdr::{List, Text, Uuid};

use super::{Failure, Service};
use crate::network::{DEFAULT, State, fault, none_with, only_default};

/// `virNetworkEventLifecycleType`.
const STARTED: i32 = 2;
const STOPPED: i32 = 3;

/// `virConnectListAllNetworksFlags`.
mod list {
    pub(super) const INACTIVE: u32 = 1;
    pub(super) const ACTIVE: u32 = 2;
    pub(super) const PERSISTENT: u32 = 4;
    pub(super) const TRANSIENT: u32 = 8;
    pub(super) const AUTOSTART: u32 = 16;
    pub(super) const NO_AUTOSTART: u32 = 32;
}

/// Refuses flags beyond `known`, by their bits.
fn flags(given: u32, known: u32) -> Result<(), Failure> {
    match given & !known {
        0 => Ok(()),
        unknown => Err(fault(Code::INVALID_ARG, format!("unsupported flags (0x{unknown:x})"))),
    }
}

fn object(state: State) -> Network<'static> {
    Network { name: DEFAULT.into(), uuid: state.uuid }
}

/// The network as it is. The first time it is read from disk, which is done on a thread for that.
async fn state(service: &Arc<Service>) -> Result<State, Failure> {
    changed(service, |service| Ok(service.networks.state())).await
}

async fn changed(
    service: &Arc<Service>,
    act: impl FnOnce(&Service) -> Result<State, Failure> + Send + 'static,
) -> Result<State, Failure> {
    let service = Arc::clone(service);
    let done = tokio::task::spawn_blocking(move || act(&service)).await;
    done.unwrap_or_else(|_| {
        Err(fault(Code::INTERNAL_ERROR, "the daemon failed at this call; its log says where"))
    })
}

/// The network that a call is about, if it is that.
async fn of(service: &Arc<Service>, net: &Network<'_>) -> Result<State, Failure> {
    let state = state(service).await?;
    if state.uuid == net.uuid {
        return Ok(state);
    }
    Err(none_with(&format!("uuid '{}' ({})", net.uuid, net.name)))
}

pub(crate) async fn count(service: &Arc<Service>, active: bool) -> Result<i32, Failure> {
    Ok(i32::from(state(service).await?.active == active))
}

pub(crate) async fn names(
    service: &Arc<Service>,
    active: bool,
    most: i32,
) -> Result<List<Text<'static>, 16384>, Failure> {
    let has = state(service).await?.active == active && most > 0;
    Ok(has.then(|| Text::from(DEFAULT)).into_iter().collect())
}

pub(crate) async fn list(
    service: &Arc<Service>,
    args: ListAll,
) -> Result<ListAllNetworksReply<'static>, Failure> {
    flags(args.flags, 0x3f)?;
    let state = state(service).await?;
    let found: Vec<_> = selected(state, args.flags).then(|| object(state)).into_iter().collect();
    let ret = u32::try_from(found.len()).unwrap_or(u32::MAX);
    let nets = if args.need_results == 0 { Vec::new() } else { found };
    Ok(ListAllNetworksReply { nets: nets.into(), ret })
}

fn selected(state: State, flags: u32) -> bool {
    let either =
        |yes: u32, no: u32, is: bool| flags & (yes | no) == 0 || flags & if is { yes } else { no } != 0;
    either(list::ACTIVE, list::INACTIVE, state.active)
        && either(list::PERSISTENT, list::TRANSIENT, true)
        && either(list::AUTOSTART, list::NO_AUTOSTART, state.autostart)
}

pub(crate) async fn by_name(service: &Arc<Service>, name: &str) -> Result<Network<'static>, Failure> {
    if name == DEFAULT { state(service).await.map(object) } else { Err(none_with(&format!("name '{name}'"))) }
}

pub(crate) async fn by_uuid(service: &Arc<Service>, uuid: Uuid) -> Result<Network<'static>, Failure> {
    let state = state(service).await?;
    if state.uuid == uuid { Ok(object(state)) } else { Err(none_with(&format!("uuid '{uuid}'"))) }
}

pub(crate) async fn xml(service: &Arc<Service>, args: &NetFlags<'_>) -> Result<Text<'static>, Failure> {
    // `VIR_NETWORK_XML_INACTIVE`
    flags(args.flags, 1)?;
    Ok(of(service, &args.net).await?.print().into())
}

pub(crate) async fn start(service: &Arc<Service>, net: &Network<'_>) -> Result<(), Failure> {
    of(service, net).await?;
    let state = changed(service, |service| service.networks.set_active(true)).await?;
    service.events.publish_network(&object(state), STARTED);
    Ok(())
}

pub(crate) async fn stop(service: &Arc<Service>, net: &Network<'_>) -> Result<(), Failure> {
    of(service, net).await?;
    let state = changed(service, |service| service.networks.set_active(false)).await?;
    service.events.publish_network(&object(state), STOPPED);
    Ok(())
}

pub(crate) async fn is_active(service: &Arc<Service>, net: &Network<'_>) -> Result<i32, Failure> {
    Ok(i32::from(of(service, net).await?.active))
}

pub(crate) async fn is_persistent(service: &Arc<Service>, net: &Network<'_>) -> Result<i32, Failure> {
    of(service, net).await.map(|_| 1)
}

pub(crate) async fn autostart(service: &Arc<Service>, net: &Network<'_>) -> Result<i32, Failure> {
    Ok(i32::from(of(service, net).await?.autostart))
}

pub(crate) async fn set_autostart(
    service: &Arc<Service>,
    args: &SetAutostartArgs<'_>,
) -> Result<(), Failure> {
    of(service, &args.net).await?;
    let on = args.autostart != 0;
    changed(service, move |service| service.networks.set_autostart(on)).await.map(|_| ())
}

/// It has no bridge; clients ask and go on.
pub(crate) async fn bridge(service: &Arc<Service>, net: &Network<'_>) -> Result<Text<'static>, Failure> {
    of(service, net).await?;
    Err(fault(Code::INTERNAL_ERROR, format!("network '{DEFAULT}' does not have a bridge name.")))
}

/// Addresses are given inside QEMU, one guest a network: nobody else knows of them.
pub(crate) async fn leases(
    service: &Arc<Service>,
    args: &DhcpLeasesArgs<'_>,
) -> Result<DhcpLeasesReply<'static>, Failure> {
    flags(args.flags, 0)?;
    of(service, &args.net).await?;
    Ok(DhcpLeasesReply { leases: List::default(), ret: 0 })
}

/// Guests join nothing that could be listed.
pub(crate) async fn ports(
    service: &Arc<Service>,
    args: &ListAllPortsArgs<'_>,
) -> Result<ListAllPortsReply<'static>, Failure> {
    flags(args.flags, 0)?;
    of(service, &args.net).await?;
    Ok(ListAllPortsReply { ports: List::default(), ret: 0 })
}

pub(crate) async fn metadata(
    service: &Arc<Service>,
    args: &GetMetadataArgs<'_>,
) -> Result<Text<'static>, Failure> {
    of(service, &args.net).await?;
    Err(fault(Code::NO_NETWORK_METADATA, "Requested metadata element is not present"))
}

/// Networks of the user's own.
pub(crate) fn refused(what: &str) -> Failure {
    only_default(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_of_what_was_asked_for() {
        let check = |active: bool, autostart: bool, flags: u32| {
            selected(State { uuid: Uuid([0; 16]), active, autostart }, flags)
        };
        assert!(check(true, true, 0) && check(false, false, 0));
        assert!(check(true, true, list::ACTIVE) && !check(true, true, list::INACTIVE));
        assert!(!check(true, true, list::TRANSIENT) && check(true, true, list::PERSISTENT));
        assert!(check(true, false, list::NO_AUTOSTART) && !check(true, false, list::AUTOSTART));
    }
}
