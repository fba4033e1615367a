//! Virtual CPUs, their model, their clock.

use super::{Switch, keyword::keywords};

/// `<vcpu>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vcpu {
    /// The most the guest can have.
    pub count: u32,
    /// How many are there at start, where that is fewer.
    pub current: Option<u32>,
    pub placement: Option<Placement>,
    /// Host CPUs, as written.
    pub cpuset: Option<String>,
}

impl Default for Vcpu {
    fn default() -> Self {
        Self { count: 1, current: None, placement: None, cpuset: None }
    }
}

keywords! {
    /// `<vcpu placement=…>`.
    pub enum Placement {
        Static = "static",
        Auto = "auto",
    }
}

/// `<cputune>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuTune {
    pub shares: Option<u64>,
    /// Microseconds.
    pub period: Option<u64>,
    /// Microseconds; negative is no limit.
    pub quota: Option<i64>,
    pub global_period: Option<u64>,
    pub global_quota: Option<i64>,
    pub emulator_period: Option<u64>,
    pub emulator_quota: Option<i64>,
    pub vcpu_pins: Vec<VcpuPin>,
    /// Host CPUs, as written.
    pub emulator_pin: Option<String>,
    pub iothread_period: Option<u64>,
    pub iothread_quota: Option<i64>,
    pub iothread_pins: Vec<IoThreadPin>,
}

/// `<iothreadpin>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IoThreadPin {
    pub iothread: u32,
    /// Host CPUs, as written.
    pub cpuset: String,
}

/// `<vcpupin>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VcpuPin {
    pub vcpu: u32,
    /// Host CPUs, as written.
    pub cpuset: String,
}

/// `<cpu>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// `None` when the element has neither `mode` nor `match`: only topology and the like are said.
    pub mode: Option<CpuMode>,
    pub matching: Option<CpuMatch>,
    pub check: Option<CpuCheck>,
    pub migratable: Option<Switch>,
    pub model: Option<CpuModel>,
    pub vendor: Option<String>,
    pub topology: Option<Topology>,
    pub cache: Option<CpuCache>,
    pub max_phys_addr: Option<MaxPhysAddr>,
    pub features: Vec<CpuFeature>,
}

keywords! {
    /// `<cpu mode=…>`.
    pub enum CpuMode {
        Custom = "custom",
        HostModel = "host-model",
        HostPassthrough = "host-passthrough",
        Maximum = "maximum",
    }
}

keywords! {
    /// `<cpu match=…>`.
    pub enum CpuMatch {
        Minimum = "minimum",
        Exact = "exact",
        Strict = "strict",
    }
}

keywords! {
    /// `<cpu check=…>`.
    pub enum CpuCheck {
        None = "none",
        Partial = "partial",
        Full = "full",
    }
}

/// `<model>` of `<cpu>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuModel {
    /// `None` for a host-model that is not expanded yet.
    pub name: Option<String>,
    pub fallback: Option<CpuFallback>,
    pub vendor_id: Option<String>,
}

keywords! {
    /// `<model fallback=…>`.
    pub enum CpuFallback {
        Allow = "allow",
        Forbid = "forbid",
    }
}

/// `<topology>`; libvirt's default for `dies` and `clusters` is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topology {
    pub sockets: u32,
    pub dies: u32,
    pub clusters: u32,
    pub cores: u32,
    pub threads: u32,
}

/// `<cache>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuCache {
    pub level: Option<u32>,
    pub mode: CacheMode,
}

keywords! {
    /// `<cache mode=…>`.
    pub enum CacheMode {
        Emulate = "emulate",
        Passthrough = "passthrough",
        Disable = "disable",
    }
}

/// `<maxphysaddr>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPhysAddr {
    pub mode: MaxPhysAddrMode,
    pub bits: Option<u32>,
    pub limit: Option<u32>,
}

keywords! {
    /// `<maxphysaddr mode=…>`.
    pub enum MaxPhysAddrMode {
        Emulate = "emulate",
        Passthrough = "passthrough",
    }
}

/// `<feature>` of `<cpu>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuFeature {
    pub name: String,
    pub policy: Option<FeaturePolicy>,
}

keywords! {
    /// `<feature policy=…>`.
    pub enum FeaturePolicy {
        Force = "force",
        Require = "require",
        Optional = "optional",
        Disable = "disable",
        Forbid = "forbid",
    }
}

/// `<clock>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    pub offset: ClockOffset,
    pub timers: Vec<Timer>,
}

/// `<clock offset=…>` with what belongs to each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClockOffset {
    Utc {
        adjustment: Option<Adjustment>,
    },
    Localtime {
        adjustment: Option<Adjustment>,
    },
    Timezone {
        timezone: String,
    },
    Variable {
        /// Seconds.
        adjustment: i64,
        basis: ClockBasis,
    },
    Absolute {
        /// Seconds since 1970.
        start: u64,
    },
}

impl Default for ClockOffset {
    fn default() -> Self {
        Self::Utc { adjustment: None }
    }
}

/// `adjustment=…` of the clocks that may be reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adjustment {
    Reset,
    /// Seconds: turns the clock into a variable one.
    Seconds(i64),
}

keywords! {
    /// `<clock basis=…>`.
    #[derive(Default)]
    pub enum ClockBasis {
        #[default]
        Utc = "utc",
        Localtime = "localtime",
    }
}

/// `<timer>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    pub name: TimerName,
    pub present: Option<Switch>,
    pub tick_policy: Option<TickPolicy>,
    pub track: Option<TimerTrack>,
    pub catchup: Option<Catchup>,
    /// Hertz.
    pub frequency: Option<u64>,
    pub mode: Option<TscMode>,
}

keywords! {
    /// `<timer name=…>`.
    pub enum TimerName {
        Platform = "platform",
        Pit = "pit",
        Rtc = "rtc",
        Hpet = "hpet",
        Tsc = "tsc",
        Kvmclock = "kvmclock",
        Hypervclock = "hypervclock",
        Armvtimer = "armvtimer",
    }
}

keywords! {
    /// `<timer tickpolicy=…>`.
    pub enum TickPolicy {
        Delay = "delay",
        Catchup = "catchup",
        Merge = "merge",
        Discard = "discard",
    }
}

keywords! {
    /// `<timer track=…>`.
    pub enum TimerTrack {
        Boot = "boot",
        Guest = "guest",
        Wall = "wall",
        Realtime = "realtime",
    }
}

keywords! {
    /// `<timer mode=…>`, for `tsc`.
    pub enum TscMode {
        Auto = "auto",
        Native = "native",
        Emulate = "emulate",
        Paravirt = "paravirt",
        Smpsafe = "smpsafe",
    }
}

/// `<catchup>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Catchup {
    pub threshold: Option<u64>,
    pub slew: Option<u64>,
    pub limit: Option<u64>,
}
