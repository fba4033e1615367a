//! Waits for a guest to let a device go.

use std::time::Duration;

use qemu::qmp::Event;
use rpc::RemoteError;
use serde_json::Value;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::service::Failure;
use crate::vm::Guest;

/// Listens from before the guest is asked.
#[derive(Debug)]
pub(crate) struct Deleted(Receiver<Event>);

impl Deleted {
    pub(crate) fn watch(guest: &Guest) -> Self {
        Self(guest.events())
    }

    /// Whether the device went within that time.
    ///
    /// # Errors
    /// The guest refused.
    pub(crate) async fn of(&mut self, id: &str, limit: Duration) -> Result<bool, Failure> {
        tokio::time::timeout(limit, self.whenever(id)).await.unwrap_or(Ok(false))
    }

    /// Whether the device went, however long it takes; not so where QEMU ends before.
    pub(crate) async fn whenever(&mut self, id: &str) -> Result<bool, Failure> {
        loop {
            match self.0.recv().await {
                Ok(Event::DeviceDeleted { device: Some(device), .. }) if device == id => return Ok(true),
                Ok(Event::Other { name, data }) if is_refusal(&name, &data, id) => {
                    return Err(Box::new(RemoteError::operation_failed(format!(
                        "unplug of device was rejected by the guest: {id}"
                    ))));
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(false),
            }
        }
    }
}

fn is_refusal(name: &str, data: &Value, id: &str) -> bool {
    matches!(name, "DEVICE_UNPLUG_GUEST_ERROR" | "MEM_UNPLUG_ERROR")
        && data.get("device").and_then(Value::as_str) == Some(id)
}
