//! What `<source network='…'/>` means when a guest starts: user-mode networking, or a bridge of the network daemon's.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::model::interface::{Interface, InterfaceSource};
use domain::{Document, Domain};
use qemu::plan::Network;
use rpc::error::Code;
use rpc::remote::network::NetFlags;
use rpc::remote::procedure::{NetworkGetXmlDesc, NetworkIsActive, NetworkLookupByName};

use super::{DEFAULT, fault, none_with};
use crate::forward::{Area, Peer};
use crate::service::{Failure, Service};

/// User-mode networking has been named in the log.
static SAID: AtomicBool = AtomicBool::new(false);

/// What each network means that the domain's interfaces name. It may wait for a network daemon, so it is called on a
/// thread that may, inside the runtime.
pub(crate) fn meanings(service: &Service, domain: &Domain) -> Result<BTreeMap<String, Network>, Failure> {
    meanings_of(service, &domain.devices.interfaces)
}

/// The same of some interfaces.
pub(crate) fn meanings_of(
    service: &Service,
    interfaces: &[Interface],
) -> Result<BTreeMap<String, Network>, Failure> {
    let mut meanings = BTreeMap::new();
    for interface in interfaces {
        if let InterfaceSource::Network { network, .. } = &interface.source {
            meanings.insert(network.clone(), Network::User);
        }
    }
    if meanings.is_empty() {
        return Ok(meanings);
    }
    let runtime = tokio::runtime::Handle::current();
    runtime.block_on(async {
        let peer = service.forward.connect(&service.paths, Area::Network, None).await?;
        for (name, meaning) in &mut meanings {
            *meaning = match &peer {
                Some(peer) => of_daemon(peer, name).await?,
                None => embedded(service, name)?,
            };
        }
        Ok(meanings)
    })
}

fn embedded(service: &Service, name: &str) -> Result<Network, Failure> {
    if name != DEFAULT {
        let words = "without libvirt's network daemon (virtnetworkd, or libvirtd) there is only `default`";
        return Err(none_with(&format!("name '{name}'; {words}")));
    }
    if !service.networks.state().active {
        return Err(inactive(name));
    }
    if !SAID.swap(true, Ordering::Relaxed) {
        tracing::info!(
            "interfaces of the network `default` have user-mode networking: no network daemon runs here"
        );
    }
    Ok(Network::User)
}

fn inactive(name: &str) -> Failure {
    fault(Code::OPERATION_INVALID, format!("network '{name}' is not active"))
}

async fn of_daemon(peer: &Peer, name: &str) -> Result<Network, Failure> {
    let unreadable = |error: rpc::client::CallError| {
        let why = crate::chain(&error);
        fault(Code::INTERNAL_ERROR, format!("the network daemon's answer about '{name}': {why}"))
    };
    let found = peer.ask::<NetworkLookupByName>(&name.into()).await?;
    let net = rpc::Client::reply::<NetworkLookupByName>(&found).map_err(unreadable)?;
    let active = peer.ask::<NetworkIsActive>(&net).await?;
    if rpc::Client::reply::<NetworkIsActive>(&active).map_err(unreadable)? == 0 {
        return Err(inactive(name));
    }
    let xml = peer.ask::<NetworkGetXmlDesc>(&NetFlags { net, flags: 0 }).await?;
    let xml = rpc::Client::reply::<NetworkGetXmlDesc>(&xml).map_err(unreadable)?;
    bridge(name, &xml).map(Network::Bridge)
}

/// The bridge of a network.
fn bridge(name: &str, xml: &str) -> Result<String, Failure> {
    let cannot = |why: &str| {
        let words = format!("an interface of the network '{name}': {why}");
        Err(fault(Code::CONFIG_UNSUPPORTED, words))
    };
    let Ok(document) = Document::parse(xml) else { return cannot("its document is not well-formed") };
    let root = document.root();
    let mode = root.child("forward").map(|forward| {
        forward.attribute("mode").map_or_else(|| "nat".to_owned(), |mode| mode.value().into_owned())
    });
    match mode.as_deref() {
        None | Some("nat" | "route" | "open" | "bridge") => {}
        Some(other) => {
            return cannot(&format!("its forward mode is '{other}', and guests join bridges only"));
        }
    }
    if root.child("virtualport").is_some() {
        return cannot("it wants a <virtualport>, and guests join bridges of the kernel only");
    }
    let bridge = root.child("bridge").and_then(|bridge| bridge.attribute("name"));
    let bridge = bridge.map(|bridge| bridge.value().into_owned()).filter(|bridge| !bridge.is_empty());
    bridge.map_or_else(|| cannot("it has no bridge (a macvtap network), which guests could join"), Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_is_found_or_the_reason_is_said() {
        let check = |xml: &str| bridge("n", xml).map_err(|error| error.to_string());
        let name = Ok("virbr0".to_owned());
        assert_eq!(check("<network><bridge name='virbr0' stp='on'/></network>"), name);
        assert_eq!(check("<network><forward mode='nat'/><bridge name='virbr0'/></network>"), name);
        assert_eq!(check("<network><forward/><bridge name='virbr0'/></network>"), name);
        assert_eq!(check("<network><forward mode='bridge'/><bridge name='virbr0'/></network>"), name);
        for (xml, words) in [
            ("<network", "not well-formed"),
            ("<network><forward mode='hostdev'/></network>", "'hostdev'"),
            ("<network><forward mode='bridge'><interface dev='eth0'/></forward></network>", "macvtap"),
            ("<network><bridge name=''/></network>", "no bridge"),
            (
                "<network><forward mode='bridge'/><bridge name='ovs'/><virtualport type='openvswitch'/></network>",
                "virtualport",
            ),
        ] {
            let said = check(xml).unwrap_err();
            assert!(said.contains(words), "{said}");
        }
    }
}
