//! Definitions come, change and get new names.

use std::sync::Arc;

use domain::Domain;
use domain::model::os::{Firmware, LoaderKind};
use qemu::plan::settle_firmware;
use rpc::error::RemoteError;
use rpc::remote::domain::RenameArgs;
use rpc::remote::event::lifecycle;
use rpc::remote::object;
use rpc::xdr::Uuid;

use super::{blocking, exclusively, only_flags, xml};
use crate::locked;
use crate::service::domains::Vm;
use crate::service::events::Happening;
use crate::service::{Failure, Service};
use crate::start::StartError;
use crate::store::StoreError;
use crate::vm::Reactions;

/// `virDomainDefineFlags`.
const VALIDATE: u32 = 1;

/// A definition that is ready to be taken.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) name: String,
    pub(crate) uuid: Uuid,
    pub(crate) domain: Domain,
}

/// Reads a client's definition and fills in what it leaves out. May block: the emulator is looked at.
pub(crate) fn ready(service: &Service, text: &str) -> Result<Ready, Failure> {
    let (mut domain, _) = xml::read(text)?;
    refuse_unrunnable(&domain)?;
    complete(service, &mut domain)?;
    let uuid =
        domain.uuid.ok_or_else(|| Box::new(RemoteError::internal("a completed domain has no UUID")))?;
    Ok(Ready { name: domain.name.clone(), uuid: Uuid(uuid.into_bytes()), domain })
}

/// Fills in what a definition leaves to the host.
fn complete(service: &Service, domain: &mut Domain) -> Result<(), Failure> {
    let emulator = crate::start::emulator(domain);
    let caps = service.host.caps(&emulator)?;
    if let Some(machine) = domain.os.machine.as_deref().filter(|machine| caps.machine(machine).is_none()) {
        return Err(Box::new(RemoteError::config_unsupported(format!(
            "Emulator '{}' does not support machine type '{machine}'",
            emulator.display()
        ))));
    }
    crate::start::complete(domain, &caps).map_err(|error| {
        let words = reasons(&error);
        Box::new(match &error {
            StartError::Complete(reason) if reason.is_unsupported() => RemoteError::config_unsupported(words),
            _ => RemoteError::xml_error(words),
        })
    })?;
    let leaves_firmware = domain.os.firmware.is_some() || domain.os.loader.is_some();
    if leaves_firmware {
        let facts = service.host.facts();
        // The choice of a start, so that what is stored is what can be started.
        let usable = facts.firmware_for(domain.launch_security.is_some());
        let descriptors: Vec<_> = usable.map(|loader| &loader.descriptor).collect();
        let (name, uuid) = (domain.name.clone(), domain.uuid);
        settle_firmware(domain, &descriptors, |ending| variables_path(service, &name, uuid, ending))
            .map_err(|missing| Box::new(RemoteError::operation_failed(missing.to_string())))?;
    }
    Ok(())
}

/// Where a domain's variables go that names no file for them: a file of its own, even if another domain that was
/// called like this has kept its one.
fn variables_path(service: &Service, name: &str, uuid: Option<uuid::Uuid>, ending: &str) -> String {
    let file = crate::store::file_name(name);
    let stem = file.strip_suffix(".xml").unwrap_or(&file);
    let directory = service.paths.state.join("nvram");
    let usual = directory.join(format!("{stem}_VARS.{ending}"));
    let own = uuid.map(|uuid| Uuid(uuid.into_bytes()));
    if super::undefine::other_user(service, own, &usual).is_none() {
        return usual.display().to_string();
    }
    let unique = uuid.map(|uuid| format!("-{uuid}")).unwrap_or_default();
    directory.join(format!("{stem}{unique}_VARS.{ending}")).display().to_string()
}

/// libvirt's words for an action that neither carries out: a guest's second life has its name.
pub(in crate::service) const NO_NEW_NAME: &str =
    "qemu driver doesn't support the 'rename-restart' action for 'on_reboot'/'on_poweroff'/'on_crash'";

/// Refuses what no QEMU of this host could ever run, as libvirt does at definition.
fn refuse_unrunnable(domain: &Domain) -> Result<(), Failure> {
    let unsupported = |detail: String| Err(Box::new(RemoteError::config_unsupported(detail)));
    let arch = domain.os.arch.as_deref().unwrap_or("x86_64");
    if !matches!(arch, "x86_64" | "i686") {
        return unsupported(format!("No emulator found for arch '{arch}'"));
    }
    let flash = domain.os.loader.as_ref().is_some_and(|loader| loader.kind == Some(LoaderKind::Pflash));
    if (domain.os.firmware == Some(Firmware::Efi) || flash) && !domain.features.acpi {
        return unsupported("UEFI requires ACPI on this architecture".to_owned());
    }
    if Reactions::of(domain).is_err() {
        return unsupported(NO_NEW_NAME.to_owned());
    }
    if domain.title.as_ref().is_some_and(|title| title.contains('\n')) {
        return Err(Box::new(RemoteError::xml_error("Domain title can't contain newlines")));
    }
    Ok(())
}

/// An error's last words are its reason; those before them say what was being done.
fn reasons(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

/// What a client is told when the disk refuses.
pub(crate) fn not_stored(error: &StoreError) -> Failure {
    Box::new(RemoteError::system_error(format!(
        "{}; what was there before is unchanged",
        crate::chain(error)
    )))
}

/// `DOMAIN_DEFINE_XML_FLAGS`.
pub(crate) async fn define(
    service: &Arc<Service>,
    text: &str,
    flags: u32,
) -> Result<object::Domain<'static>, Failure> {
    only_flags(flags, VALIDATE, "virDomainDefineXMLFlags")?;
    let (its, text) = (Arc::clone(service), text.to_owned());
    let ready = blocking(move || ready(&its, &text)).await?;
    // Whom somebody removed meanwhile is asked for again.
    loop {
        let vm = service.domains.admit(&ready.name, ready.uuid)?;
        let (domain, name) = (ready.domain.clone(), ready.name.clone());
        let done = exclusively(service, vm, move |service, vm| {
            if !service.domains.holds(vm) || vm.name() != name {
                return Ok(None);
            }
            let taken = take(service, vm, &domain);
            service.domains.settle(vm);
            taken.map(|()| Some(vm.object()))
        })
        .await?;
        if let Some(defined) = done {
            return Ok(defined);
        }
    }
}

/// Makes this the definition of a domain, on disk and in memory; its job is held. A running domain starts from it next.
pub(crate) fn take(service: &Service, vm: &Vm, domain: &Domain) -> Result<(), Failure> {
    let text: Arc<str> = domain.print().into();
    service.store.save(&domain.name, &text).map_err(|error| not_stored(&error))?;
    let had_one = {
        let mut state = locked(&vm.state);
        state.updated |= state.id.is_some();
        state.definition.replace(text).is_some()
    };
    tracing::info!(domain = %domain.name, uuid = %vm.uuid, again = had_one, "defined");
    let what = if had_one { lifecycle::DEFINED_UPDATED } else { lifecycle::DEFINED_ADDED };
    service.events.publish(&vm.about(), &Happening::Lifecycle(what));
    Ok(())
}

/// Changes the definition of a domain, on disk and in memory, without an event; its job is held. Nothing happens where
/// `change` refuses.
pub(crate) fn change<T>(
    service: &Service,
    vm: &Vm,
    change: impl FnOnce(&mut Domain) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let definition = vm.definition().ok_or_else(transient)?;
    let mut domain = xml::parse(&definition)?;
    let changed = change(&mut domain)?;
    let text = domain.print();
    if *text != *definition {
        service.store.save(&domain.name, &text).map_err(|error| not_stored(&error))?;
        locked(&vm.state).definition = Some(text.into());
    }
    Ok(changed)
}

/// What a call is told that changes the definition of a domain that has none.
pub(super) fn transient() -> Failure {
    let detail = "cannot change persistent config of a transient domain";
    Box::new(RemoteError::operation_invalid(detail))
}

/// `DOMAIN_RENAME`.
pub(in crate::service) async fn rename(
    service: &Arc<Service>,
    args: &RenameArgs<'_>,
) -> Result<i32, Failure> {
    only_flags(args.flags, 0, "virDomainRename")?;
    let new = args.new_name.as_deref().unwrap_or_default().to_owned();
    if new.trim().is_empty() {
        return Err(Box::new(RemoteError::invalid_arg("the new name of a domain is empty")));
    }
    if new.contains('/') {
        return Err(Box::new(RemoteError::xml_error(format!("name {new} cannot contain '/'"))));
    }
    let vm = service.domains.of(&args.dom)?;
    exclusively(service, vm, move |service, vm| {
        let old = vm.name();
        let refused = |detail: &str| Err(Box::new(RemoteError::operation_invalid(detail)));
        if vm.is_active() {
            return refused("cannot rename active domain");
        }
        let Some(definition) = vm.definition() else { return refused("cannot rename a transient domain") };
        if old == new {
            return refused("Can't rename domain to itself");
        }
        let mut domain = xml::parse(&definition)?;
        domain.name.clone_from(&new);
        let text = domain.print();
        service.domains.reserve_name(vm, &new)?;
        if let Err(error) = service.store.rename(&old, &new, &text) {
            service.domains.release_name(vm, &new);
            return Err(not_stored(&error));
        }
        let before = vm.about();
        {
            let mut state = locked(&vm.state);
            state.name.clone_from(&new);
            state.definition = Some(text.into());
        }
        service.domains.release_name(vm, &old);
        tracing::info!(domain = %new, uuid = %vm.uuid, %old, "renamed");
        service.events.publish(&before, &Happening::Lifecycle(lifecycle::UNDEFINED_RENAMED));
        service.events.publish(&vm.about(), &Happening::Lifecycle(lifecycle::DEFINED_RENAMED));
        Ok(0)
    })
    .await
}
