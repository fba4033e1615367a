//! Figures of domains: what `domstats` lists, and the calls for single ones.

mod balloon;
mod block;
mod groups;
mod interface;
mod kvm;
pub(crate) mod proc;
mod vcpu;

use std::sync::Arc;

use rpc::error::{Code, Origin, RemoteError};
use rpc::remote::connect::{AllDomainStatsArgs, StatsRecord};
use rpc::xdr::List;

use super::device::affect::check;
use super::domains::Vm;
use super::{Failure, Service};

pub(super) use balloon::{at_start as balloon_at_start, memory_stats, note_balloon, set_period};
pub(super) use block::{
    block_info, block_stats, block_stats_flags, disk_errors, find as find_disk, path as disk_path, reason,
};
pub(super) use interface::{addresses, find as find_interface, interface_stats};
pub(super) use vcpu::cpu_stats;

/// `virConnectGetAllDomainStatsFlags`: which domains, and how.
mod flag {
    pub(super) const ACTIVE: u32 = 1;
    pub(super) const INACTIVE: u32 = 2;
    pub(super) const PERSISTENT: u32 = 4;
    pub(super) const TRANSIENT: u32 = 8;
    pub(super) const RUNNING: u32 = 16;
    pub(super) const PAUSED: u32 = 32;
    pub(super) const SHUTOFF: u32 = 64;
    pub(super) const OTHER: u32 = 128;
    /// Nobody waits here for a domain that is being changed.
    pub(super) const NOWAIT: u32 = 1 << 29;
    pub(super) const BACKING: u32 = 1 << 30;
    /// A group that cannot be had is an error, and not left out.
    pub(super) const ENFORCE_STATS: u32 = 1 << 31;
    pub(super) const ALL: u32 = ACTIVE
        | INACTIVE
        | PERSISTENT
        | TRANSIENT
        | RUNNING
        | PAUSED
        | SHUTOFF
        | OTHER
        | NOWAIT
        | BACKING
        | ENFORCE_STATS;
}

/// Figures of many domains.
pub(super) async fn all(
    service: &Arc<Service>,
    args: &AllDomainStatsArgs<'_>,
) -> Result<List<StatsRecord<'static>, 16384>, Failure> {
    check(args.flags, flag::ALL, "virConnectGetAllDomainStats")?;
    let unknown = args.stats & !groups::ALL;
    let enforced = args.flags & flag::ENFORCE_STATS != 0;
    if enforced && unknown != 0 {
        return Err(not_told(unknown));
    }
    let wanted = if args.stats == 0 { groups::ALL } else { args.stats };
    let named: Vec<Arc<Vm>> = if args.doms.is_empty() {
        service.domains.all()
    } else {
        args.doms.iter().filter_map(|dom| service.domains.of(dom).ok()).collect()
    };
    let mut records = Vec::new();
    for vm in named.into_iter().filter(|vm| is_wanted(vm, args.flags)) {
        if enforced && args.stats & groups::VM != 0 && !vm.is_active() {
            return Err(not_told(groups::VM));
        }
        let params = groups::of(&vm, wanted, args.flags & flag::BACKING != 0).await;
        records.push(StatsRecord { dom: vm.object(), params: params.all() });
    }
    Ok(records.into())
}

fn not_told(groups: u32) -> Failure {
    let detail = format!("Stats types bits {groups:#x} are not supported by this daemon or QEMU");
    Box::new(RemoteError::new(Code::ARGUMENT_UNSUPPORTED, Origin::QEMU, detail))
}

/// Each family of flags selects among its own; none of them selects everything.
fn is_wanted(vm: &Vm, flags: u32) -> bool {
    let state = vm.run_state().state;
    let (active, persistent) = (vm.is_active(), vm.is_persistent());
    let selects = |family: &[(u32, bool)]| {
        let asked = family.iter().any(|(bit, _)| flags & bit != 0);
        !asked || family.iter().any(|(bit, holds)| flags & bit != 0 && *holds)
    };
    selects(&[(flag::ACTIVE, active), (flag::INACTIVE, !active)])
        && selects(&[(flag::PERSISTENT, persistent), (flag::TRANSIENT, !persistent)])
        && selects(&[
            (flag::RUNNING, state == 1),
            (flag::PAUSED, state == 3),
            (flag::SHUTOFF, state == 5),
            (flag::OTHER, !matches!(state, 1 | 3 | 5)),
        ])
}
