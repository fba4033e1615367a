//! The memory balloon.

use domain::{
    Domain,
    model::{Switch, devices::MemBalloon},
};

use super::address::{Buses, virtio_pci};
use crate::plan::{Device, DeviceKind, PlanError, ids};

/// The memory balloon.
pub(crate) fn balloon(domain: &Domain) -> Result<Option<Device>, PlanError> {
    let Some(balloon @ MemBalloon { model: Some(model), .. }) = &domain.devices.memballoon else {
        return Ok(None);
    };
    let id = ids::numbered("balloon", 0, &balloon.info);
    let frontend = virtio_pci("virtio-balloon", Some(*model), balloon.virtio)
        .with("id", id.as_str())
        .with_some("deflate-on-oom", balloon.autodeflate.map(Switch::is_on))
        .with_some("free-page-reporting", balloon.free_page_reporting.map(Switch::is_on))
        .and(Buses::new(domain).pci(&balloon.info, &id)?);
    Ok(Some(Device::plain(DeviceKind::MemBalloon, id, frontend)))
}
