//! Watchdogs.

use domain::{
    Domain,
    model::devices::{WatchdogAction, WatchdogModel},
};

use super::{Argument, Properties, address::Buses};
use crate::plan::{Device, DeviceKind, PlanError, ids};

/// Watchdogs, and what QEMU does when one of them bites.
pub(crate) fn watchdogs(domain: &Domain) -> Result<Vec<Device>, PlanError> {
    let mut devices = Vec::new();
    for (index, watchdog) in domain.devices.watchdogs.iter().enumerate() {
        let id = ids::numbered("watchdog", index, &watchdog.info);
        devices.push(match watchdog.model {
            WatchdogModel::I6300esb => {
                let frontend = Properties::device("i6300esb").with("id", id.as_str());
                let place = Buses::new(domain).pci(&watchdog.info, &id)?;
                Device::plain(DeviceKind::Watchdog, id, frontend.and(place))
            }
            WatchdogModel::Ib700 => {
                let frontend = Properties::device("ib700").with("id", id.as_str());
                Device::plain(DeviceKind::Watchdog, id, frontend)
            }
            // Part of Q35's south bridge: it is let loose, not added.
            WatchdogModel::Itco => {
                let unleash = Argument::Text("-global", "ICH9-LPC.noreboot=off".to_owned());
                Device::host_side(DeviceKind::Watchdog, id, vec![unleash])
            }
            WatchdogModel::Diag288 => {
                return Err(PlanError::Unsupported {
                    device: id,
                    what: "a watchdog of another architecture".into(),
                });
            }
        });
    }
    devices.extend(domain.devices.watchdogs.first().map(|watchdog| {
        let action = match watchdog.action {
            // The supervisor writes the dump once QEMU has stopped the guest.
            WatchdogAction::Dump => "pause".to_owned(),
            action => action.to_string(),
        };
        let action = Argument::Text("-watchdog-action", action);
        Device::host_side(DeviceKind::Watchdog, "watchdog-action".to_owned(), vec![action])
    }));
    Ok(devices)
}
