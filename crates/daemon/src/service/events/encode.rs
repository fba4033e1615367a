//! What happened → what is sent to a client that registered for one of `virDomainEventID`.

use rpc::remote::event::{
    AgentLifecycle, BalloonChange, BlockThreshold, Device, IoError, IoErrorReason, Lifecycle, MetadataChange,
    Plain, Pm, RtcChange, TrayChange, Tunable, Watchdog,
};
use rpc::remote::typed_param::TypedParam;
use rpc::remote::{Event, object};

use super::{About, Happening};

pub(super) fn object(about: &About) -> object::Domain<'_> {
    object::Domain { name: about.name.as_str().into(), uuid: about.uuid, id: about.id }
}

/// `None` where this is not what was registered for.
pub(super) fn domain<'a>(
    id: i32,
    callback_id: i32,
    about: &'a About,
    happening: &'a Happening,
) -> Option<Event<'a>> {
    use Happening as H;
    let dom = object(about);
    let device = |alias: &'a str| Device { callback_id, dom: object(about), dev_alias: alias.into() };
    Some(match (id, happening) {
        (0, &H::Lifecycle((event, detail))) => {
            Event::DomainEventCallbackLifecycle(Lifecycle { callback_id, dom, event, detail })
        }
        (1, H::Reboot) => Event::DomainEventCallbackReboot(Plain { callback_id, dom }),
        (2, &H::RtcChange(offset)) => {
            Event::DomainEventCallbackRtcChange(RtcChange { callback_id, dom, offset })
        }
        (3, &H::Watchdog(action)) => {
            Event::DomainEventCallbackWatchdog(Watchdog { callback_id, dom, action })
        }
        (4, H::IoError { path, alias, action, .. }) => Event::DomainEventCallbackIoError(IoError {
            callback_id,
            dom,
            src_path: path.into(),
            dev_alias: alias.into(),
            action: *action,
        }),
        (6, H::IoError { path, alias, action, reason }) => {
            Event::DomainEventCallbackIoErrorReason(IoErrorReason {
                callback_id,
                dom,
                src_path: path.into(),
                dev_alias: alias.into(),
                action: *action,
                reason: reason.into(),
            })
        }
        (10, H::TrayChange { alias, reason }) => Event::DomainEventCallbackTrayChange(TrayChange {
            callback_id,
            dom,
            dev_alias: alias.into(),
            reason: *reason,
        }),
        (11, H::PmWakeup) => Event::DomainEventCallbackPmwakeup(Pm { callback_id, reason: 0, dom }),
        (12, H::PmSuspend) => Event::DomainEventCallbackPmsuspend(Pm { callback_id, reason: 0, dom }),
        (13, &H::BalloonChange(actual)) => {
            Event::DomainEventCallbackBalloonChange(BalloonChange { callback_id, dom, actual })
        }
        (15, H::DeviceRemoved(alias)) => Event::DomainEventCallbackDeviceRemoved(device(alias)),
        (17, H::Tunable(tuned)) => Event::DomainEventCallbackTunable(Tunable {
            callback_id,
            dom,
            params: tuned.iter().map(|(name, value)| TypedParam::new(name.as_str(), value.clone())).collect(),
        }),
        (24, H::BlockThreshold { device, path, threshold, excess }) => {
            Event::DomainEventBlockThreshold(BlockThreshold {
                callback_id,
                dom,
                dev: device.into(),
                path: path.as_deref().map(Into::into),
                threshold: *threshold,
                excess: *excess,
            })
        }
        (18, &H::AgentLifecycle { state, reason }) => {
            Event::DomainEventCallbackAgentLifecycle(AgentLifecycle { callback_id, dom, state, reason })
        }
        (19, H::DeviceAdded(alias)) => Event::DomainEventCallbackDeviceAdded(device(alias)),
        (22, H::DeviceRemovalFailed(alias)) => Event::DomainEventCallbackDeviceRemovalFailed(device(alias)),
        (23, H::MetadataChange { kind, uri }) => Event::DomainEventCallbackMetadataChange(MetadataChange {
            callback_id,
            dom,
            kind: *kind,
            nsuri: uri.as_deref().map(Into::into),
        }),
        _ => return None,
    })
}
