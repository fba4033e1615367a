//! Sources of random numbers: `-object rng-random` and `-device virtio-rng-pci`.

use domain::{
    Domain,
    model::devices::{Rng, RngBackend},
};

use super::{
    Argument, Properties,
    address::{Buses, virtio_pci},
    chardev::{FdSets, chardev},
};
use crate::plan::{Device, DeviceKind, PlanError, Surroundings, ids};

/// The source of random numbers for a device that names none.
pub(crate) const DEFAULT_RNG: &str = "/dev/urandom";

/// All of them.
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
