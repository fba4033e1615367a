//! The host's processors: how many, how they lie, and what they have done since boot.

use rpc::remote::node::{CpuMapArgs, CpuMapReply, CpuStatsArgs, Info, Stat, StatsReply};
use rpc::xdr::{CharArray, List};

use super::sys::Sys;
use super::topology::Topology;
use super::{misused, no_flags};
use crate::service::Failure;

/// `VIR_NODE_CPU_STATS_ALL_CPUS`.
const ALL_CPUS: i32 = -1;

const NANOSECONDS: u64 = 1_000_000_000;

pub(in crate::service) fn info() -> Info {
    info_of(&Sys::live())
}

pub(super) fn info_of(sys: &Sys) -> Info {
    let topology = Topology::of(sys);
    let shape = topology.shape();
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    Info {
        model: CharArray::new(std::env::consts::ARCH),
        memory: sys.kib("/proc/meminfo", "MemTotal").unwrap_or(0),
        cpus: number(topology.online.len()),
        mhz: megahertz(sys),
        nodes: number(shape.cells),
        sockets: number(shape.sockets),
        cores: number(shape.cores),
        threads: number(shape.threads),
    }
}

/// Of the first processor, now.
fn megahertz(sys: &Sys) -> i32 {
    let text = sys.text("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("cpu MHz")?.split_once(':'));
    line.and_then(|(_, value)| value.trim().split('.').next()?.parse().ok()).unwrap_or(0)
}

pub(in crate::service) fn cpu_map(args: &CpuMapArgs) -> Result<CpuMapReply<'static>, Failure> {
    map(&Sys::live(), args)
}

/// `ret` is the number of processors that are present; the map has a bit for each that is on, the first in the lowest
/// bit of the first byte.
pub(super) fn map(sys: &Sys, args: &CpuMapArgs) -> Result<CpuMapReply<'static>, Failure> {
    no_flags(args.flags, 0, "virHostCPUGetMap")?;
    let topology = Topology::of(sys);
    let mut bytes = vec![0u8; usize::try_from(topology.present.div_ceil(8)).unwrap_or(0)];
    for cpu in &topology.online {
        let place = usize::try_from(cpu / 8).ok().and_then(|index| bytes.get_mut(index));
        if let Some(byte) = place {
            *byte |= 1 << (cpu % 8);
        }
    }
    if args.need_map == 0 {
        bytes.clear();
    }
    let online = if args.need_online == 0 { 0 } else { topology.online.len() };
    Ok(CpuMapReply {
        cpumap: bytes.into(),
        online: u32::try_from(online).unwrap_or(u32::MAX),
        ret: i32::try_from(topology.present).unwrap_or(i32::MAX),
    })
}

pub(in crate::service) fn cpu_stats(args: &CpuStatsArgs) -> Result<StatsReply<'static>, Failure> {
    stats(&Sys::live(), args)
}

/// Nanoseconds since boot.
pub(super) fn stats(sys: &Sys, args: &CpuStatsArgs) -> Result<StatsReply<'static>, Failure> {
    const FUNCTION: &str = "virHostCPUGetStatsLinux";
    const COUNT: i32 = 4;
    no_flags(args.flags, 0, "virHostCPUGetStats")?;
    if args.nparams == 0 {
        return Ok(StatsReply { params: List::default(), nparams: COUNT });
    }
    if args.nparams != COUNT {
        let message = format!("nparams in {FUNCTION} must be equal to {COUNT}");
        return Err(misused(FUNCTION, "nparams", message));
    }
    let name = if args.cpu_num == ALL_CPUS { "cpu".to_owned() } else { format!("cpu{}", args.cpu_num) };
    let text = sys.text("/proc/stat").unwrap_or_default();
    let fields = text.lines().find_map(|line| {
        let (key, values) = line.split_once(' ')?;
        (key == name).then(|| values.split_ascii_whitespace())
    });
    let Some(fields) = fields else {
        return Err(misused(FUNCTION, "cpuNum", format!("Invalid cpuNum in {FUNCTION}")));
    };
    // user nice system idle iowait irq softirq … (proc_stat(5)).
    let ticks: Vec<u64> = fields.map(|word| word.parse().unwrap_or(0)).collect();
    let per_tick = NANOSECONDS / rustix::param::clock_ticks_per_second().max(1);
    let sum = |places: &[usize]| -> u64 {
        let ticks: u64 = places.iter().filter_map(|place| ticks.get(*place)).sum();
        ticks.saturating_mul(per_tick)
    };
    let of = |field: &'static str, places: &[usize]| Stat { field: field.into(), value: sum(places) };
    let params = [of("kernel", &[2, 5, 6]), of("user", &[0, 1]), of("idle", &[3]), of("iowait", &[4])];
    Ok(StatsReply { params: params.into_iter().collect(), nparams: COUNT })
}
