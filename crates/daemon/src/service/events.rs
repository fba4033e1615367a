//! What happens to domains, told to everybody who registered for it.

use std::sync::Mutex;

use rpc::xdr::Uuid;

/// The domain that something happened to, as it is at that moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) name: String,
    pub(crate) uuid: Uuid,
    /// -1 while it does not run.
    pub(crate) id: i32,
}

/// What happened. Numbers are those of libvirt's event enumerations.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Happening {
    /// `virDomainEventType` and its detail: [`rpc::remote::event::lifecycle`].
    Lifecycle((i32, i32)),
    Reboot,
    /// Seconds that the guest's clock is off UTC.
    RtcChange(i64),
    /// `virDomainEventWatchdogAction`.
    Watchdog(i32),
    IoError {
        path: String,
        alias: String,
        action: i32,
        reason: String,
    },
    /// KiB.
    BalloonChange(u64),
    TrayChange {
        alias: String,
        reason: i32,
    },
    DiskChange {
        old: Option<String>,
        new: Option<String>,
        alias: String,
        reason: i32,
    },
    DeviceAdded(String),
    DeviceRemoved(String),
    DeviceRemovalFailed(String),
    /// State and reason of the guest's agent.
    AgentLifecycle {
        state: i32,
        reason: i32,
    },
    MetadataChange {
        kind: i32,
        uri: Option<String>,
    },
    /// Suspended to memory by the guest.
    PmSuspend,
    PmWakeup,
}

/// Who registered for what.
#[derive(Debug, Default)]
pub(crate) struct Events {
    subscribers: Mutex<Vec<tokio::sync::mpsc::UnboundedSender<(About, Happening)>>>,
}

impl Events {
    pub(crate) fn publish(&self, about: &About, happening: &Happening) {
        tracing::debug!(domain = %about.name, ?happening, "event");
        crate::locked(&self.subscribers)
            .retain(|subscriber| subscriber.send((about.clone(), happening.clone())).is_ok());
    }
}
