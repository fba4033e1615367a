//! What happens to a guest becomes events for clients.

use std::sync::Arc;

use domain::model::memory::Kib;
use qemu::qmp;
use rpc::remote::event::lifecycle;

use super::dump;
use super::end::note;
use crate::locked;
use crate::service::domains::Vm;
use crate::service::events::Happening;
use crate::service::{Service, agent, device, tune};
use crate::vm::{Guest, Milestone, Notice, Observer, Still};

/// Who tells of a guest.
pub(super) fn observer(service: &Arc<Service>, vm: &Arc<Vm>) -> Observer {
    let (service, vm) = (Arc::downgrade(service), Arc::clone(vm));
    Box::new(move |guest, notice| {
        let Some(service) = service.upgrade() else { return };
        match notice {
            Notice::Milestone(milestone) => on_milestone(&service, &vm, guest, milestone),
            Notice::Heard(event) => on_event(&service, &vm, guest, event),
            Notice::Console(_) => {}
        }
    })
}

fn on_milestone(service: &Arc<Service>, vm: &Arc<Vm>, guest: &Guest, milestone: &Milestone) {
    let tell = |what| service.events.publish(&vm.about(), &Happening::Lifecycle(what));
    if matches!(milestone, Milestone::Held | Milestone::Resumed) && agent::channel(&guest.live()).is_some() {
        // `virConnectDomainEventAgentLifecycleState`: disconnected; and its reason: the domain was started.
        service.events.publish(&vm.about(), &Happening::AgentLifecycle { state: 2, reason: 1 });
    }
    match milestone {
        // Those who look only for on and off, and those who look for running and paused, are both told.
        Milestone::Held => {
            tell(lifecycle::STARTED_BOOTED);
            tell(lifecycle::SUSPENDED_PAUSED);
        }
        Milestone::Resumed => {
            tell(lifecycle::RESUMED_UNPAUSED);
            tell(lifecycle::STARTED_BOOTED);
        }
        Milestone::Unpaused => {
            tracing::info!(domain = %vm.name(), "resumed");
            tell(lifecycle::RESUMED_UNPAUSED);
        }
        Milestone::Paused(why) => {
            tracing::info!(domain = %vm.name(), ?why, "paused");
            tell(match why {
                Still::IoError => lifecycle::SUSPENDED_IOERROR,
                Still::Watchdog => lifecycle::SUSPENDED_WATCHDOG,
                Still::Failed => lifecycle::SUSPENDED_API_ERROR,
                Still::Asked | Still::ShutDown | Still::Panicked => lifecycle::SUSPENDED_PAUSED,
            });
            if *why == Still::Watchdog {
                dump::at_watchdog(service, vm);
            }
            if *why == Still::Failed {
                let message = "KVM cannot go on with the guest (QEMU: internal-error)";
                note(&mut locked(&vm.state).messages, message.to_owned());
            }
        }
        Milestone::Panicked => {
            tracing::warn!(domain = %vm.name(), "the guest's kernel panicked");
            tell(lifecycle::CRASHED_PANICKED);
        }
        Milestone::DumpWanted => dump::at_panic(service, vm),
        Milestone::Rebooted => {
            tracing::info!(domain = %vm.name(), "rebooted");
            service.events.publish(&vm.about(), &Happening::Reboot);
        }
        // One that never came up was never there for others.
        Milestone::ShuttingDown { guest: by_itself } if guest.is_up() => {
            tell(if *by_itself { lifecycle::SHUTDOWN_GUEST } else { lifecycle::SHUTDOWN_HOST });
        }
        Milestone::Deaf(why) => {
            tracing::error!(domain = %vm.name(), why, "QEMU cannot be talked to any more; the guest lives on");
            note(&mut locked(&vm.state).messages, format!("QEMU cannot be talked to: {why}"));
        }
        Milestone::Listed(_)
        | Milestone::Traced
        | Milestone::SetUp
        | Milestone::Spawned
        | Milestone::Greeted
        | Milestone::Ready(_)
        | Milestone::Measured(_)
        | Milestone::Verified
        | Milestone::Injected
        | Milestone::ShuttingDown { .. }
        | Milestone::Stopping => tracing::debug!(domain = %vm.name(), ?milestone, "reached"),
    }
}

/// What QEMU tells that is no step of the guest's life.
fn on_event(service: &Arc<Service>, vm: &Arc<Vm>, guest: &Guest, event: &qmp::Event) {
    let tell = |happening| service.events.publish(&vm.about(), &happening);
    match event {
        qmp::Event::Watchdog { action } => tell(Happening::Watchdog(watchdog_action(action))),
        qmp::Event::BlockIoError { device, node, action, reason, .. } => {
            let name = node.as_deref().filter(|_| device.is_empty()).unwrap_or(device);
            let (path, alias) = disk_of(vm, name);
            // libvirt has a word for a full disk only.
            let reason = if reason.contains("No space") { "enospc" } else { "" };
            let action = io_error_action(action);
            tell(Happening::IoError { path, alias, action, reason: reason.to_owned() });
        }
        qmp::Event::DeviceDeleted { device: Some(alias), .. } => {
            if let Some(guest) = vm.guest() {
                if alias.starts_with("vcpu") {
                    tune::let_go(vm, &guest);
                }
                device::deleted(service, vm, &guest, alias);
            }
        }
        qmp::Event::Other { name, data } => {
            // `virConnectDomainEventAgentLifecycleReason`: the channel.
            if let Some(state) = agent::heard(guest, event) {
                tell(Happening::AgentLifecycle { state, reason: 2 });
            }
            on_other(service, vm, guest, name, data);
        }
        _ => {}
    }
}

fn on_other(service: &Arc<Service>, vm: &Arc<Vm>, guest: &Guest, name: &str, data: &serde_json::Value) {
    let tell = |happening| service.events.publish(&vm.about(), &happening);
    let text = |key: &str| data.get(key).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    match name {
        "BLOCK_WRITE_THRESHOLD" => {
            if let Some(guest) = vm.guest() {
                device::threshold_exceeded(service, vm, guest, data);
            }
        }
        "RTC_CHANGE" => {
            if let Some(offset) = data.get("offset").and_then(serde_json::Value::as_i64) {
                tell(Happening::RtcChange(offset));
            }
        }
        "BALLOON_CHANGE" => {
            if let Some(bytes) = data.get("actual").and_then(serde_json::Value::as_u64) {
                guest.note_live(|live| live.current_memory = Some(Kib(bytes / 1024)));
                tell(Happening::BalloonChange(bytes / 1024));
            }
        }
        "DEVICE_TRAY_MOVED" => {
            let open = data.get("tray-open").and_then(serde_json::Value::as_bool).unwrap_or_default();
            // VIR_DOMAIN_EVENT_TRAY_CHANGE_OPEN 0, CLOSE 1.
            let alias = text("id");
            let alias = alias.strip_prefix("drive-").unwrap_or(&alias).to_owned();
            tell(Happening::TrayChange { alias, reason: i32::from(!open) });
        }
        "SUSPEND" => {
            tell(Happening::Lifecycle(lifecycle::PMSUSPENDED_MEMORY));
            tell(Happening::PmSuspend);
        }
        "WAKEUP" => {
            tell(Happening::Lifecycle(lifecycle::STARTED_WAKEUP));
            tell(Happening::PmWakeup);
        }
        _ => {}
    }
}

/// `virDomainEventWatchdogAction`.
fn watchdog_action(action: &str) -> i32 {
    match action {
        "pause" => 1,
        "reset" => 2,
        "poweroff" => 3,
        "shutdown" => 4,
        "debug" => 5,
        "inject-nmi" => 6,
        _ => 0,
    }
}

/// `virDomainEventIOErrorAction`: none, pause, report.
fn io_error_action(action: &str) -> i32 {
    match action {
        "stop" => 1,
        "report" => 2,
        _ => 0,
    }
}

/// The path and alias of the disk that QEMU calls so: by the device's id, or by the name of one of its layers.
fn disk_of(vm: &Vm, name: &str) -> (String, String) {
    let Some(live) = vm.live() else { return (String::new(), name.to_owned()) };
    let found = live.devices.disks.iter().find(|disk| {
        let alias = disk.info.alias.as_deref().unwrap_or_default();
        let layer = name.strip_prefix("libvirt-").and_then(|rest| rest.split('-').next());
        name == alias
            || name.strip_prefix("drive-") == Some(alias)
            || name.split('/').any(|part| part == alias)
            || layer.is_some_and(|number| number.parse().ok() == disk.run.map(|run| run.index))
    });
    let Some(disk) = found else { return (String::new(), name.to_owned()) };
    use domain::model::disk::DiskSource;
    let path = match &disk.source {
        Some(DiskSource::File { path }) => path.clone(),
        Some(DiskSource::Block { dev }) => dev.clone(),
        Some(DiskSource::Other { .. }) | None => String::new(),
    };
    (path, disk.info.alias.clone().unwrap_or_default())
}
