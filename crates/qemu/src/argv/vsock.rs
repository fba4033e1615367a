//! The socket device between guest and host.

use domain::{
    Domain,
    model::{Switch, devices::Vsock},
};

use super::address::{Buses, virtio_pci};
use crate::plan::{Device, DeviceKind, PlanError, Surroundings, ids};

/// The socket device between guest and host.
pub(crate) fn vsock(domain: &Domain, here: &Surroundings) -> Result<Option<Device>, PlanError> {
    let Some(vsock) = &domain.devices.vsock else { return Ok(None) };
    let id = ids::numbered("vsock", 0, &vsock.info);
    let cid = cid(vsock, here).ok_or_else(|| PlanError::NoCid { device: id.clone() })?;
    let frontend = virtio_pci("vhost-vsock", vsock.model, vsock.virtio)
        .with("id", id.as_str())
        .with("guest-cid", cid)
        .with_some("vhostfd", here.fds.vsocks.get(&id).map(ToString::to_string))
        .and(Buses::new(domain).pci(&vsock.info, &id)?);
    Ok(Some(Device::plain(DeviceKind::Vsock, id, frontend)))
}

fn cid(vsock: &Vsock, here: &Surroundings) -> Option<u32> {
    match vsock.auto_cid {
        Some(Switch::On) => here.vsock_cid.or(vsock.cid),
        _ => vsock.cid,
    }
}
