//! Definitions go, and with them what belonged to their domains only.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rpc::error::RemoteError;
use rpc::remote::event::lifecycle;
use rpc::xdr::Uuid;

use super::define::not_stored;
use super::{exclusively, only_flags, xml};
use crate::locked;
use crate::service::domains::Vm;
use crate::service::events::Happening;
use crate::service::{Failure, Service};

/// `virDomainUndefineFlagsValues`.
mod flag {
    /// There are no saved images, snapshots or checkpoints to be removed, so these ask for nothing.
    pub(super) const MANAGED_SAVE: u32 = 1;
    pub(super) const SNAPSHOTS_METADATA: u32 = 1 << 1;
    pub(super) const NVRAM: u32 = 1 << 2;
    pub(super) const KEEP_NVRAM: u32 = 1 << 3;
    pub(super) const CHECKPOINTS_METADATA: u32 = 1 << 4;
    pub(super) const ALL: u32 = MANAGED_SAVE | SNAPSHOTS_METADATA | NVRAM | KEEP_NVRAM | CHECKPOINTS_METADATA;
}

/// `DOMAIN_UNDEFINE_FLAGS`. A running domain goes on without a definition.
pub(in crate::service) async fn undefine(
    service: &Arc<Service>,
    vm: Arc<Vm>,
    flags: u32,
) -> Result<(), Failure> {
    only_flags(flags, flag::ALL, "virDomainUndefineFlags")?;
    let refused = |detail: &str| Err(Box::new(RemoteError::operation_invalid(detail)));
    if flags & flag::NVRAM != 0 && flags & flag::KEEP_NVRAM != 0 {
        return refused("cannot both keep and delete nvram");
    }
    exclusively(service, vm, move |service, vm| {
        let Some(definition) = vm.definition() else { return refused("cannot undefine transient domain") };
        // A definition that cannot be read any more can still be removed.
        let variables = xml::parse(&definition).ok().and_then(|domain| variables(&domain));
        if let Some(path) = variables.filter(|path| path.exists()) {
            if flags & (flag::NVRAM | flag::KEEP_NVRAM) == 0 {
                return refused("cannot undefine domain with nvram");
            }
            if flags & flag::NVRAM != 0 {
                remove_variables(service, vm, &path)?;
            }
        }
        service.store.remove(&vm.name()).map_err(|error| not_stored(&error))?;
        let about = vm.about();
        {
            let mut state = locked(&vm.state);
            state.definition = None;
            state.autostart = false;
            state.autostart_once = false;
        }
        service.domains.settle(vm);
        tracing::info!(domain = %about.name, uuid = %vm.uuid, "undefined");
        service.events.publish(&about, &Happening::Lifecycle(lifecycle::UNDEFINED_REMOVED));
        Ok(())
    })
    .await
}

/// The file with the domain's firmware variables.
pub(crate) fn variables(domain: &domain::Domain) -> Option<PathBuf> {
    let path = domain.os.nvram.as_ref()?.path.as_deref()?;
    Some(PathBuf::from(path)).filter(|path| path.is_absolute())
}

/// Removes a domain's variables, unless they are another's too.
fn remove_variables(service: &Service, vm: &Arc<Vm>, path: &Path) -> Result<(), Failure> {
    if let Some(other) = other_user(service, Some(vm.uuid), path) {
        let detail = format!("failed to remove nvram: {} is domain '{other}''s too", path.display());
        return Err(Box::new(RemoteError::operation_failed(detail)));
    }
    std::fs::remove_file(path).map_err(|error| {
        let detail = format!("failed to remove nvram: {}: {}", path.display(), crate::os_words(&error));
        Box::new(RemoteError::system_error(detail))
    })
}

/// Another domain than `own` that names this file of variables.
pub(crate) fn other_user(service: &Service, own: Option<Uuid>, path: &Path) -> Option<String> {
    let path_text = path.to_str()?;
    let others = service.domains.all().into_iter().filter(|other| Some(other.uuid) != own);
    others
        .filter(|other| {
            // Most do not have the text, and only those that do are parsed.
            let definition = other.definition().filter(|definition| definition.contains(path_text));
            let defined = definition.and_then(|definition| xml::parse(&definition).ok());
            let uses = |domain: &domain::Domain| variables(domain).is_some_and(|own| own == path);
            defined.as_ref().is_some_and(uses) || other.live().as_deref().is_some_and(uses)
        })
        .map(|other| other.name())
        .next()
}
