//! Devices by which guest and host tell each other something: a panic, notes for a core dump, a rollback.

use domain::{
    Domain,
    model::{GenId, Switch, address::Address, devices::PanicModel},
};

use super::{Properties, address::Buses};
use crate::plan::{Device, DeviceKind, PlanError, Surroundings, ids};

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
