//! Devices of few options: balloon, random numbers, sockets to the host, IOMMU, watchdog, panic notifier, and the
//! like.

use domain::{
    Domain,
    model::{
        GenId, Switch,
        address::Address,
        devices::{
            Iommu, IommuModel, MemBalloon, PanicModel, Rng, RngBackend, Vsock, WatchdogAction, WatchdogModel,
        },
    },
};

use super::{
    Argument, Properties,
    address::{Buses, virtio_pci},
    chardev::{FdSets, chardev},
};
use crate::plan::{Device, DeviceKind, PlanError, Surroundings, ids};

/// The source of random numbers for a device that names none.
pub(crate) const DEFAULT_RNG: &str = "/dev/urandom";

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

/// Sources of random numbers.
pub(crate) fn rngs(
    domain: &Domain,
    here: &Surroundings,
    sets: &mut FdSets,
) -> Result<Vec<Device>, PlanError> {
    let rngs = domain.devices.rngs.iter().enumerate();
    rngs.map(|(index, rng)| self::rng(domain, rng, &ids::numbered("rng", index, &rng.info), here, sets))
        .collect()
}

fn rng(
    domain: &Domain,
    rng: &Rng,
    id: &str,
    here: &Surroundings,
    sets: &mut FdSets,
) -> Result<Device, PlanError> {
    let object_id = format!("obj{id}");
    let mut backends = Vec::new();
    let object = match &rng.backend {
        None => Properties::object("rng-random", object_id.as_str()).with("filename", DEFAULT_RNG),
        Some(RngBackend::Random { path }) => Properties::object("rng-random", object_id.as_str())
            .with("filename", path.as_deref().unwrap_or("/dev/random")),
        Some(RngBackend::Builtin) => Properties::object("rng-builtin", object_id.as_str()),
        Some(RngBackend::Egd(source)) => {
            backends = chardev(source, id, here, sets)?;
            Properties::object("rng-egd", object_id.as_str()).with("chardev", format!("char{id}"))
        }
    };
    backends.push(Argument::object(object));
    let frontend = virtio_pci("virtio-rng", Some(rng.model), rng.virtio)
        .with("rng", object_id)
        .with("id", id)
        .with_some("max-bytes", rng.rate.map(|rate| rate.bytes))
        .with_some("period", rng.rate.map(|rate| rate.period.unwrap_or(1000)))
        .and(Buses::new(domain).pci(&rng.info, id)?);
    Ok(Device { id: id.to_owned(), kind: DeviceKind::Rng, backends, frontend: Some(frontend) })
}

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

/// Watchdogs, and what QEMU does when one of them bites.
pub(crate) fn watchdogs(domain: &Domain) -> Result<Vec<Device>, PlanError> {
    let mut devices = Vec::new();
    for (index, watchdog) in domain.devices.watchdogs.iter().enumerate() {
        let id = ids::numbered("watchdog", index, &watchdog.info);
        devices.push(match watchdog.model {
            WatchdogModel::I6300esb => {
                let frontend = Properties::device("i6300esb").with("id", id.as_str());
                let place = Buses::new(domain).pci(&watchdog.info, &id)?;
                Device::plain(DeviceKind::Watchdog, id, frontend.and(place))
            }
            WatchdogModel::Ib700 => {
                let frontend = Properties::device("ib700").with("id", id.as_str());
                Device::plain(DeviceKind::Watchdog, id, frontend)
            }
            // Part of Q35's south bridge: it is let loose, not added.
            WatchdogModel::Itco => {
                let unleash = Argument::Text("-global", "ICH9-LPC.noreboot=off".to_owned());
                Device::host_side(DeviceKind::Watchdog, id, vec![unleash])
            }
            WatchdogModel::Diag288 => {
                return Err(PlanError::Unsupported {
                    device: id,
                    what: "a watchdog of another architecture".into(),
                });
            }
        });
    }
    devices.extend(domain.devices.watchdogs.first().map(|watchdog| {
        let action = match watchdog.action {
            // The supervisor writes the dump once QEMU has stopped the guest.
            WatchdogAction::Dump => "pause".to_owned(),
            action => action.to_string(),
        };
        let action = Argument::Text("-watchdog-action", action);
        Device::host_side(DeviceKind::Watchdog, "watchdog-action".to_owned(), vec![action])
    }));
    Ok(devices)
}

/// Notifiers by which a guest tells that it has panicked. Hyper-V's is a CPU feature.
pub(crate) fn panics(domain: &Domain) -> Result<Vec<Device>, PlanError> {
    let mut devices = Vec::new();
    for (index, panic) in domain.devices.panics.iter().enumerate() {
        let id = ids::numbered("panic", index, &panic.info);
        let frontend = match panic.model {
            Some(PanicModel::Hyperv) => continue,
            Some(PanicModel::Pvpanic) => {
                Properties::device("pvpanic-pci").and(Buses::new(domain).pci(&panic.info, &id)?)
            }
            Some(PanicModel::Isa) | None => {
                let iobase = match panic.info.address {
                    Some(Address::Isa { iobase, .. }) => iobase,
                    _ => None,
                };
                Properties::device("pvpanic").with_some("ioport", iobase)
            }
        };
        devices.push(Device::plain(DeviceKind::Panic, id, frontend));
    }
    Ok(devices)
}

/// The device through which a guest gives notes for its core dump.
pub(crate) fn vm_core_info(domain: &Domain) -> Option<Device> {
    domain.features.vmcoreinfo.is_some_and(Switch::is_on).then(|| {
        Device::plain(DeviceKind::VmCoreInfo, "vmcoreinfo".to_owned(), Properties::device("vmcoreinfo"))
    })
}

/// The device that tells a guest that it has been cloned or rolled back.
pub(crate) fn generation_id(domain: &Domain, here: &Surroundings) -> Result<Option<Device>, PlanError> {
    let guid = match domain.genid {
        None => return Ok(None),
        Some(GenId::Fixed(guid)) => guid.to_string(),
        Some(GenId::Generate) => here.generation_id.clone().ok_or(PlanError::NoGenerationId)?,
    };
    let id = "vmgenid0";
    let frontend = Properties::device("vmgenid").with("guid", guid).with("id", id);
    Ok(Some(Device::plain(DeviceKind::GenerationId, id.to_owned(), frontend)))
}
