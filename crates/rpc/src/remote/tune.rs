//! Calls that read and set how much of the host a domain gets: memory, processors, threads, weights.

use crate::xdr::{List, Opaque, Text, records};

use super::object::Domain;
use super::typed_param::Params;

records! {
    /// In KiB.
    MemoryArgs<'a> { dom: Domain<'a>, memory: u64 }
    /// `period` is in seconds.
    MemoryStatsPeriodArgs<'a> { dom: Domain<'a>, period: i32, flags: u32 }
    MemoryStatsArgs<'a> { dom: Domain<'a>, max_stats: u32, flags: u32 }
    /// `tag` is `virDomainMemoryStatTags`.
    MemoryStat { tag: i32, val: u64 }

    VcpusArgs<'a> { dom: Domain<'a>, nvcpus: u32 }
    /// `state` is `virVcpuState`, `cpu_time` is in nanoseconds.
    VcpuInfo { number: u32, state: i32, cpu_time: u64, cpu: i32 }
    GetVcpusArgs<'a> { dom: Domain<'a>, maxinfo: i32, maplen: i32 }
    GetVcpusReply<'a> { info: List<VcpuInfo, 16384>, cpumaps: Opaque<'a, 8_388_608> }
    PinVcpuArgs<'a> { dom: Domain<'a>, vcpu: u32, cpumap: Opaque<'a, 2048> }
    PinVcpuFlagsArgs<'a> { dom: Domain<'a>, vcpu: u32, cpumap: Opaque<'a, 2048>, flags: u32 }
    VcpuPinInfoArgs<'a> { dom: Domain<'a>, ncpumaps: i32, maplen: i32, flags: u32 }
    /// How many of `cpumaps` are filled.
    PinInfoReply<'a> { cpumaps: Opaque<'a, 8_388_608>, num: i32 }
    PinEmulatorArgs<'a> { dom: Domain<'a>, cpumap: Opaque<'a, 2048>, flags: u32 }
    EmulatorPinInfoArgs<'a> { dom: Domain<'a>, maplen: i32, flags: u32 }
    /// `cpumap` is a list such as `0-3,^2`.
    SetVcpuArgs<'a> { dom: Domain<'a>, cpumap: Text<'a>, state: i32, flags: u32 }

    IothreadInfo<'a> { iothread_id: u32, cpumap: Opaque<'a, 2048> }
    IothreadInfoReply<'a> { info: List<IothreadInfo<'a>, 16384>, ret: u32 }
    IothreadParamsArgs<'a> { dom: Domain<'a>, iothread_id: u32, params: Params<'a, 64>, flags: u32 }

    SchedulerType<'a> { kind: Text<'a>, nparams: i32 }
    SchedulerParametersArgs<'a> { dom: Domain<'a>, nparams: i32 }
    SetSchedulerParametersArgs<'a> { dom: Domain<'a>, params: Params<'a, 16> }

    CpuStatsArgs<'a> { dom: Domain<'a>, nparams: u32, start_cpu: i32, ncpus: u32, flags: u32 }
    CpuStatsReply<'a> { params: Params<'a, 2048>, nparams: i32 }
}
