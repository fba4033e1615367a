//! Changes of a domain: to its definition, and one after the other.

use std::sync::Arc;

use domain::Domain;
use rpc::error::RemoteError;
use rpc::remote::event::lifecycle;

use crate::service::domain::{blocking, define};
use crate::service::domains::Vm;
use crate::service::events::Happening;
use crate::service::{Failure, Service};

/// Changes the definition. The caller holds the domain's `job`.
pub(crate) async fn change<T: Send + 'static>(
    service: &Arc<Service>,
    vm: &Arc<Vm>,
    change: impl FnOnce(&mut Domain) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let (service, vm) = (Arc::clone(service), Arc::clone(vm));
    blocking(move || define::change(&service, &vm, change)).await
}

/// Tells that a definition has changed, as libvirt does where devices come and go.
pub(crate) fn tell(service: &Service, vm: &Vm) {
    service.events.publish(&vm.about(), &Happening::Lifecycle(lifecycle::DEFINED_UPDATED));
}

/// Does what changes a domain while nobody else does, to its end even if the client is gone meanwhile.
pub(crate) async fn alone<T, F>(vm: &Arc<Vm>, work: F) -> Result<T, Failure>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Failure>> + Send + 'static,
{
    let job = Arc::clone(&vm.job);
    let done = tokio::spawn(async move {
        let _job = job.lock().await;
        work.await
    });
    done.await.unwrap_or_else(|error| Err(Box::new(RemoteError::internal(error.to_string()))))
}
