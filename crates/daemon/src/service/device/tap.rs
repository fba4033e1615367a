//! The tap devices of interfaces that are plugged into a running guest: opened here, handed to QEMU by their descriptors.

use domain::Domain;
use qemu::plan::{Surroundings, WantedTap, wanted_taps};
use qemu::qmp::device::{CloseFd, GetFd};
use rpc::error::RemoteError;

use super::affect::config_unsupported;
use crate::network::meanings_of;
use crate::service::{Failure, Service};
use crate::tap::{TapError, Taps};
use crate::vm::Guest;

/// Opens what the interface at `index` needs, if anything, and says in the domain what it is called. May block.
pub(super) fn open(
    service: &Service,
    domain: &mut Domain,
    index: usize,
    here: &mut Surroundings,
) -> Result<Taps, Failure> {
    let Some(interface) = domain.devices.interfaces.get(index) else { return Ok(Taps::default()) };
    here.networks = meanings_of(service, std::slice::from_ref(interface))?;
    let alias = interface.info.alias.clone();
    let mut wanted = wanted_taps(domain, &here.networks);
    wanted.retain(|tap: &WantedTap| Some(&tap.id) == alias.as_ref());
    let taps = Taps::open(&wanted).map_err(|error| refused(&error))?;
    here.fds.taps = taps.labels();
    taps.note(domain);
    Ok(taps)
}

fn refused(error: &TapError) -> Failure {
    match error {
        // In libvirt's words, which looks at the bridge's MTU first.
        TapError::Join { bridge, source, .. } if source.raw_os_error() == Some(libc::ENODEV) => Box::new(
            RemoteError::system_error(format!("Cannot get interface MTU on '{bridge}': No such device")),
        ),
        error => config_unsupported(crate::chain(error)),
    }
}

/// Gives QEMU the descriptors, and tells their names.
pub(super) async fn hand_over(guest: &Guest, taps: Taps) -> Result<Vec<String>, Failure> {
    let mut given = Vec::new();
    for (label, fd) in taps.into_labelled() {
        if let Err(error) = guest.ask_with(GetFd { id: label.clone() }, Some(fd)).await {
            take_back(guest, given).await;
            return Err(error.into());
        }
        given.push(label);
    }
    Ok(given)
}

/// Has QEMU close what no device took.
pub(super) async fn take_back(guest: &Guest, labels: Vec<String>) {
    for id in labels {
        // One that a device took before the rest failed is not there any more: it went with that.
        let _ = guest.ask(CloseFd { id }).await;
    }
}
