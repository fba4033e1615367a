//! Processor time of a guest.

use rpc::remote::tune::{CpuStatsArgs, CpuStatsReply};

use super::proc;
use crate::service::device::affect::{self, check, op_invalid};
use crate::service::params::Params;
use crate::service::{Failure, Service};

/// `DOMAIN_GET_CPU_STATS`: the sum is of the process; by CPU only the kernel's old groups count it.
pub(crate) fn cpu_stats(
    service: &Service,
    args: &CpuStatsArgs<'_>,
) -> Result<CpuStatsReply<'static>, Failure> {
    check(args.flags, 4, "virDomainGetCPUStats")?;
    let vm = service.domains.of(&args.dom)?;
    let guest = affect::running(&vm)?;
    if args.start_cpu != -1 {
        return Err(op_invalid("cgroup CPUACCT controller is not mounted"));
    }
    let usage = proc::process(guest.pid())
        .map_err(|error| op_invalid(format!("the guest's process cannot be read: {error}")))?;
    let mut params = Params::default();
    params.add("cpu_time", usage.user.saturating_add(usage.system));
    params.add("user_time", usage.user);
    params.add("system_time", usage.system);
    let wanted = i32::try_from(args.nparams).unwrap_or(i32::MAX);
    let (params, nparams) = params.counted(wanted);
    Ok(CpuStatsReply { params, nparams })
}
