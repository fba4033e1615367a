//! What can be said of a domain without asking its guest.

use std::sync::Arc;

use rpc::error::RemoteError;
use rpc::remote::domain::{Info, SecurityLabel, SecurityLabelList, State};
use rpc::xdr::{Chars, List, Text};

use super::{exclusively, only_flags, xml};
use crate::locked;
use crate::service::domains::Vm;
use crate::service::{Failure, Service};
use crate::store::Autostart;

pub(in crate::service) fn state(vm: &Vm, flags: u32) -> Result<State, Failure> {
    only_flags(flags, 0, "virDomainGetState")?;
    Ok(vm.run_state())
}

pub(in crate::service) fn info(vm: &Vm) -> Result<Info, Failure> {
    let domain = vm.current()?;
    let max_mem = domain.memory.0;
    let memory = domain.current_memory.map_or(max_mem, |current| current.0);
    Ok(Info {
        state: u8::try_from(vm.run_state().state).unwrap_or_default(),
        max_mem,
        memory: vm.balloon().unwrap_or(memory),
        nr_virt_cpu: u16::try_from(domain.vcpu.current.unwrap_or(domain.vcpu.count)).unwrap_or(u16::MAX),
        cpu_time: vm.cpu_time(),
    })
}

/// KiB.
pub(in crate::service) fn max_memory(vm: &Vm) -> Result<u64, Failure> {
    Ok(vm.current()?.memory.0)
}

/// Of a running domain.
pub(in crate::service) fn max_vcpus(vm: &Vm) -> Result<i32, Failure> {
    vm.must_run()?;
    Ok(i32::try_from(vm.current()?.vcpu.count).unwrap_or(i32::MAX))
}

/// All that run here are fully virtualized.
pub(in crate::service) fn os_type() -> Text<'static> {
    "hvm".into()
}

pub(in crate::service) fn autostart(vm: &Vm, which: Autostart) -> i32 {
    let state = locked(&vm.state);
    i32::from(match which {
        Autostart::Always => state.autostart,
        Autostart::Once => state.autostart_once,
    })
}

pub(crate) async fn set_autostart(
    service: &Arc<Service>,
    vm: Arc<Vm>,
    which: Autostart,
    wanted: i32,
) -> Result<(), Failure> {
    let wanted = wanted != 0;
    exclusively(service, vm, move |service, vm| {
        if !vm.is_persistent() {
            let detail = "cannot set autostart for transient domain";
            return Err(Box::new(RemoteError::operation_invalid(detail)));
        }
        if (autostart(vm, which) != 0) == wanted {
            return Ok(());
        }
        service
            .store
            .set_autostart(&vm.name(), which, wanted)
            .map_err(|error| super::define::not_stored(&error))?;
        let mut state = locked(&vm.state);
        match which {
            Autostart::Always => state.autostart = wanted,
            Autostart::Once => state.autostart_once = wanted,
        }
        Ok(())
    })
    .await
}

/// `virDomainMessageType`: deprecation, tainting, I/O errors.
const MESSAGE_KINDS: u32 = 7;

/// Why the last start with the host failed, or the last life ended; nothing that libvirt warns of is done to guests
/// here, so there is nothing of its kinds.
pub(in crate::service) fn messages(vm: &Vm, flags: u32) -> Result<List<Text<'static>, 2048>, Failure> {
    only_flags(flags, MESSAGE_KINDS, "virDomainGetMessages")?;
    let messages = if flags == 0 { locked(&vm.state).messages.clone() } else { Vec::new() };
    Ok(messages.into_iter().map(Text::from).collect())
}

/// Nothing is labelled; the host's security model says so.
pub(in crate::service) fn security_label() -> SecurityLabel {
    SecurityLabel { label: Chars::default(), enforcing: 0 }
}

pub(in crate::service) fn security_labels() -> SecurityLabelList {
    SecurityLabelList { labels: List::default(), ret: 0 }
}

/// Images of saved guests are not made here, so there is none.
pub(in crate::service) fn has_managed_save(flags: u32) -> Result<i32, Failure> {
    only_flags(flags, 0, "virDomainHasManagedSaveImage")?;
    Ok(0)
}

impl Vm {
    /// What the domain is now: as it runs, or as it is defined.
    pub(crate) fn current(&self) -> Result<Arc<domain::Domain>, Failure> {
        if let Some(live) = self.live() {
            return Ok(live);
        }
        let definition = self.definition().ok_or_else(crate::service::domains::not_running)?;
        xml::parse(&definition).map(Arc::new)
    }
}
