//! Calls about storage, answered by the embedded pools where no other daemon does.

pub(super) mod pool;
pub(super) mod volume;

use std::sync::Arc;

use rpc::error::Code;

use super::{Failure, Service};
use crate::storage::fault;

/// Does what may wait for the disk, on a thread for that.
async fn blocking<T: Send + 'static>(
    service: &Arc<Service>,
    act: impl FnOnce(&Service) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let service = Arc::clone(service);
    tokio::task::spawn_blocking(move || act(&service)).await.unwrap_or_else(|_| {
        Err(fault(Code::INTERNAL_ERROR, "the daemon failed at this call; its log says where"))
    })
}

/// Refuses flags beyond `known`, by their bits.
fn flags(given: u32, known: u32) -> Result<(), Failure> {
    match given & !known {
        0 => Ok(()),
        unknown => Err(fault(Code::INVALID_ARG, format!("unsupported flags (0x{unknown:x})"))),
    }
}
