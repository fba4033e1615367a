//! TPMs: `-tpmdev` and `-device tpm-tis`.

use domain::{
    Domain,
    model::{
        chardev::CharKind,
        devices::{Tpm, TpmBackend, TpmModel},
    },
};

use super::{Argument, KeyValues, Properties, chardev::FdSets};
use crate::plan::{Device, DeviceKind, PlanError, Surroundings, ids};

/// All TPMs.
pub(crate) fn tpms(
    domain: &Domain,
    here: &Surroundings,
    sets: &mut FdSets,
) -> Result<Vec<Device>, PlanError> {
    let tpms = domain.devices.tpms.iter().enumerate();
    tpms.map(|(index, tpm)| self::tpm(tpm, &ids::numbered("tpm", index, &tpm.info), here, sets)).collect()
}

fn tpm(tpm: &Tpm, id: &str, here: &Surroundings, sets: &mut FdSets) -> Result<Device, PlanError> {
    let model = tpm.model.ok_or_else(|| PlanError::Incomplete { device: id.to_owned() })?;
    let back_end = format!("tpm-{id}");
    let mut backends = Vec::new();
    match &tpm.backend {
        TpmBackend::Passthrough { path } => {
            let value = KeyValues::bare("passthrough").with("id", &back_end);
            backends = passthrough(value, path.as_deref(), id, here, sets);
        }
        TpmBackend::Emulator(_) => {
            let socket =
                here.tpm_sockets.get(id).ok_or_else(|| PlanError::NoTpmEmulator { device: id.to_owned() })?;
            emulator(&socket.display().to_string(), &back_end, &mut backends);
        }
        TpmBackend::External(source) => match &source.kind {
            CharKind::Unix { path: Some(path), .. } => emulator(path, &back_end, &mut backends),
            _ => {
                return Err(PlanError::Unsupported {
                    device: id.to_owned(),
                    what: "an external TPM that is not behind a unix socket".into(),
                });
            }
        },
    }
    let driver = match model {
        TpmModel::Tis => "tpm-tis",
        TpmModel::Crb => "tpm-crb",
    };
    let frontend = Properties::device(driver).with("tpmdev", back_end).with("id", id);
    Ok(Device { id: id.to_owned(), kind: DeviceKind::Tpm, backends, frontend: Some(frontend) })
}

fn emulator(socket: &str, back_end: &str, backends: &mut Vec<Argument>) {
    let chardev = KeyValues::bare("socket").with("id", "chrtpm").with("path", socket);
    let tpmdev = KeyValues::bare("emulator").with("id", back_end).with("chardev", "chrtpm");
    backends.extend([Argument::pairs("-chardev", chardev), Argument::pairs("-tpmdev", tpmdev)]);
}

/// The host's own TPM: by inherited descriptors, or else by its path.
fn passthrough(
    value: KeyValues,
    path: Option<&str>,
    id: &str,
    here: &Surroundings,
    sets: &mut FdSets,
) -> Vec<Argument> {
    let mut backends = Vec::new();
    let mut inherited = |role: &str, backends: &mut Vec<Argument>| {
        let what = format!("{id}-{role}");
        let fd = here.fds.files.get(&what)?;
        Some(sets.add(*fd, &what, backends))
    };
    let device = inherited("tpm", &mut backends).unwrap_or_else(|| path.unwrap_or("/dev/tpm0").to_owned());
    let cancel = inherited("cancel", &mut backends);
    let value = value.with("path", device).with_some("cancel-path", cancel);
    backends.push(Argument::pairs("-tpmdev", value));
    backends
}
