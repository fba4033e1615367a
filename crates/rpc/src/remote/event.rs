//! What a client is told about domains without asking, once it has registered.

use crate::xdr::{List, Text, records};

use super::object::Domain;
use super::procedure::Procedure;
use super::typed_param::Params;

records! {
    /// An event that says no more than that it happened.
    Plain<'a> { callback_id: i32, dom: Domain<'a> }
    /// `virDomainEventType` and a detail that depends on it.
    Lifecycle<'a> { callback_id: i32, dom: Domain<'a>, event: i32, detail: i32 }
    /// Seconds that the guest's clock is off UTC.
    RtcChange<'a> { callback_id: i32, dom: Domain<'a>, offset: i64 }
    Watchdog<'a> { callback_id: i32, dom: Domain<'a>, action: i32 }
    IoError<'a> { callback_id: i32, dom: Domain<'a>, src_path: Text<'a>, dev_alias: Text<'a>, action: i32 }
    IoErrorReason<'a> {
        callback_id: i32,
        dom: Domain<'a>,
        src_path: Text<'a>,
        dev_alias: Text<'a>,
        action: i32,
        reason: Text<'a>,
    }
    GraphicsAddress<'a> { family: i32, node: Text<'a>, service: Text<'a> }
    GraphicsIdentity<'a> { kind: Text<'a>, name: Text<'a> }
    Graphics<'a> {
        callback_id: i32,
        dom: Domain<'a>,
        phase: i32,
        local: GraphicsAddress<'a>,
        remote: GraphicsAddress<'a>,
        auth_scheme: Text<'a>,
        subject: List<GraphicsIdentity<'a>, 20>,
    }
    /// `disk` is a path in `BLOCK_JOB`, a target such as `vda` in `BLOCK_JOB_2`.
    BlockJob<'a> { callback_id: i32, dom: Domain<'a>, disk: Text<'a>, kind: i32, status: i32 }
    DiskChange<'a> {
        callback_id: i32,
        dom: Domain<'a>,
        old_src_path: Option<Text<'a>>,
        new_src_path: Option<Text<'a>>,
        dev_alias: Text<'a>,
        reason: i32,
    }
    TrayChange<'a> { callback_id: i32, dom: Domain<'a>, dev_alias: Text<'a>, reason: i32 }
    /// Suspended or woken up. The reason stands before the domain.
    Pm<'a> { callback_id: i32, reason: i32, dom: Domain<'a> }
    /// `actual` is in KiB.
    BalloonChange<'a> { callback_id: i32, dom: Domain<'a>, actual: u64 }
    Device<'a> { callback_id: i32, dom: Domain<'a>, dev_alias: Text<'a> }
    Tunable<'a> { callback_id: i32, dom: Domain<'a>, params: Params<'a, 2048> }
    AgentLifecycle<'a> { callback_id: i32, dom: Domain<'a>, state: i32, reason: i32 }
    MigrationIteration<'a> { callback_id: i32, dom: Domain<'a>, iteration: i32 }
    JobCompleted<'a> { callback_id: i32, dom: Domain<'a>, params: Params<'a, 64> }
    MetadataChange<'a> { callback_id: i32, dom: Domain<'a>, kind: i32, nsuri: Option<Text<'a>> }
    BlockThreshold<'a> {
        callback_id: i32,
        dom: Domain<'a>,
        dev: Text<'a>,
        path: Option<Text<'a>>,
        threshold: u64,
        excess: u64,
    }
    MemoryFailure<'a> { callback_id: i32, dom: Domain<'a>, recipient: i32, action: i32, flags: u32 }
    /// `size` is in KiB.
    MemoryDeviceSizeChange<'a> { callback_id: i32, dom: Domain<'a>, alias: Text<'a>, size: u64 }
    NicMacChange<'a> { callback_id: i32, dom: Domain<'a>, alias: Text<'a>, old_mac: Text<'a>, new_mac: Text<'a> }
}

/// Lifecycle events with their details: `virDomainEventType` and the enumerations of details beside it.
pub mod lifecycle {
    pub const DEFINED_ADDED: (i32, i32) = (0, 0);
    pub const DEFINED_UPDATED: (i32, i32) = (0, 1);
    pub const DEFINED_RENAMED: (i32, i32) = (0, 2);
    pub const UNDEFINED_REMOVED: (i32, i32) = (1, 0);
    pub const UNDEFINED_RENAMED: (i32, i32) = (1, 1);
    pub const STARTED_BOOTED: (i32, i32) = (2, 0);
    pub const STARTED_RESTORED: (i32, i32) = (2, 2);
    pub const STARTED_WAKEUP: (i32, i32) = (2, 4);
    pub const SUSPENDED_PAUSED: (i32, i32) = (3, 0);
    pub const SUSPENDED_IOERROR: (i32, i32) = (3, 2);
    pub const SUSPENDED_WATCHDOG: (i32, i32) = (3, 3);
    pub const SUSPENDED_API_ERROR: (i32, i32) = (3, 6);
    pub const RESUMED_UNPAUSED: (i32, i32) = (4, 0);
    pub const STOPPED_SHUTDOWN: (i32, i32) = (5, 0);
    pub const STOPPED_DESTROYED: (i32, i32) = (5, 1);
    pub const STOPPED_CRASHED: (i32, i32) = (5, 2);
    pub const STOPPED_SAVED: (i32, i32) = (5, 4);
    pub const STOPPED_FAILED: (i32, i32) = (5, 5);
    pub const SHUTDOWN_FINISHED: (i32, i32) = (6, 0);
    pub const SHUTDOWN_GUEST: (i32, i32) = (6, 1);
    pub const SHUTDOWN_HOST: (i32, i32) = (6, 2);
    pub const PMSUSPENDED_MEMORY: (i32, i32) = (7, 0);
    pub const CRASHED_PANICKED: (i32, i32) = (8, 0);
}

/// Which procedure carries each event that can be registered for: the index is `virDomainEventID`.
pub const BY_ID: [Procedure; 28] = [
    Procedure::DomainEventCallbackLifecycle,
    Procedure::DomainEventCallbackReboot,
    Procedure::DomainEventCallbackRtcChange,
    Procedure::DomainEventCallbackWatchdog,
    Procedure::DomainEventCallbackIoError,
    Procedure::DomainEventCallbackGraphics,
    Procedure::DomainEventCallbackIoErrorReason,
    Procedure::DomainEventCallbackControlError,
    Procedure::DomainEventCallbackBlockJob,
    Procedure::DomainEventCallbackDiskChange,
    Procedure::DomainEventCallbackTrayChange,
    Procedure::DomainEventCallbackPmwakeup,
    Procedure::DomainEventCallbackPmsuspend,
    Procedure::DomainEventCallbackBalloonChange,
    Procedure::DomainEventCallbackPmsuspendDisk,
    Procedure::DomainEventCallbackDeviceRemoved,
    Procedure::DomainEventBlockJob2,
    Procedure::DomainEventCallbackTunable,
    Procedure::DomainEventCallbackAgentLifecycle,
    Procedure::DomainEventCallbackDeviceAdded,
    Procedure::DomainEventCallbackMigrationIteration,
    Procedure::DomainEventCallbackJobCompleted,
    Procedure::DomainEventCallbackDeviceRemovalFailed,
    Procedure::DomainEventCallbackMetadataChange,
    Procedure::DomainEventBlockThreshold,
    Procedure::DomainEventMemoryFailure,
    Procedure::DomainEventMemoryDeviceSizeChange,
    Procedure::DomainEventNicMacChange,
];
