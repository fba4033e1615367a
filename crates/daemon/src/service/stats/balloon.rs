//! What the balloon tells of the guest's memory.

use std::sync::Arc;

use domain::Domain;
use domain::model::memory::Kib;
use qemu::qmp::device::{QomGet, QomSet};
use qemu::qmp::figures::{GuestStats, QueryBalloon, Told};
use rpc::remote::tune::{MemoryStat, MemoryStatsArgs, MemoryStatsPeriodArgs};
use rpc::xdr::List;
use serde::Deserialize as _;

use super::proc;
use crate::service::device::affect::{self, affected, check, invalid, op_invalid};
use crate::service::device::config::{self, alone};
use crate::service::{Failure, Service};
use crate::vm::Guest;

/// `virDomainMemoryStatTags`.
mod tag {
    pub(super) const SWAP_IN: i32 = 0;
    pub(super) const SWAP_OUT: i32 = 1;
    pub(super) const MAJOR_FAULT: i32 = 2;
    pub(super) const MINOR_FAULT: i32 = 3;
    pub(super) const UNUSED: i32 = 4;
    pub(super) const AVAILABLE: i32 = 5;
    pub(super) const ACTUAL_BALLOON: i32 = 6;
    pub(super) const RSS: i32 = 7;
    pub(super) const USABLE: i32 = 8;
    pub(super) const LAST_UPDATE: i32 = 9;
    pub(super) const DISK_CACHES: i32 = 10;
    pub(super) const HUGETLB_PGALLOC: i32 = 11;
    pub(super) const HUGETLB_PGFAIL: i32 = 12;
}

/// Where QEMU has the balloon of a domain that has one.
fn balloon_path(domain: &Domain) -> Option<String> {
    let balloon = domain.devices.memballoon.as_ref()?;
    balloon.model?;
    Some(format!("/machine/peripheral/{}", balloon.info.alias.as_deref().unwrap_or("balloon0")))
}

/// What the guest's driver has told last.
pub(super) async fn guest_stats(guest: &Guest, domain: &Domain) -> Option<GuestStats> {
    let path = balloon_path(domain)?;
    let value = guest.ask(QomGet { path, property: "guest-stats" }).await.ok()?;
    GuestStats::deserialize(value).ok()
}

/// By libvirt's names and tags; memory in KiB.
pub(super) fn figures(stats: &GuestStats) -> [(&'static str, i32, Option<u64>); 11] {
    let plain = |told: Told| told.0;
    let kib = |told: Told| told.0.map(|bytes| bytes / 1024);
    let memory = &stats.stats;
    [
        ("swap_in", tag::SWAP_IN, kib(memory.stat_swap_in)),
        ("swap_out", tag::SWAP_OUT, kib(memory.stat_swap_out)),
        ("major_fault", tag::MAJOR_FAULT, plain(memory.stat_major_faults)),
        ("minor_fault", tag::MINOR_FAULT, plain(memory.stat_minor_faults)),
        ("unused", tag::UNUSED, kib(memory.stat_free_memory)),
        ("available", tag::AVAILABLE, kib(memory.stat_total_memory)),
        ("usable", tag::USABLE, kib(memory.stat_available_memory)),
        ("last-update", tag::LAST_UPDATE, Some(stats.last_update)),
        ("disk_caches", tag::DISK_CACHES, kib(memory.stat_disk_caches)),
        ("hugetlb_pgalloc", tag::HUGETLB_PGALLOC, plain(memory.stat_htlb_pgalloc)),
        ("hugetlb_pgfail", tag::HUGETLB_PGFAIL, plain(memory.stat_htlb_pgfail)),
    ]
}

/// `DOMAIN_MEMORY_STATS`.
pub(crate) async fn memory_stats(
    service: &Service,
    args: &MemoryStatsArgs<'_>,
) -> Result<List<MemoryStat, 1024>, Failure> {
    check(args.flags, 0, "virDomainMemoryStats")?;
    let vm = service.domains.of(&args.dom)?;
    let guest = affect::running(&vm)?;
    let live = guest.live();
    let mut all = Vec::new();
    let has_balloon = balloon_path(&live).is_some();
    let actual = match has_balloon {
        true => guest.ask(QueryBalloon).await.map(|info| info.actual / 1024)?,
        false => live.memory.0,
    };
    all.push(MemoryStat { tag: tag::ACTUAL_BALLOON, val: actual });
    if let Some(stats) = guest_stats(&guest, &live).await {
        let told =
            figures(&stats).into_iter().filter_map(|(_, tag, val)| Some(MemoryStat { tag, val: val? }));
        all.extend(told);
    }
    if let Ok(usage) = proc::process(guest.pid()) {
        all.push(MemoryStat { tag: tag::RSS, val: usage.rss });
    }
    all.truncate(usize::try_from(args.max_stats).unwrap_or(1024).min(1024));
    Ok(all.into())
}

/// `DOMAIN_SET_MEMORY_STATS_PERIOD`: how often the guest's driver is asked, in seconds; 0 for never.
pub(crate) async fn set_period(
    service: &Arc<Service>,
    args: &MemoryStatsPeriodArgs<'_>,
) -> Result<(), Failure> {
    check(args.flags, affect::LIVE | affect::CONFIG, "virDomainSetMemoryStatsPeriod")?;
    let period = u32::try_from(args.period)
        .map_err(|_| invalid("the period of memory statistics must not be negative"))?;
    let vm = service.domains.of(&args.dom)?;
    let (service, this, flags) = (Arc::clone(service), Arc::clone(&vm), args.flags);
    alone(&vm, async move {
        let affected = affected(&this, flags)?;
        if let Some(guest) = &affected.live {
            let path = balloon_path(&guest.live()).ok_or_else(no_balloon)?;
            poll(guest, path, period).await?;
            guest.change_live(|live| set_period_of(live, period))?;
        }
        if affected.config {
            config::change(&service, &this, move |domain| set_period_of(domain, period)).await?;
        }
        Ok(())
    })
    .await
}

fn no_balloon() -> Failure {
    op_invalid("Memory balloon model must be virtio to set the collection period")
}

fn set_period_of(domain: &mut Domain, period: u32) -> Result<(), Failure> {
    let balloon = domain.devices.memballoon.as_mut().filter(|balloon| balloon.model.is_some());
    balloon.ok_or_else(no_balloon)?.stats_period = Some(period).filter(|period| *period > 0);
    Ok(())
}

/// Has QEMU ask the guest's driver every `period` seconds.
pub(crate) async fn poll(guest: &Guest, path: String, period: u32) -> Result<(), Failure> {
    let set = QomSet { path, property: "guest-stats-polling-interval", value: period.into() };
    guest.ask(set).await?;
    Ok(())
}

/// Takes note of what the balloon leaves the guest.
pub(crate) async fn note_balloon(guest: &Guest) -> Result<(), Failure> {
    if balloon_path(&guest.live()).is_none() {
        return Ok(());
    }
    let actual = guest.ask(QueryBalloon).await?.actual;
    guest.note_live(|live| live.current_memory = Some(Kib(actual / 1024)));
    Ok(())
}

/// Does what the domain asks of its balloon at a start: how much it leaves the guest, and how often it is asked.
pub(crate) async fn at_start(guest: &Guest) -> Result<(), Failure> {
    let live = guest.live();
    let Some(path) = balloon_path(&live) else { return Ok(()) };
    let period = live.devices.memballoon.as_ref().and_then(|balloon| balloon.stats_period);
    if let Some(period) = period.filter(|period| *period > 0) {
        poll(guest, path, period).await?;
    }
    let current = live.current_memory.filter(|current| current.0 > 0 && *current < live.memory);
    if let Some(current) = current {
        guest.ask(qemu::qmp::device::Balloon { value: current.bytes() }).await?;
        note_balloon(guest).await?;
    }
    Ok(())
}
