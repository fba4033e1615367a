//! Shares, weights and rates of interfaces: sevirt gives none to guests, says so, and shows what a definition asks for.

use rpc::error::RemoteError;
use rpc::remote::block::DeviceNparams;
use rpc::remote::common::{DomNparams, Params16Reply};
use rpc::remote::object;
use rpc::remote::tune::{SchedulerParametersArgs, SchedulerType};
use rpc::remote::typed_param;

use crate::service::device::affect::{self, check, invalid, view};
use crate::service::params::Params;
use crate::service::stats;
use crate::service::{Failure, Service};

const IMPACT: u32 = affect::LIVE | affect::CONFIG;
/// `VIR_TYPED_PARAM_STRING_OKAY`.
const STRINGS: u32 = 4;

/// How many parameters the scheduler has.
const SCHEDULER: i32 = 9;

/// `DOMAIN_GET_SCHEDULER_TYPE`.
pub(crate) fn scheduler_type(
    service: &Service,
    dom: &object::Domain<'_>,
) -> Result<SchedulerType<'static>, Failure> {
    service.domains.of(dom)?;
    Ok(SchedulerType { kind: "posix".into(), nparams: SCHEDULER })
}

/// `DOMAIN_GET_SCHEDULER_PARAMETERS`.
pub(crate) fn get_scheduler(
    service: &Service,
    args: &SchedulerParametersArgs<'_>,
) -> Result<typed_param::Params<'static, 16>, Failure> {
    scheduler(service, &args.dom, 0)
}

/// `DOMAIN_GET_SCHEDULER_PARAMETERS_FLAGS`.
pub(crate) fn get_scheduler_flags(
    service: &Service,
    args: &DomNparams<'_>,
) -> Result<typed_param::Params<'static, 16>, Failure> {
    check(args.flags, IMPACT | STRINGS, "virDomainGetSchedulerParametersFlags")?;
    scheduler(service, &args.dom, args.flags)
}

fn scheduler(
    service: &Service,
    dom: &object::Domain<'_>,
    flags: u32,
) -> Result<typed_param::Params<'static, 16>, Failure> {
    let vm = service.domains.of(dom)?;
    let view = view(&vm, flags)?;
    let tune = &view.domain().cputune;
    let mut params = Params::default();
    params.add("cpu_shares", tune.shares.unwrap_or_default());
    params.add("vcpu_period", tune.period.unwrap_or_default());
    params.add("vcpu_quota", tune.quota.unwrap_or_default());
    params.add("emulator_period", tune.emulator_period.unwrap_or_default());
    params.add("emulator_quota", tune.emulator_quota.unwrap_or_default());
    params.add("global_period", tune.global_period.unwrap_or_default());
    params.add("global_quota", tune.global_quota.unwrap_or_default());
    params.add("iothread_period", tune.iothread_period.unwrap_or_default());
    params.add("iothread_quota", tune.iothread_quota.unwrap_or_default());
    Ok(params.all())
}

/// `DOMAIN_GET_BLKIO_PARAMETERS`.
pub(crate) fn get_blkio(service: &Service, args: &DomNparams<'_>) -> Result<Params16Reply<'static>, Failure> {
    check(args.flags, IMPACT | STRINGS, "virDomainGetBlkioParameters")?;
    let vm = service.domains.of(&args.dom)?;
    view(&vm, args.flags)?;
    let mut params = Params::default();
    params.add("weight", 0u32);
    for name in [
        "device_weight",
        "device_read_iops_sec",
        "device_write_iops_sec",
        "device_read_bytes_sec",
        "device_write_bytes_sec",
    ] {
        params.add(name, "");
    }
    let (params, nparams) = params.counted(args.nparams);
    Ok(Params16Reply { params, nparams })
}

/// `DOMAIN_GET_NUMA_PARAMETERS`.
pub(crate) fn get_numa(service: &Service, args: &DomNparams<'_>) -> Result<Params16Reply<'static>, Failure> {
    check(args.flags, IMPACT | STRINGS, "virDomainGetNumaParameters")?;
    let vm = service.domains.of(&args.dom)?;
    view(&vm, args.flags)?;
    let mut params = Params::default();
    // `virDomainNumatuneMemMode`: strict.
    params.add("numa_mode", 0i32);
    params.add("numa_nodeset", "");
    let (params, nparams) = params.counted(args.nparams);
    Ok(Params16Reply { params, nparams })
}

/// `DOMAIN_GET_INTERFACE_PARAMETERS`.
pub(crate) fn get_interface_parameters(
    service: &Service,
    args: &DeviceNparams<'_>,
) -> Result<Params16Reply<'static>, Failure> {
    check(args.flags, IMPACT | STRINGS, "virDomainGetInterfaceParameters")?;
    let vm = service.domains.of(&args.dom)?;
    let view = view(&vm, args.flags)?;
    if stats::find_interface(&view.domain().devices.interfaces, &args.device).is_none() {
        return Err(invalid(format!("Can't find device {}", args.device)));
    }
    let mut params = Params::default();
    for name in [
        "inbound.average",
        "inbound.peak",
        "inbound.burst",
        "inbound.floor",
        "outbound.average",
        "outbound.peak",
        "outbound.burst",
    ] {
        params.add(name, 0u32);
    }
    let (params, nparams) = params.counted(args.nparams);
    Ok(Params16Reply { params, nparams })
}

/// Answers whoever wants to set one of these.
pub(crate) fn not_tuned(service: &Service, dom: &object::Domain<'_>, what: &str) -> Result<(), Failure> {
    service.domains.of(dom)?;
    Err(Box::new(RemoteError::operation_unsupported(format!(
        "sevirt does not set {what}: set it on the guest's control group or on the host's device"
    ))))
}
