//! The groups of figures that `domstats` knows, by libvirt's names.

use domain::Domain;
use qemu::qmp::figures::{
    Image, QueryBalloon, QueryBlock, QueryBlockstats, QueryDirtyRate, QueryNamedBlockNodes,
};

use super::{balloon, block, interface, kvm, proc};
use crate::service::device::{affect, image_number, storage_node};
use crate::service::domains::Vm;
use crate::service::params::Params;
use crate::service::tune;
use crate::vm::Guest;

/// `virDomainStatsTypes`.
const STATE: u32 = 1;
const CPU_TOTAL: u32 = 2;
const BALLOON: u32 = 4;
const VCPU: u32 = 8;
const INTERFACE: u32 = 16;
const BLOCK: u32 = 32;
const PERF: u32 = 64;
const IOTHREAD: u32 = 128;
const MEMORY: u32 = 256;
const DIRTYRATE: u32 = 512;
pub(super) const VM: u32 = 1024;

/// Those of which something is known. Of `PERF` and `MEMORY` libvirt has nothing for a guest that asks for
/// none of it, and so has sevirt for any.
pub(super) const ALL: u32 =
    STATE | CPU_TOTAL | BALLOON | VCPU | INTERFACE | BLOCK | PERF | IOTHREAD | MEMORY | DIRTYRATE | VM;

/// The figures of one domain. What cannot be had is left out.
pub(super) async fn of(vm: &Vm, groups: u32, backing: bool) -> Params {
    let mut params = Params::default();
    let guest = vm.guest();
    let domain = match &guest {
        Some(guest) => (*guest.live()).clone(),
        None => affect::defined(vm).unwrap_or_default(),
    };
    if groups & STATE != 0 {
        let state = vm.run_state();
        params.add("state.state", state.state);
        params.add("state.reason", state.reason);
    }
    if groups & CPU_TOTAL != 0 {
        cpu_group(&mut params, guest.as_deref()).await;
    }
    if groups & BALLOON != 0 {
        balloon_group(&mut params, guest.as_deref(), &domain).await;
    }
    if groups & VCPU != 0 {
        vcpu_group(&mut params, guest.as_deref(), &domain).await;
    }
    if groups & INTERFACE != 0 && guest.is_some() {
        interface_group(&mut params, &domain);
    }
    if groups & BLOCK != 0 {
        block_group(&mut params, guest.as_deref(), &domain, backing).await;
    }
    if groups & IOTHREAD != 0
        && let Some(guest) = &guest
    {
        tune::iothread_figures(&mut params, guest).await;
    }
    if groups & DIRTYRATE != 0
        && let Some(guest) = &guest
    {
        dirty_rate_group(&mut params, guest).await;
    }
    if groups & VM != 0
        && let Some(guest) = &guest
    {
        kvm::of_guest(&mut params, guest).await;
    }
    params
}

/// A guest that does not run has used none.
async fn cpu_group(params: &mut Params, guest: Option<&Guest>) {
    let usage = match guest.map(|guest| proc::process(guest.pid())) {
        None => proc::Usage::default(),
        Some(Ok(usage)) => usage,
        Some(Err(_)) => return,
    };
    params.add("cpu.time", usage.user.saturating_add(usage.system));
    params.add("cpu.user", usage.user);
    params.add("cpu.system", usage.system);
    let Some(guest) = guest else { return };
    params.add("cpu.cache.monitor.count", 0u32);
    let [success, fail] = kvm::halt_poll(guest).await;
    params.add("cpu.haltpoll.success.time", success);
    params.add("cpu.haltpoll.fail.time", fail);
}

async fn dirty_rate_group(params: &mut Params, guest: &Guest) {
    let Ok(rate) = guest.ask(QueryDirtyRate).await else { return };
    // `virDomainDirtyRateStatus`.
    let status = match rate.status.as_str() {
        "unstarted" => 0i32,
        "measuring" => 1,
        _ => 2,
    };
    params.add("dirtyrate.calc_status", status);
    params.add("dirtyrate.calc_start_time", rate.start_time);
    params.add("dirtyrate.calc_period", i32::try_from(rate.calc_time).unwrap_or(i32::MAX));
    params.add("dirtyrate.calc_mode", rate.mode);
    if status == 2 {
        params.add_some("dirtyrate.megabytes_per_second", rate.dirty_rate);
        for vcpu in rate.vcpu_dirty_rate {
            params.add(format!("dirtyrate.vcpu.{}.megabytes_per_second", vcpu.id), vcpu.dirty_rate);
        }
    }
}

async fn balloon_group(params: &mut Params, guest: Option<&Guest>, domain: &Domain) {
    let Some(guest) = guest else {
        params.add("balloon.current", domain.current_memory.unwrap_or(domain.memory).0);
        params.add("balloon.maximum", domain.memory.0);
        return;
    };
    let actual = guest.ask(QueryBalloon).await.map(|info| info.actual / 1024).ok();
    params.add("balloon.current", actual.unwrap_or(domain.memory.0));
    params.add("balloon.maximum", domain.memory.0);
    let stats = balloon::guest_stats(guest, domain).await;
    if let Some(stats) = &stats {
        for (name, _, value) in balloon::figures(stats) {
            params.add_some(format!("balloon.{name}"), value);
        }
    }
    if let Ok(usage) = proc::process(guest.pid()) {
        params.add("balloon.rss", usage.rss);
    }
}

async fn vcpu_group(params: &mut Params, guest: Option<&Guest>, domain: &Domain) {
    params.add("vcpu.current", domain.vcpu.current.unwrap_or(domain.vcpu.count));
    params.add("vcpu.maximum", domain.vcpu.count);
    let Some(guest) = guest else { return };
    let counted = kvm::of_vcpus(guest).await;
    for (index, thread) in tune::vcpu_threads(guest).await.unwrap_or_default() {
        let Ok(usage) = proc::thread(guest.pid(), thread) else { continue };
        // `virVcpuState`: 1 is running.
        params.add(format!("vcpu.{index}.state"), 1i32);
        params.add(format!("vcpu.{index}.time"), usage.user.saturating_add(usage.system));
        params.add(format!("vcpu.{index}.wait"), 0u64);
        params.add(format!("vcpu.{index}.delay"), proc::waits(guest.pid(), thread).delay);
        counted.add(params, index);
    }
}

fn interface_group(params: &mut Params, domain: &Domain) {
    let interfaces = &domain.devices.interfaces;
    params.add("net.count", u32::try_from(interfaces.len()).unwrap_or(u32::MAX));
    let devices = interface::host_devices();
    for (index, found) in interfaces.iter().enumerate() {
        let Some(name) = &found.target else { continue };
        params.add(format!("net.{index}.name"), name.clone());
        let Some(counters) = devices.get(name) else { continue };
        for (what, value) in counters.as_guest().named() {
            params.add(format!("net.{index}.{what}"), value);
        }
    }
}

/// With `backing`, what images are overlays of is listed after them.
async fn block_group(params: &mut Params, guest: Option<&Guest>, domain: &Domain, backing: bool) {
    let disks = &domain.devices.disks;
    let (drives, stats, nodes) = match guest {
        Some(guest) => (
            guest.ask(QueryBlock).await.unwrap_or_default(),
            guest.ask(QueryBlockstats).await.unwrap_or_default(),
            guest.ask(QueryNamedBlockNodes).await.unwrap_or_default(),
        ),
        None => (Vec::new(), Vec::new(), Vec::new()),
    };
    let mut lines = Params::default();
    let mut index = 0u32;
    for disk in disks {
        lines.add(format!("block.{index}.name"), disk.target.dev.clone());
        lines.add_some(format!("block.{index}.path"), block::path(disk).map(str::to_owned));
        let alias = disk.info.alias.as_deref().unwrap_or_default();
        let inserted =
            drives.iter().find(|drive| drive.is_of(alias)).and_then(|drive| drive.inserted.as_ref());
        let found = stats.iter().find(|stats| stats.is_of(alias));
        let number = found.filter(|_| inserted.is_some()).and_then(image_number);
        let node = number.and_then(|number| u32::try_from(number).ok());
        lines.add_some(format!("block.{index}.backingIndex"), node);
        let mut add = |name: &str, value: u64| lines.add(format!("block.{index}.{name}"), value);
        let found = found.map(|found| found.stats);
        if let Some(counters) = found {
            add("rd.reqs", counters.rd_operations);
            add("rd.bytes", counters.rd_bytes);
            add("rd.times", counters.rd_total_time_ns);
            add("wr.reqs", counters.wr_operations);
            add("wr.bytes", counters.wr_bytes);
            add("wr.times", counters.wr_total_time_ns);
            add("fl.reqs", counters.flush_operations);
            add("fl.times", counters.flush_total_time_ns);
        }
        let mut below = None;
        if let Some(image) = inserted.map(|inserted| &inserted.image) {
            add("allocation", found.unwrap_or_default().wr_highest_offset);
            add("capacity", image.virtual_size);
            add("physical", image.actual_size.unwrap_or_default());
            let storage = number.map(storage_node);
            let node = nodes.iter().find(|node| node.node_name.is_some() && node.node_name == storage);
            if let Some(threshold) = node.map(|node| node.write_threshold).filter(|bytes| *bytes > 0) {
                add("threshold", threshold);
            }
            below = image.backing_image.as_deref();
        } else if guest.is_none()
            && let Some(Ok(sizes)) = block::sizes_of_file(disk).await
        {
            add("allocation", sizes.allocation);
            add("capacity", sizes.capacity);
            add("physical", sizes.physical);
        }
        index = index.saturating_add(1);
        let below = std::iter::successors(below, |image| image.backing_image.as_deref());
        for image in below.filter(|_| backing).take(DEEPEST) {
            backing_lines(&mut lines, index, &disk.target.dev, image);
            index = index.saturating_add(1);
        }
    }
    params.add("block.count", index);
    params.append(lines);
}

/// How many images below one are listed.
const DEEPEST: usize = 200;

fn backing_lines(lines: &mut Params, index: u32, target: &str, image: &Image) {
    lines.add(format!("block.{index}.name"), target.to_owned());
    lines.add(format!("block.{index}.path"), image.filename.clone());
    lines.add(format!("block.{index}.allocation"), 0u64);
    lines.add(format!("block.{index}.capacity"), image.virtual_size);
    lines.add(format!("block.{index}.physical"), image.actual_size.unwrap_or_default());
}
