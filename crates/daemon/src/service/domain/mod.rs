//! Calls about domains' definitions, and what can be said of a domain without asking its guest.

pub(crate) mod define;
pub(crate) mod info;
pub(super) mod list;
pub(super) mod metadata;
pub(super) mod native;
pub(crate) mod undefine;
pub(crate) mod xml;

use std::sync::Arc;

use rpc::error::{Origin, RemoteError};

use super::domains::Vm;
use super::{Failure, Service};

/// Which of a domain's two faces a change is for: `virDomainModificationImpact`.
pub(crate) mod affect {
    pub(crate) const LIVE: u32 = 1;
    pub(crate) const CONFIG: u32 = 2;
}

/// Refuses flags that a call does not have, in libvirt's words. `function` is libvirt's name of the call.
pub(crate) fn only_flags(flags: u32, known: u32, function: &str) -> Result<(), Failure> {
    match flags & !known {
        0 => Ok(()),
        unknown => {
            // It is the driver's function that looks at them.
            let function = function.replacen("vir", "qemu", 1);
            Err(Box::new(RemoteError::unsupported_flags(Origin::QEMU, unknown, &function)))
        }
    }
}

/// Does what changes a domain, and may block, once nobody else changes it. It is done to its end even if the client is
/// gone meanwhile.
pub(crate) async fn exclusively<T, F>(service: &Arc<Service>, vm: Arc<Vm>, work: F) -> Result<T, Failure>
where
    T: Send + 'static,
    F: FnOnce(&Arc<Service>, &Arc<Vm>) -> Result<T, Failure> + Send + 'static,
{
    let service = Arc::clone(service);
    let done = tokio::spawn(async move {
        let job = Arc::clone(&vm.job).lock_owned().await;
        tokio::task::spawn_blocking(move || {
            let done = work(&service, &vm);
            drop(job);
            done
        })
        .await
    });
    match done.await {
        Ok(Ok(done)) => done,
        Ok(Err(error)) | Err(error) => Err(Box::new(RemoteError::internal(error.to_string()))),
    }
}

/// The same for what may block and changes nothing.
pub(crate) async fn blocking<T, F>(work: F) -> Result<T, Failure>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, Failure> + Send + 'static,
{
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Box::new(RemoteError::internal(error.to_string()))))
}

#[cfg(test)]
mod tests;
