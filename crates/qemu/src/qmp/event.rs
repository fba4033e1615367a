//! QMP's events: those that sevirt acts on are typed, all others are passed on as they came.

use serde::Deserialize;
use serde_json::Value;

/// Something that happened in QEMU without being asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The guest is shutting down, or was made to (`guest` tells which); `reason` is QEMU's `ShutdownCause`.
    Shutdown { guest: bool, reason: String },
    /// As for `Shutdown`, of a reset.
    Reset { guest: bool, reason: String },
    /// The vCPUs stopped.
    Stop,
    /// The vCPUs run.
    Resume,
    /// The guest was asked by ACPI to shut down.
    Powerdown,
    /// The guest reported its own panic; `action` is what QEMU does about it (`pause`, `poweroff`, `run`).
    GuestPanicked { action: String },
    /// A disk failed; `action` is what the guest's error policy made of it (`ignore`, `report`, `stop`).
    BlockIoError { device: String, node: Option<String>, operation: String, action: String, reason: String },
    /// An unplugged device is gone.
    DeviceDeleted { device: Option<String>, path: String },
    /// The watchdog fired.
    Watchdog { action: String },
    /// Any other event, or one of the above in a form that this version does not know.
    Other { name: String, data: Value },
}

#[derive(Deserialize)]
struct Cause {
    guest: bool,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
struct Acted {
    action: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Failed {
    device: String,
    node_name: Option<String>,
    operation: String,
    action: String,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
struct Deleted {
    device: Option<String>,
    path: String,
}

impl Event {
    pub(super) fn read(name: &str, data: Value) -> Self {
        let known = match name {
            "SHUTDOWN" => {
                Cause::deserialize(&data).map(|c| Self::Shutdown { guest: c.guest, reason: c.reason }).ok()
            }
            "RESET" => {
                Cause::deserialize(&data).map(|c| Self::Reset { guest: c.guest, reason: c.reason }).ok()
            }
            "STOP" => Some(Self::Stop),
            "RESUME" => Some(Self::Resume),
            "POWERDOWN" => Some(Self::Powerdown),
            "GUEST_PANICKED" => {
                Acted::deserialize(&data).map(|a| Self::GuestPanicked { action: a.action }).ok()
            }
            "WATCHDOG" => Acted::deserialize(&data).map(|a| Self::Watchdog { action: a.action }).ok(),
            "BLOCK_IO_ERROR" => Failed::deserialize(&data).map(Self::from).ok(),
            "DEVICE_DELETED" => Deleted::deserialize(&data)
                .map(|d| Self::DeviceDeleted { device: d.device, path: d.path })
                .ok(),
            _ => None,
        };
        known.unwrap_or_else(|| Self::Other { name: name.to_owned(), data })
    }
}

impl From<Failed> for Event {
    fn from(failed: Failed) -> Self {
        let Failed { device, node_name: node, operation, action, reason } = failed;
        Self::BlockIoError { device, node, operation, action, reason }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn known_events_are_typed() {
        let shutdown = Event::read("SHUTDOWN", json!({"guest": true, "reason": "guest-shutdown"}));
        assert_eq!(shutdown, Event::Shutdown { guest: true, reason: "guest-shutdown".into() });
        let failed = json!({"device": "", "node-name": "libvirt-1-format", "operation": "write",
            "action": "report", "nospace": true, "reason": "No space left on device"});
        let Event::BlockIoError { node, operation, .. } = Event::read("BLOCK_IO_ERROR", failed) else {
            panic!("not typed");
        };
        assert_eq!((node.as_deref(), operation.as_str()), (Some("libvirt-1-format"), "write"));
    }

    #[test]
    fn unknown_events_and_odd_forms_are_kept_raw() {
        let odd = json!({"guest": "perhaps"});
        assert_eq!(
            Event::read("SHUTDOWN", odd.clone()),
            Event::Other { name: "SHUTDOWN".into(), data: odd.clone() }
        );
        assert_eq!(Event::read("NEWS", odd.clone()), Event::Other { name: "NEWS".into(), data: odd });
    }
}
