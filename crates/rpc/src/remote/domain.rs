//! Calls about one domain: its life, its definition, what it says about itself, its guest.

use crate::xdr::{Chars, Hidden, List, Text, Uuid, records};

use super::object::{Checkpoint, Domain, Snapshot};

records! {
    /// `state` is `virDomainState`; memory is in KiB, time in nanoseconds.
    Info { state: u8, max_mem: u64, memory: u64, nr_virt_cpu: u16, cpu_time: u64 }
    /// `virDomainState` and a reason that depends on it.
    State { state: i32, reason: i32 }
    /// `virDomainControlState`; `state_time` is in milliseconds.
    ControlInfo { state: u32, details: u32, state_time: u64 }
    /// `kind` is `virDomainJobType`; times are in milliseconds, sizes in bytes.
    JobInfo {
        kind: i32,
        time_elapsed: u64,
        time_remaining: u64,
        data_total: u64,
        data_processed: u64,
        data_remaining: u64,
        mem_total: u64,
        mem_processed: u64,
        mem_remaining: u64,
        file_total: u64,
        file_processed: u64,
        file_remaining: u64,
    }
    JobStats<'a> { kind: i32, params: super::typed_param::Params<'a, 64> }

    SetAutostartArgs<'a> { dom: Domain<'a>, autostart: i32 }
    SetLifecycleActionArgs<'a> { dom: Domain<'a>, kind: u32, action: u32, flags: u32 }
    RenameArgs<'a> { dom: Domain<'a>, new_name: Option<Text<'a>>, flags: u32 }
    PmSuspendArgs<'a> { dom: Domain<'a>, target: u32, duration: u64, flags: u32 }
    SaveArgs<'a> { dom: Domain<'a>, to: Text<'a> }
    SaveFlagsArgs<'a> { dom: Domain<'a>, to: Text<'a>, dxml: Option<Text<'a>>, flags: u32 }
    RestoreFlagsArgs<'a> { from: Text<'a>, dxml: Option<Text<'a>>, flags: u32 }
    SaveImageDefineXmlArgs<'a> { file: Text<'a>, dxml: Text<'a>, flags: u32 }
    ManagedSaveDefineXmlArgs<'a> { dom: Domain<'a>, dxml: Option<Text<'a>>, flags: u32 }
    CoreDumpWithFormatArgs<'a> { dom: Domain<'a>, to: Text<'a>, dumpformat: u32, flags: u32 }

    /// `kind` is `virDomainMetadataType`: description 0, title 1, element 2. No `metadata` removes it.
    SetMetadataArgs<'a> {
        dom: Domain<'a>,
        kind: i32,
        metadata: Option<Text<'a>>,
        key: Option<Text<'a>>,
        uri: Option<Text<'a>>,
        flags: u32,
    }
    GetMetadataArgs<'a> { dom: Domain<'a>, kind: i32, uri: Option<Text<'a>>, flags: u32 }

    SecurityLabel { label: Chars<4097>, enforcing: i32 }
    SecurityLabelList { labels: List<SecurityLabel, 64>, ret: i32 }

    /// A console, a channel or another character device; the first one when it has no name.
    OpenDeviceArgs<'a> { dom: Domain<'a>, device: Option<Text<'a>>, flags: u32 }
    /// `seconds` is how long it is measured.
    DirtyRateCalcArgs<'a> { dom: Domain<'a>, seconds: i32, flags: u32 }
    SendKeyArgs<'a> { dom: Domain<'a>, codeset: u32, holdtime: u32, keycodes: List<u32, 16>, flags: u32 }
    SendProcessSignalArgs<'a> { dom: Domain<'a>, pid: i64, signum: u32, flags: u32 }

    Time { seconds: i64, nseconds: u32 }
    SetTimeArgs<'a> { dom: Domain<'a>, seconds: i64, nseconds: u32, flags: u32 }
    SetUserPasswordArgs<'a> {
        dom: Domain<'a>,
        user: Option<Text<'a>>,
        password: Option<Hidden<Text<'a>>>,
        flags: u32,
    }
    AgentTimeoutArgs<'a> { dom: Domain<'a>, timeout: i32, flags: u32 }
    SshKeysArgs<'a> { dom: Domain<'a>, user: Text<'a>, flags: u32 }
    SetSshKeysArgs<'a> { dom: Domain<'a>, user: Text<'a>, keys: List<Text<'a>, 2048>, flags: u32 }

    /// `kind` is `virIPAddrType`: 0 for IPv4, 1 for IPv6.
    IpAddr<'a> { kind: i32, addr: Text<'a>, prefix: u32 }
    Interface<'a> { name: Text<'a>, hwaddr: Option<Text<'a>>, addrs: List<IpAddr<'a>, 2048> }

    BackupBeginArgs<'a> {
        dom: Domain<'a>,
        backup_xml: Text<'a>,
        checkpoint_xml: Option<Text<'a>>,
        flags: u32,
    }

    /// What a guest owner gives to a paused guest; never shown.
    LaunchSecurityStateArgs<'a> {
        dom: Domain<'a>,
        params: Hidden<super::typed_param::Params<'a, 64>>,
        flags: u32,
    }

    ListNamesArgs<'a> { dom: Domain<'a>, maxnames: i32, flags: u32 }
    ListAllSnapshotsArgs<'a> { dom: Domain<'a>, need_results: i32, flags: u32 }
    ListAllSnapshotsReply<'a> { snapshots: List<Snapshot<'a>, 16384>, ret: i32 }
    ListAllCheckpointsReply<'a> { checkpoints: List<Checkpoint<'a>, 16384>, ret: i32 }
    SnapshotLookupArgs<'a> { dom: Domain<'a>, name: Text<'a>, flags: u32 }
    SnapshotFlags<'a> { snap: Snapshot<'a>, flags: u32 }
    SnapshotListNamesArgs<'a> { snap: Snapshot<'a>, maxnames: i32, flags: u32 }
    SnapshotListAllArgs<'a> { snap: Snapshot<'a>, need_results: i32, flags: u32 }

    /// Who is told of which event (`virDomainEventID`); `None` means every domain.
    EventArgs<'a> { event_id: i32, dom: Option<Domain<'a>> }
}

impl<'a> Domain<'a> {
    /// How a domain that is not running is named.
    pub fn inactive(name: impl Into<Text<'a>>, uuid: Uuid) -> Self {
        Self { name: name.into(), uuid, id: -1 }
    }
}

/// States of a domain with their reasons, as `DOMAIN_GET_STATE` gives them: `virDomainState` and the enumerations of
/// reasons beside it.
pub mod state {
    use super::State;

    const fn of(state: i32, reason: i32) -> State {
        State { state, reason }
    }

    pub const NOSTATE: State = of(0, 0);
    pub const RUNNING_BOOTED: State = of(1, 1);
    pub const RUNNING_RESTORED: State = of(1, 3);
    pub const RUNNING_UNPAUSED: State = of(1, 5);
    pub const RUNNING_WAKEUP: State = of(1, 8);
    pub const PAUSED_USER: State = of(3, 1);
    pub const PAUSED_IOERROR: State = of(3, 5);
    pub const PAUSED_WATCHDOG: State = of(3, 6);
    pub const PAUSED_SHUTTING_DOWN: State = of(3, 8);
    pub const PAUSED_CRASHED: State = of(3, 10);
    pub const PAUSED_STARTING_UP: State = of(3, 11);
    pub const PAUSED_API_ERROR: State = of(3, 14);
    pub const SHUTDOWN_USER: State = of(4, 1);
    pub const SHUTOFF_UNKNOWN: State = of(5, 0);
    pub const SHUTOFF_SHUTDOWN: State = of(5, 1);
    pub const SHUTOFF_DESTROYED: State = of(5, 2);
    pub const SHUTOFF_CRASHED: State = of(5, 3);
    pub const SHUTOFF_SAVED: State = of(5, 5);
    pub const SHUTOFF_FAILED: State = of(5, 6);
    pub const SHUTOFF_DAEMON: State = of(5, 8);
    pub const CRASHED_PANICKED: State = of(6, 1);
    pub const PMSUSPENDED: State = of(7, 0);
}
