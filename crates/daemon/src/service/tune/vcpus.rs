//! How many vCPUs a guest has.

use std::sync::Arc;
use std::time::Duration;

use domain::Domain;
use qemu::qmp::device::{DeviceAdd, DeviceDel};
use qemu::qmp::figures::{HotpluggableCpu, QueryHotpluggableCpus};
use rpc::remote::common::{DomFlags, DomNumberFlags};
use rpc::remote::object;
use rpc::remote::tune::{GetVcpusArgs, GetVcpusReply, VcpuInfo, VcpusArgs};
use rules::ops::{Operation, refused};

use super::cpuset::Cpus;
use crate::service::device::affect::{
    self, LIVE, affected, check, config_unsupported, internal, invalid, running, unsupported, view,
};
use crate::service::device::config::{self, alone};
use crate::service::device::wait;
use crate::service::domains::Vm;
use crate::service::stats::proc;
use crate::service::{Failure, Service, agent};
use crate::vm::Guest;

/// `virDomainVcpuFlags`.
const MAXIMUM: u32 = 4;
const GUEST: u32 = 8;
const HOTPLUGGABLE: u32 = 16;

/// How long a guest may take to let a vCPU go.
const UNPLUG: Duration = Duration::from_secs(5);

/// `DOMAIN_GET_VCPUS`: the threads and where they run.
pub(crate) async fn get_vcpus(
    service: &Service,
    args: &GetVcpusArgs<'_>,
) -> Result<GetVcpusReply<'static>, Failure> {
    let vm = service.domains.of(&args.dom)?;
    let guest = running(&vm)?;
    let most = usize::try_from(args.maxinfo).map_err(|_| invalid("maxinfo must not be negative"))?;
    let length = usize::try_from(args.maplen).map_err(|_| invalid("maplen must not be negative"))?;
    if most.saturating_mul(length) > 8 << 20 {
        return Err(invalid("more CPU maps are asked for than an answer holds"));
    }
    let mut info = Vec::new();
    let mut cpumaps = Vec::new();
    for (index, thread) in super::vcpu_threads(&guest).await?.into_iter().take(most.min(16384)) {
        let failed = |error: std::io::Error| internal(format!("cannot get the figures of a vCPU: {error}"));
        let usage = proc::thread(guest.pid(), thread).map_err(failed)?;
        info.push(VcpuInfo {
            number: index,
            // `virVcpuState`: running.
            state: 1,
            cpu_time: usage.user.saturating_add(usage.system),
            cpu: i32::try_from(usage.cpu).unwrap_or(-1),
        });
        if length > 0 {
            cpumaps.extend(Cpus::of_thread(thread).map_err(failed)?.bits(length));
        }
    }
    Ok(GetVcpusReply { info: info.into(), cpumaps: cpumaps.into() })
}

/// `DOMAIN_GET_VCPUS_FLAGS`.
pub(crate) async fn get_vcpus_flags(service: &Arc<Service>, args: &DomFlags<'_>) -> Result<i32, Failure> {
    let known = LIVE | affect::CONFIG | MAXIMUM | GUEST;
    check(args.flags, known, "virDomainGetVcpusFlags")?;
    let vm = service.domains.of(&args.dom)?;
    if args.flags & GUEST != 0 {
        if !vm.is_active() {
            let detail = "vCPU count provided by the guest agent can only be requested for live domains";
            return Err(invalid(detail));
        }
        if args.flags & MAXIMUM == 0 {
            return number(agent::online_vcpus(service, &vm).await?);
        }
        return Err(invalid("the guest's agent tells of the vCPUs that are online, not of their maximum"));
    }
    let view = view(&vm, args.flags)?;
    let vcpu = &view.domain().vcpu;
    number(if args.flags & MAXIMUM != 0 { vcpu.count } else { vcpu.current.unwrap_or(vcpu.count) })
}

fn number(count: u32) -> Result<i32, Failure> {
    i32::try_from(count).map_err(|_| internal("the number of vCPUs is too large"))
}

/// `DOMAIN_SET_VCPUS`.
pub(crate) async fn set_vcpus(service: &Arc<Service>, args: &VcpusArgs<'_>) -> Result<(), Failure> {
    set(service, &args.dom, args.nvcpus, LIVE).await
}

/// `DOMAIN_SET_VCPUS_FLAGS`.
pub(crate) async fn set_vcpus_flags(
    service: &Arc<Service>,
    args: &DomNumberFlags<'_>,
) -> Result<(), Failure> {
    let known = LIVE | affect::CONFIG | MAXIMUM | GUEST | HOTPLUGGABLE;
    check(args.flags, known, "virDomainSetVcpusFlags")?;
    set(service, &args.dom, args.number, args.flags).await
}

async fn set(
    service: &Arc<Service>,
    dom: &object::Domain<'_>,
    count: u32,
    flags: u32,
) -> Result<(), Failure> {
    if count == 0 {
        return Err(invalid("nvcpus in virDomainSetVcpusFlags must not be zero"));
    }
    if flags & GUEST != 0 {
        if flags & (affect::CONFIG | MAXIMUM | HOTPLUGGABLE) != 0 {
            return Err(invalid(
                "the guest's agent sets how many of a running guest's vCPUs it uses, nothing else",
            ));
        }
        let vm = service.domains.of(dom)?;
        return agent::set_vcpu_count(service, &vm, count).await;
    }
    let vm = service.domains.of(dom)?;
    let (service, this) = (Arc::clone(service), Arc::clone(&vm));
    alone(&vm, async move {
        let affected = affected(&this, flags)?;
        // What is plugged into a running guest can be plugged out.
        if affected.config && flags & HOTPLUGGABLE != 0 {
            return Err(unsupported("--hotpluggable: vCPUs of a definition are there from the start"));
        }
        if flags & MAXIMUM != 0 {
            if affected.live.is_some() {
                let detail = "maximum vcpu count of a live domain can't be modified";
                return Err(if affected.config { unsupported(detail) } else { invalid(detail) });
            }
            return config::change(&service, &this, move |domain| set_most(domain, count)).await;
        }
        if let Some(guest) = &affected.live {
            let most = guest.live().vcpu.count;
            if count > most {
                return Err(too_many(count, most, "live"));
            }
        }
        if affected.config {
            let most = affect::defined(&this)?.vcpu.count;
            if count > most {
                return Err(too_many(count, most, "persistent"));
            }
        }
        if let Some(guest) = &affected.live {
            plug(guest, count).await?;
        }
        if affected.config {
            config::change(&service, &this, move |domain| {
                domain.vcpu.current = Some(count).filter(|count| *count < domain.vcpu.count);
                Ok(())
            })
            .await?;
        }
        Ok(())
    })
    .await
}

fn too_many(count: u32, most: u32, which: &str) -> Failure {
    invalid(format!(
        "requested vcpus is greater than max allowable vcpus for the {which} domain: {count} > {most}"
    ))
}

fn set_most(domain: &mut Domain, count: u32) -> Result<(), Failure> {
    let topology = domain.cpu.as_ref().and_then(|cpu| cpu.topology);
    if topology.is_some() && count != domain.vcpu.count {
        return Err(invalid("CPU topology doesn't match the desired vcpu count"));
    }
    domain.vcpu.count = count;
    domain.vcpu.current = domain.vcpu.current.filter(|current| *current < count);
    domain.cputune.vcpu_pins.retain(|pin| pin.vcpu < count);
    Ok(())
}

/// Plugs vCPUs in or out until there are that many.
async fn plug(guest: &Arc<Guest>, count: u32) -> Result<(), Failure> {
    let (places, now) = places(guest).await?;
    if count == now {
        return Ok(());
    }
    if let Some(technology) = guest.technology()
        && let Some(reason) = refused(Operation::PlugVcpu, technology)
    {
        return Err(unsupported(format!("{technology} guests {}: {}", reason.message, reason.help)));
    }
    if count > now {
        let free = places.iter().enumerate().filter(|(_, place)| place.qom_path.is_none());
        for ((index, place), _) in free.zip(now..count) {
            add(guest, index, place).await?;
        }
    } else {
        let plugged = |place: &HotpluggableCpu| {
            Some(place.qom_path.as_deref()?.strip_prefix("/machine/peripheral/")?.to_owned())
        };
        let wanted = usize::try_from(now - count).unwrap_or(usize::MAX);
        let ids: Vec<String> = places.iter().rev().filter_map(plugged).take(wanted).collect();
        if ids.len() < wanted {
            return Err(config_unsupported(
                "failed to find appropriate hotpluggable vcpus to reach the desired target vcpu count",
            ));
        }
        for id in ids {
            let mut deleted = wait::Deleted::watch(guest);
            guest.ask(DeviceDel { id: id.clone() }).await?;
            if !deleted.of(&id, UNPLUG).await? {
                return Err(Box::new(rpc::RemoteError::operation_timeout(format!(
                    "vcpu unplug request timed out: the guest still uses {id}; unplug result must be checked by virsh vcpucount"
                ))));
            }
            note(guest, |current| current.saturating_sub(1));
        }
    }
    Ok(())
}

/// Where vCPUs are or could be, first place first, and how many there are; the live domain says as many from then on.
async fn places(guest: &Guest) -> Result<(Vec<HotpluggableCpu>, u32), Failure> {
    // QEMU lists the last place first.
    let mut places = guest.ask(QueryHotpluggableCpus).await?;
    places.reverse();
    let taken = places.iter().filter(|place| place.qom_path.is_some());
    let now = taken.map(|place| place.vcpus_count).fold(0, u32::saturating_add);
    note(guest, |_| now);
    Ok((places, now))
}

/// QEMU says that a vCPU is gone. Who asked for it may no longer wait: a guest takes its time.
pub(crate) fn let_go(vm: &Arc<Vm>, guest: &Arc<Guest>) {
    let (vm, guest) = (Arc::clone(vm), Arc::clone(guest));
    tokio::spawn(async move {
        let _job = vm.job.lock().await;
        if let Err(error) = places(&guest).await {
            tracing::debug!(domain = %vm.name(), %error, "vCPUs not counted");
        }
    });
}

async fn add(guest: &Guest, index: usize, place: &HotpluggableCpu) -> Result<(), Failure> {
    let mut properties = serde_json::Map::new();
    properties.insert("driver".into(), place.kind.as_str().into());
    properties.insert("id".into(), format!("vcpu{index}").into());
    properties.extend(place.props.clone());
    guest.ask(DeviceAdd(properties)).await?;
    note(guest, |current| current.saturating_add(1));
    Ok(())
}

fn note(guest: &Guest, change: impl FnOnce(u32) -> u32) {
    guest.note_live(|live| {
        let current = change(live.vcpu.current.unwrap_or(live.vcpu.count));
        live.vcpu.current = Some(current).filter(|current| *current < live.vcpu.count);
    });
}
