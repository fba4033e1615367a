//! IOMMUs.

use domain::{
    Domain,
    model::{
        Switch,
        devices::{Iommu, IommuModel},
    },
};

use super::{Properties, address::Buses};
use crate::plan::{Device, DeviceKind, PlanError, ids};

/// The IOMMU.
pub(crate) fn iommu(domain: &Domain) -> Result<Option<Device>, PlanError> {
    let Some(iommu) = &domain.devices.iommu else { return Ok(None) };
    let id = ids::numbered("iommu", 0, &iommu.info);
    let frontend = match iommu.model {
        IommuModel::Intel => intel_iommu(iommu, &id),
        IommuModel::Virtio => Properties::device("virtio-iommu")
            .with("id", id.as_str())
            .and(Buses::new(domain).pci(&iommu.info, &id)?),
    };
    Ok(Some(Device::plain(DeviceKind::Iommu, id, frontend)))
}

fn intel_iommu(iommu: &Iommu, id: &str) -> Properties {
    Properties::device("intel-iommu")
        .with("id", id)
        .with_some("intremap", iommu.intremap.map(Switch::on_off))
        .with_some("caching-mode", iommu.caching_mode.map(Switch::is_on))
        .with_some("eim", iommu.eim.map(Switch::on_off))
        .with_some("device-iotlb", iommu.iotlb.map(Switch::is_on))
        .with_some("aw-bits", iommu.aw_bits)
        .with_some("dma-translation", iommu.dma_translation.map(Switch::is_on))
}
