//! I/O threads: where they run, and how they look for work.

use std::sync::Arc;

use domain::Domain;
use domain::model::cpu::IoThreadPin;
use qemu::qmp::figures::QueryIothreads;
use rpc::remote::common::DomFlags;
use rpc::remote::object;
use rpc::remote::tune::{IothreadInfo, IothreadInfoReply, PinVcpuFlagsArgs};

use super::cpuset::{Cpus, host_cpus};
use super::pin::failed;
use crate::service::device::affect::{self, LIVE, View, affected, check, invalid, unsupported, view};
use crate::service::device::config::{self, alone};
use crate::service::events::Happening;
use crate::service::params::Params;
use crate::service::stats::proc;
use crate::service::{Failure, Service};
use crate::vm::Guest;

const IMPACT: u32 = LIVE | affect::CONFIG;

/// The number in the domain of a thread with that id in QEMU.
fn number(id: &str) -> Option<u32> {
    id.strip_prefix("iothread")?.parse().ok()
}

/// The threads of a running guest by their numbers in the domain, with the host's numbers of them.
async fn threads(guest: &Guest) -> Result<Vec<(u32, u32)>, Failure> {
    if guest.live().iothreads.count == 0 {
        return Ok(Vec::new());
    }
    let told = guest.ask(QueryIothreads).await?;
    let hosts = proc::threads(guest.pid());
    let mut threads: Vec<(u32, u32)> = told
        .iter()
        .filter_map(|thread| Some((number(&thread.id)?, *hosts.get(&thread.thread_id)?)))
        .collect();
    threads.sort_unstable();
    Ok(threads)
}

/// Where the domain says that an I/O thread runs.
fn pinned(domain: &Domain, id: u32) -> Option<Cpus> {
    let own = domain.cputune.iothread_pins.iter().find(|pin| pin.iothread == id).map(|pin| &pin.cpuset);
    Cpus::parse(own.or(domain.vcpu.cpuset.as_ref())?)
}

/// `DOMAIN_GET_IOTHREAD_INFO`.
pub(crate) async fn info(
    service: &Service,
    args: &DomFlags<'_>,
) -> Result<IothreadInfoReply<'static>, Failure> {
    check(args.flags, IMPACT, "virDomainGetIOThreadInfo")?;
    let vm = service.domains.of(&args.dom)?;
    let all = || Cpus::first(host_cpus());
    let places: Vec<(u32, Cpus)> = match view(&vm, args.flags)? {
        View::Live(guest, _) => threads(&guest)
            .await?
            .into_iter()
            .map(|(id, thread)| (id, Cpus::of_thread(thread).unwrap_or_else(|_| all())))
            .collect(),
        View::Config(domain) => {
            let ids = domain.iothreads.all().into_iter().map(|thread| thread.id);
            ids.map(|id| (id, pinned(&domain, id).unwrap_or_else(all))).collect()
        }
    };
    let length = host_cpus().div_ceil(8);
    let info: Vec<_> = places
        .into_iter()
        .map(|(id, cpus)| IothreadInfo { iothread_id: id, cpumap: cpus.bits(length).into() })
        .collect();
    let ret = u32::try_from(info.len()).unwrap_or(u32::MAX);
    Ok(IothreadInfoReply { info: info.into(), ret })
}

/// `DOMAIN_PIN_IOTHREAD`.
pub(crate) async fn pin(service: &Arc<Service>, args: &PinVcpuFlagsArgs<'_>) -> Result<(), Failure> {
    check(args.flags, IMPACT, "virDomainPinIOThread")?;
    let cpus = Cpus::of_bits(&args.cpumap.0);
    let vm = service.domains.of(&args.dom)?;
    let (service, this, flags, id) = (Arc::clone(service), Arc::clone(&vm), args.flags, args.vcpu);
    alone(&vm, async move {
        let affected = affected(&this, flags)?;
        if cpus.is_empty() {
            return Err(invalid("Empty iothread cpumap list for pinning"));
        }
        if affected.config && !affect::defined(&this)?.iothreads.has(id) {
            return Err(invalid(format!("iothreadid {id} not found")));
        }
        if let Some(guest) = &affected.live {
            let threads = threads(guest).await?;
            let thread = threads.iter().find(|(known, _)| *known == id);
            let (_, thread) = thread.ok_or_else(|| invalid(format!("iothread {id} not found")))?;
            cpus.confine(*thread).map_err(|error| failed(&error))?;
            guest.note_live(|live| set_pin(live, id, &cpus));
            let tuned = vec![(format!("cputune.iothreadpin{id}"), cpus.list().into())];
            service.events.publish(&this.about(), &Happening::Tunable(tuned));
        }
        if affected.config {
            config::change(&service, &this, move |domain| {
                set_pin(domain, id, &cpus);
                Ok(())
            })
            .await?;
        }
        Ok(())
    })
    .await
}

fn set_pin(domain: &mut Domain, iothread: u32, cpus: &Cpus) {
    let pins = &mut domain.cputune.iothread_pins;
    let cpuset = cpus.list();
    match pins.iter_mut().find(|pin| pin.iothread == iothread) {
        Some(pin) => pin.cpuset = cpuset,
        None => pins.push(IoThreadPin { iothread, cpuset }),
    }
}

/// Has the threads of a guest that is being started run where the domain says.
pub(super) async fn at_start(guest: &Guest) -> Result<(), Failure> {
    let live = guest.live();
    if live.cputune.iothread_pins.is_empty() && live.vcpu.cpuset.is_none() {
        return Ok(());
    }
    for (id, thread) in threads(guest).await? {
        if let Some(cpus) = pinned(&live, id) {
            cpus.confine(thread).map_err(|error| failed(&error))?;
        }
    }
    Ok(())
}

/// The host's numbers of the threads, which are none of the emulator's.
pub(super) async fn of_host(guest: &Guest) -> Result<impl Iterator<Item = u32>, Failure> {
    Ok(threads(guest).await?.into_iter().map(|(_, thread)| thread))
}

/// `iothread.` of `domstats`.
pub(crate) async fn figures(params: &mut Params, guest: &Guest) {
    if guest.live().iothreads.count == 0 {
        return;
    }
    let Ok(mut told) = guest.ask(QueryIothreads).await else { return };
    told.sort_by_key(|thread| number(&thread.id));
    params.add("iothread.count", u32::try_from(told.len()).unwrap_or(u32::MAX));
    for thread in &told {
        let Some(id) = number(&thread.id) else { continue };
        params.add(format!("iothread.{id}.poll-max-ns"), thread.poll_max_ns);
        params.add(format!("iothread.{id}.poll-grow"), u32::try_from(thread.poll_grow).unwrap_or(u32::MAX));
        params
            .add(format!("iothread.{id}.poll-shrink"), u32::try_from(thread.poll_shrink).unwrap_or(u32::MAX));
    }
}

/// Answers whoever wants to add, take or set one.
pub(crate) fn fixed(service: &Service, dom: &object::Domain<'_>) -> Result<(), Failure> {
    service.domains.of(dom)?;
    Err(unsupported(
        "changing I/O threads: edit <iothreads> of the definition, it counts from the next start",
    ))
}
