//! `setmem` and `setmaxmem`.

use std::sync::Arc;

use domain::model::memory::Kib;
use qemu::qmp::device::Balloon;
use rpc::remote::common::DomSizeFlags;
use rpc::remote::object;
use rpc::remote::tune::MemoryArgs;

use crate::service::device::affect::{self, LIVE, affected, check, invalid, op_invalid};
use crate::service::device::config::{self, alone};
use crate::service::{Failure, Service};
use crate::vm::Guest;

/// `VIR_DOMAIN_MEM_MAXIMUM`: what the guest boots with, and not what the balloon leaves it.
const MAXIMUM: u32 = 4;

/// `DOMAIN_SET_MEMORY`.
pub(crate) async fn set_memory(service: &Arc<Service>, args: &MemoryArgs<'_>) -> Result<(), Failure> {
    set(service, &args.dom, args.memory, LIVE).await
}

/// `DOMAIN_SET_MAX_MEMORY`.
pub(crate) async fn set_max_memory(service: &Arc<Service>, args: &MemoryArgs<'_>) -> Result<(), Failure> {
    set(service, &args.dom, args.memory, MAXIMUM).await
}

/// `DOMAIN_SET_MEMORY_FLAGS`.
pub(crate) async fn set_memory_flags(service: &Arc<Service>, args: &DomSizeFlags<'_>) -> Result<(), Failure> {
    check(args.flags, LIVE | affect::CONFIG | MAXIMUM, "virDomainSetMemoryFlags")?;
    set(service, &args.dom, args.size, args.flags).await
}

async fn set(service: &Arc<Service>, dom: &object::Domain<'_>, size: u64, flags: u32) -> Result<(), Failure> {
    if size == 0 {
        return Err(invalid("memory in virDomainSetMemoryFlags must not be zero"));
    }
    let vm = service.domains.of(dom)?;
    let (service, this) = (Arc::clone(service), Arc::clone(&vm));
    alone(&vm, async move {
        let affected = affected(&this, flags)?;
        if flags & MAXIMUM != 0 {
            if affected.live.is_some() {
                return Err(op_invalid("cannot resize the maximum memory on an active domain"));
            }
            return config::change(&service, &this, move |domain| {
                domain.memory = Kib(size);
                domain.current_memory = domain.current_memory.map(|current| current.min(Kib(size)));
                Ok(())
            })
            .await;
        }
        if let Some(guest) = &affected.live {
            inflate(guest, size).await?;
        }
        if affected.config {
            config::change(&service, &this, move |domain| {
                if size > domain.memory.0 {
                    return Err(too_much());
                }
                domain.current_memory = Some(Kib(size));
                Ok(())
            })
            .await?;
        }
        Ok(())
    })
    .await
}

fn too_much() -> Failure {
    invalid("cannot set memory higher than max memory")
}

/// Has the balloon leave the guest that much.
async fn inflate(guest: &Guest, size: u64) -> Result<(), Failure> {
    let live = guest.live();
    if size > live.memory.0 {
        return Err(too_much());
    }
    if live.devices.memballoon.as_ref().is_none_or(|balloon| balloon.model.is_none()) {
        return Err(op_invalid(
            "Unable to change memory of active domain without the balloon device and guest OS balloon driver",
        ));
    }
    // How far the guest follows is told by an event.
    guest.ask(Balloon { value: Kib(size).bytes() }).await?;
    Ok(())
}
