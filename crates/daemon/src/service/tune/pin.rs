//! Where a guest's threads may run.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use domain::Domain;
use domain::model::cpu::VcpuPin;
use rpc::error::RemoteError;
use rpc::remote::object;
use rpc::remote::tune::{
    EmulatorPinInfoArgs, PinEmulatorArgs, PinInfoReply, PinVcpuArgs, PinVcpuFlagsArgs, VcpuPinInfoArgs,
};

use super::cpuset::{Cpus, host_cpus};
use super::iothread;
use crate::service::device::affect::{self, LIVE, affected, check, invalid, view};
use crate::service::device::config::{self, alone};
use crate::service::events::Happening;
use crate::service::stats::proc;
use crate::service::{Failure, Service};
use crate::vm::Guest;

const IMPACT: u32 = LIVE | affect::CONFIG;

/// `DOMAIN_GET_VCPU_PIN_INFO`.
pub(crate) fn vcpu_pin_info(
    service: &Service,
    args: &VcpuPinInfoArgs<'_>,
) -> Result<PinInfoReply<'static>, Failure> {
    check(args.flags, IMPACT, "virDomainGetVcpuPinInfo")?;
    let vm = service.domains.of(&args.dom)?;
    let view = view(&vm, args.flags)?;
    let domain = view.domain();
    let length = length(args.maplen)?;
    let most = usize::try_from(args.ncpumaps).map_err(|_| invalid("ncpumaps must not be negative"))?;
    let vcpus = usize::try_from(domain.vcpu.count).unwrap_or(usize::MAX).min(most).min(16384);
    if vcpus.saturating_mul(length) > 8 << 20 {
        return Err(invalid("more CPU maps are asked for than an answer holds"));
    }
    let mut maps = Vec::new();
    for vcpu in (0..).take(vcpus) {
        maps.extend(pinned(domain, vcpu).unwrap_or_else(|| Cpus::first(host_cpus())).bits(length));
    }
    Ok(PinInfoReply { cpumaps: maps.into(), num: i32::try_from(vcpus).unwrap_or(i32::MAX) })
}

/// Where the domain says that a vCPU runs.
fn pinned(domain: &Domain, vcpu: u32) -> Option<Cpus> {
    let own = domain.cputune.vcpu_pins.iter().find(|pin| pin.vcpu == vcpu).map(|pin| &pin.cpuset);
    Cpus::parse(own.or(domain.vcpu.cpuset.as_ref())?)
}

fn length(maplen: i32) -> Result<usize, Failure> {
    usize::try_from(maplen)
        .ok()
        .filter(|length| *length <= 2048)
        .ok_or_else(|| invalid("maplen is negative, or larger than a map can be"))
}

/// `DOMAIN_PIN_VCPU`.
pub(crate) async fn pin_vcpu(service: &Arc<Service>, args: &PinVcpuArgs<'_>) -> Result<(), Failure> {
    set_vcpu(service, &args.dom, args.vcpu, &args.cpumap.0, LIVE).await
}

/// `DOMAIN_PIN_VCPU_FLAGS`.
pub(crate) async fn pin_vcpu_flags(
    service: &Arc<Service>,
    args: &PinVcpuFlagsArgs<'_>,
) -> Result<(), Failure> {
    check(args.flags, IMPACT, "virDomainPinVcpuFlags")?;
    set_vcpu(service, &args.dom, args.vcpu, &args.cpumap.0, args.flags).await
}

async fn set_vcpu(
    service: &Arc<Service>,
    dom: &object::Domain<'_>,
    vcpu: u32,
    map: &[u8],
    flags: u32,
) -> Result<(), Failure> {
    let cpus = Cpus::of_bits(map);
    let vm = service.domains.of(dom)?;
    let (service, this) = (Arc::clone(service), Arc::clone(&vm));
    alone(&vm, async move {
        let affected = affected(&this, flags)?;
        if cpus.is_empty() {
            return Err(invalid("Empty cpu list for pinning"));
        }
        if affected.config {
            let count = affect::defined(&this)?.vcpu.count;
            if vcpu >= count {
                return Err(out_of_range(vcpu, "persistent", count));
            }
        }
        if let Some(guest) = &affected.live {
            let threads = super::vcpu_threads(guest).await?;
            let thread = threads.iter().find(|(index, _)| *index == vcpu);
            let (_, thread) = thread.ok_or_else(|| out_of_range(vcpu, "live", guest.live().vcpu.count))?;
            cpus.confine(*thread).map_err(|error| failed(&error))?;
            guest.note_live(|live| set_pin(live, vcpu, &cpus));
            let tuned = vec![(format!("cputune.vcpupin{vcpu}"), cpus.list().into())];
            service.events.publish(&this.about(), &Happening::Tunable(tuned));
        }
        if affected.config {
            config::change(&service, &this, move |domain| {
                set_pin(domain, vcpu, &cpus);
                Ok(())
            })
            .await?;
        }
        Ok(())
    })
    .await
}

fn out_of_range(vcpu: u32, which: &str, count: u32) -> Failure {
    invalid(format!("vcpu {vcpu} is out of range of {which} cpu count {count}"))
}

fn set_pin(domain: &mut Domain, vcpu: u32, cpus: &Cpus) {
    let pins = &mut domain.cputune.vcpu_pins;
    pins.retain(|pin| pin.vcpu != vcpu);
    pins.push(VcpuPin { vcpu, cpuset: cpus.list() });
    pins.sort_by_key(|pin| pin.vcpu);
}

pub(super) fn failed(error: &io::Error) -> Failure {
    Box::new(RemoteError::system_error(format!("cannot set CPU affinity: {error}")))
}

/// `DOMAIN_PIN_EMULATOR`: all threads but those of vCPUs and those for I/O.
pub(crate) async fn pin_emulator(service: &Arc<Service>, args: &PinEmulatorArgs<'_>) -> Result<(), Failure> {
    check(args.flags, IMPACT, "virDomainPinEmulator")?;
    let cpus = Cpus::of_bits(&args.cpumap.0);
    let vm = service.domains.of(&args.dom)?;
    let (service, this, flags) = (Arc::clone(service), Arc::clone(&vm), args.flags);
    alone(&vm, async move {
        let affected = affected(&this, flags)?;
        if cpus.is_empty() {
            return Err(invalid("Empty cpu list for pinning"));
        }
        if let Some(guest) = &affected.live {
            confine_emulator(guest, &cpus).await?;
            guest.note_live(|live| live.cputune.emulator_pin = Some(cpus.list()));
            let tuned = vec![("cputune.emulatorpin".to_owned(), cpus.list().into())];
            service.events.publish(&this.about(), &Happening::Tunable(tuned));
        }
        if affected.config {
            config::change(&service, &this, move |domain| {
                domain.cputune.emulator_pin = Some(cpus.list());
                Ok(())
            })
            .await?;
        }
        Ok(())
    })
    .await
}

async fn confine_emulator(guest: &Guest, cpus: &Cpus) -> Result<(), Failure> {
    let mut others: BTreeSet<u32> =
        super::vcpu_threads(guest).await?.into_iter().map(|(_, thread)| thread).collect();
    others.extend(iothread::of_host(guest).await?);
    let threads = proc::threads(guest.pid()).into_values();
    for thread in threads.filter(|thread| !others.contains(thread)) {
        match cpus.confine(thread) {
            // It has ended since.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
            other => other.map_err(|error| failed(&error))?,
        }
    }
    Ok(())
}

/// `DOMAIN_GET_EMULATOR_PIN_INFO`.
pub(crate) fn emulator_pin_info(
    service: &Service,
    args: &EmulatorPinInfoArgs<'_>,
) -> Result<PinInfoReply<'static>, Failure> {
    check(args.flags, IMPACT, "virDomainGetEmulatorPinInfo")?;
    let vm = service.domains.of(&args.dom)?;
    let view = view(&vm, args.flags)?;
    let domain = view.domain();
    let list = domain.cputune.emulator_pin.as_ref().or(domain.vcpu.cpuset.as_ref());
    let cpus = list.and_then(|list| Cpus::parse(list)).unwrap_or_else(|| Cpus::first(host_cpus()));
    Ok(PinInfoReply { cpumaps: cpus.bits(length(args.maplen)?).into(), num: 1 })
}

/// Has the threads of a guest that is being started run where the domain says.
pub(super) async fn at_start(guest: &Guest) -> Result<(), Failure> {
    let live = guest.live();
    let emulator = live.cputune.emulator_pin.as_ref().or(live.vcpu.cpuset.as_ref());
    if let Some(cpus) = emulator.and_then(|list| Cpus::parse(list)) {
        confine_emulator(guest, &cpus).await?;
    }
    iothread::at_start(guest).await?;
    if live.cputune.vcpu_pins.is_empty() && live.vcpu.cpuset.is_none() {
        return Ok(());
    }
    for (index, thread) in super::vcpu_threads(guest).await? {
        if let Some(cpus) = pinned(&live, index) {
            cpus.confine(thread).map_err(|error| failed(&error))?;
        }
    }
    Ok(())
}
