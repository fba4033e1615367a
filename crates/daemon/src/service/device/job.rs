//! Jobs: sevirt moves and saves no guests, so there are none.

use rpc::remote::block::BlockJobInfo;
use rpc::remote::common::{DomDeviceFlags, DomFlags};
use rpc::remote::domain::{ControlInfo, JobInfo, JobStats};
use rpc::remote::object;
use rpc::xdr::List;

use super::affect::{check, invalid, op_invalid};
use crate::service::stats::find_disk;
use crate::service::{Failure, Service};

/// `virDomainGetJobStatsFlags`.
const COMPLETED: u32 = 1;
const KEEP_COMPLETED: u32 = 2;

/// `DOMAIN_GET_JOB_INFO`: `virDomainJobType` none.
pub(crate) fn job_info(service: &Service, dom: &object::Domain<'_>) -> Result<JobInfo, Failure> {
    service.domains.of(dom)?.must_run()?;
    Ok(JobInfo {
        kind: 0,
        time_elapsed: 0,
        time_remaining: 0,
        data_total: 0,
        data_processed: 0,
        data_remaining: 0,
        mem_total: 0,
        mem_processed: 0,
        mem_remaining: 0,
        file_total: 0,
        file_processed: 0,
        file_remaining: 0,
    })
}

/// `DOMAIN_GET_JOB_STATS`.
pub(crate) fn job_stats(service: &Service, args: &DomFlags<'_>) -> Result<JobStats<'static>, Failure> {
    check(args.flags, COMPLETED | KEEP_COMPLETED, "virDomainGetJobStats")?;
    let vm = service.domains.of(&args.dom)?;
    if args.flags & COMPLETED == 0 {
        vm.must_run()?;
    }
    Ok(JobStats { kind: 0, params: List::default() })
}

/// `DOMAIN_ABORT_JOB`.
pub(crate) fn abort_job(service: &Service, dom: &object::Domain<'_>) -> Result<(), Failure> {
    service.domains.of(dom)?.must_run()?;
    Err(op_invalid("no job is active on the domain"))
}

/// `DOMAIN_GET_CONTROL_INFO`: `virDomainControlState` ok. Calls wait for QEMU by themselves, for a bounded time.
pub(crate) fn control_info(service: &Service, args: &DomFlags<'_>) -> Result<ControlInfo, Failure> {
    check(args.flags, 0, "virDomainGetControlInfo")?;
    service.domains.of(&args.dom)?.must_run()?;
    Ok(ControlInfo { state: 0, details: 0, state_time: 0 })
}

/// `DOMAIN_GET_BLOCK_JOB_INFO`.
pub(crate) fn block_job_info(service: &Service, args: &DomDeviceFlags<'_>) -> Result<BlockJobInfo, Failure> {
    check(args.flags, 1, "virDomainGetBlockJobInfo")?;
    let live = service.domains.of(&args.dom)?.running()?.live();
    if find_disk(&live, &args.device).is_none() {
        return Err(invalid(format!("disk '{}' not found in the domain", args.device)));
    }
    Ok(BlockJobInfo { found: 0, kind: 0, bandwidth: 0, cur: 0, end: 0 })
}
