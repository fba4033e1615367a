//! The host's memory: what is there, what is free, in pages of which size, and how the kernel shares equal ones.

use rpc::error::{Origin, RemoteError};
use rpc::remote::common::{Nparams, Params64Reply};
use rpc::remote::node::{CellsFreeMemoryArgs, FreePagesArgs, MemoryStatsArgs, Stat, StatsReply};
use rpc::remote::typed_param::TypedParam;
use rpc::xdr::List;

use super::sys::Sys;
use super::{misused, no_flags, topology};
use crate::service::Failure;

/// `VIR_NODE_MEMORY_STATS_ALL_CELLS`.
const ALL_CELLS: i32 = -1;

/// `VIR_TYPED_PARAM_STRING_OKAY`.
const STRINGS: u32 = 4;

/// Kernel samepage merging: libvirt's names, the kernel's (linux, Documentation/admin-guide/mm/ksm.rst), and whether
/// the value has 64 bits.
const KSM: [(&str, &str, bool); 8] = [
    ("shm_pages_to_scan", "pages_to_scan", false),
    ("shm_sleep_millisecs", "sleep_millisecs", false),
    ("shm_pages_shared", "pages_shared", true),
    ("shm_pages_sharing", "pages_sharing", true),
    ("shm_pages_unshared", "pages_unshared", true),
    ("shm_pages_volatile", "pages_volatile", true),
    ("shm_full_scans", "full_scans", true),
    ("shm_merge_across_nodes", "merge_across_nodes", false),
];

/// KiB, by libvirt's names and the kernel's.
const OF_ALL: &[(&str, &str)] =
    &[("total", "MemTotal"), ("free", "MemFree"), ("buffers", "Buffers"), ("cached", "Cached")];
const OF_A_CELL: &[(&str, &str)] = &[("total", "MemTotal"), ("free", "MemFree")];

pub(in crate::service) fn memory_stats(args: &MemoryStatsArgs) -> Result<StatsReply<'static>, Failure> {
    stats(&Sys::live(), args)
}

pub(super) fn stats(sys: &Sys, args: &MemoryStatsArgs) -> Result<StatsReply<'static>, Failure> {
    const FUNCTION: &str = "virHostMemGetStats";
    no_flags(args.flags, 0, FUNCTION)?;
    let (file, fields) = match u32::try_from(args.cell_num) {
        _ if args.cell_num == ALL_CELLS => ("/proc/meminfo".to_owned(), OF_ALL),
        Ok(cell) if topology::nodes(sys).contains(&cell) => {
            (format!("{}/meminfo", topology::node(cell)), OF_A_CELL)
        }
        _ => {
            let last = last_cell(sys);
            let message = format!("cellNum in {FUNCTION} must be less than or equal to {last}");
            return Err(misused(FUNCTION, "cellNum", message));
        }
    };
    let nparams = i32::try_from(fields.len()).unwrap_or_default();
    if args.nparams == 0 {
        return Ok(StatsReply { params: List::default(), nparams });
    }
    if args.nparams != nparams {
        let message = format!("nparams in {FUNCTION} must be equal to {nparams}");
        return Err(misused(FUNCTION, "nparams", message));
    }
    let of = |(field, key): &(&'static str, &str)| Stat {
        field: (*field).into(),
        value: sys.kib(&file, key).unwrap_or(0),
    };
    Ok(StatsReply { params: fields.iter().map(of).collect(), nparams })
}

/// Bytes.
pub(in crate::service) fn free_memory() -> u64 {
    free(&Sys::live(), None)
}

/// Bytes, of a cell or of all.
fn free(sys: &Sys, cell: Option<u32>) -> u64 {
    let file =
        cell.map_or_else(|| "/proc/meminfo".to_owned(), |id| format!("{}/meminfo", topology::node(id)));
    sys.kib(file, "MemFree").unwrap_or(0).saturating_mul(1024)
}

/// Bytes, cell after cell.
pub(in crate::service) fn cells_free_memory(args: &CellsFreeMemoryArgs) -> Result<List<u64, 1024>, Failure> {
    let sys = Sys::live();
    let cells = cells_from(&sys, args.start_cell)?;
    let count = usize::try_from(args.maxcells).unwrap_or(0).min(1024);
    Ok(cells.into_iter().take(count).map(|cell| free(&sys, cell)).collect())
}

/// The cells from one on; where the kernel knows of none, the whole host is the first.
fn cells_from(sys: &Sys, first: i32) -> Result<Vec<Option<u32>>, Failure> {
    let nodes = topology::nodes(sys);
    let cells: Vec<Option<u32>> =
        if nodes.is_empty() { vec![None] } else { nodes.into_iter().map(Some).collect() };
    let last = last_cell(sys);
    let wanted = u32::try_from(first).ok().filter(|first| *first <= last);
    let Some(wanted) = wanted else {
        return Err(Box::new(RemoteError::new(
            rpc::error::Code::INTERNAL_ERROR,
            Origin::NONE,
            format!("start cell {first} out of range (0-{last})"),
        )));
    };
    Ok(cells.into_iter().filter(|cell| cell.unwrap_or(0) >= wanted).collect())
}

fn last_cell(sys: &Sys) -> u32 {
    topology::nodes(sys).last().copied().unwrap_or(0)
}

/// For each cell the free pages of each size that is asked for.
pub(in crate::service) fn free_pages(args: &FreePagesArgs) -> Result<List<u64, 1024>, Failure> {
    free_pages_of(&Sys::live(), args)
}

pub(super) fn free_pages_of(sys: &Sys, args: &FreePagesArgs) -> Result<List<u64, 1024>, Failure> {
    no_flags(args.flags, 0, "qemuNodeGetFreePages")?;
    let cells = if args.start_cell == ALL_CELLS { vec![None] } else { cells_from(sys, args.start_cell)? };
    let cells = cells.into_iter().take(usize::try_from(args.cell_count).unwrap_or(0));
    let mut counts = Vec::new();
    for cell in cells {
        for size in args.pages.iter() {
            counts.push(free_of_size(sys, cell, *size)?);
        }
    }
    if counts.len() > 1024 {
        return Err(Box::new(RemoteError::rpc("more counts are asked for than an answer holds")));
    }
    Ok(counts.into())
}

fn free_of_size(sys: &Sys, cell: Option<u32>, size: u32) -> Result<u64, Failure> {
    if size == topology::base_page() {
        return Ok(free(sys, cell) / 1024 / u64::from(size));
    }
    let path = format!("{}/hugepages-{size}kB/free_hugepages", topology::huge_directory(cell));
    sys.number(path).ok_or_else(|| {
        let place = cell.map(|id| format!(" on node {id}")).unwrap_or_default();
        let words = format!("page size {size} is not available{place}");
        Box::new(RemoteError::new(rpc::error::Code::OPERATION_FAILED, Origin::NONE, words))
    })
}

pub(in crate::service) fn memory_parameters(args: &Nparams) -> Result<Params64Reply<'static>, Failure> {
    parameters(&Sys::live(), args)
}

/// What the kernel does not have is left out.
pub(super) fn parameters(sys: &Sys, args: &Nparams) -> Result<Params64Reply<'static>, Failure> {
    no_flags(args.flags, STRINGS, "virHostMemGetParameters")?;
    let found: Vec<TypedParam<'static>> = KSM
        .iter()
        .filter_map(|(name, file, wide)| {
            let path = format!("/sys/kernel/mm/ksm/{file}");
            Some(if *wide {
                TypedParam::new(*name, sys.number::<u64>(path)?)
            } else {
                TypedParam::new(*name, sys.number::<u32>(path)?)
            })
        })
        .collect();
    let nparams = i32::try_from(found.len()).unwrap_or_default();
    let count = usize::try_from(args.nparams).unwrap_or(0);
    Ok(Params64Reply { params: found.into_iter().take(count).collect(), nparams })
}
