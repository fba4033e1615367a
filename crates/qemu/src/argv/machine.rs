//! The machine: `-machine`, `-accel`, `-smp`, `-m` and its memory back end, power management, `-rtc`, `-boot`.

use std::path::Path;

use domain::{
    Domain,
    model::{
        DomainKind, Switch,
        cpu::{Adjustment, ClockBasis, ClockOffset, TickPolicy, TimerName, TimerTrack},
        features::IoapicDriver,
        memory::{AllocationMode, HugePage, Kib, MemoryAccess, MemorySource},
    },
};

use super::{Argument, KeyValues, Properties};
use crate::plan::{HostClock, PlanError, Surroundings, firmware::Firmware, ids};

/// `-machine`.
pub(crate) fn machine(domain: &Domain, firmware: &Firmware) -> Result<Argument, PlanError> {
    let features = &domain.features;
    let kind = domain.os.machine.as_deref().ok_or(PlanError::NoMachine)?;
    let smm = features.smm.map(|smm| smm.state.on_off()).or_else(|| firmware.requires_smm.then_some("on"));
    let irqchip = features.ioapic.map(|driver| match driver {
        IoapicDriver::Kvm => "on",
        IoapicDriver::Qemu => "split",
    });
    let hpet = domain.clock.timers.iter().find(|timer| timer.name == TimerName::Hpet);
    let value = KeyValues::bare(kind)
        .with("usb", "off")
        .with_some("vmport", features.vmport.map(Switch::on_off))
        .with_some("smm", smm)
        .with_some("kernel_irqchip", irqchip)
        .with_some("i8042", features.ps2.map(Switch::on_off))
        .switch("dump-guest-core", domain.dump_core.is_some_and(Switch::is_on))
        .with_some("mem-merge", domain.memory_backing.nosharepages.then_some("off"))
        .with("memory-backend", "pc.ram")
        .with_some("confidential-guest-support", domain.launch_security.as_ref().map(|_| super::sev::ID))
        .with_some("pflash0", firmware.code_node())
        .with_some("pflash1", firmware.variables_node())
        .with_some("hpet", hpet.and_then(|timer| timer.present).map(Switch::on_off))
        .switch("acpi", features.acpi);
    Ok(Argument::pairs("-machine", value))
}

/// `-accel`.
pub(crate) fn accelerator(domain: &Domain) -> Argument {
    let value = match domain.kind {
        DomainKind::Qemu => KeyValues::bare("tcg"),
        DomainKind::Kvm => {
            let ring = domain.features.kvm.as_ref().and_then(|kvm| kvm.dirty_ring);
            let size = ring.filter(|ring| ring.state.is_on()).and_then(|ring| ring.size);
            KeyValues::bare("kvm").with_some("dirty-ring-size", size.map(|size| size.to_string()))
        }
    };
    Argument::pairs("-accel", value)
}

/// `-smp`.
pub(crate) fn processors(domain: &Domain) -> Result<Argument, PlanError> {
    let most = domain.vcpu.count;
    let present = domain.vcpu.current.unwrap_or(most);
    if present == 0 || present > most {
        return Err(PlanError::BadVcpus { present, most });
    }
    let value = KeyValues::bare(present.to_string())
        .with_some("maxcpus", (present != most).then(|| most.to_string()));
    let value = match domain.cpu.as_ref().and_then(|cpu| cpu.topology) {
        None => value.with("sockets", most.to_string()).with("cores", "1").with("threads", "1"),
        Some(topology) => value
            .with("sockets", topology.sockets.to_string())
            .with("dies", topology.dies.to_string())
            .with("clusters", topology.clusters.to_string())
            .with("cores", topology.cores.to_string())
            .with("threads", topology.threads.to_string()),
    };
    Ok(Argument::pairs("-smp", value))
}

/// A size as the guest gets it: whole mebibytes, in KiB.
pub(crate) fn whole_mebibytes(size: Kib) -> u64 {
    size.0.div_ceil(1024).saturating_mul(1024)
}

/// `-m`, the object that holds the guest's memory, and whether it may be swapped out.
pub(crate) fn memory(domain: &Domain, here: &Surroundings) -> Result<Vec<Argument>, PlanError> {
    let size = whole_mebibytes(domain.memory);
    let value = KeyValues::default().with("size", format!("{size}k"));
    let value = match domain.max_memory {
        None => value,
        Some(max) => value
            .with_some("slots", max.slots.map(|slots| slots.to_string()))
            .with("maxmem", format!("{}k", whole_mebibytes(max.size))),
    };
    let locked = KeyValues::default().switch("mem-lock", domain.memory_backing.locked);
    Ok(vec![
        Argument::pairs("-m", value),
        Argument::object(memory_object(domain, here, size)?),
        Argument::pairs("-overcommit", locked),
    ])
}

fn memory_object(domain: &Domain, here: &Surroundings, size_kib: u64) -> Result<Properties, PlanError> {
    let backing = &domain.memory_backing;
    let id = "pc.ram";
    let bytes = size_kib.saturating_mul(1024);
    let share = backing.access.map(|access| access == MemoryAccess::Shared);
    let threads = backing.allocation.threads;
    let immediate = backing.allocation.mode == Some(AllocationMode::Immediate);
    let huge = match &backing.hugepages {
        None => None,
        Some(pages) => Some(huge_page_size(pages, here)?),
    };
    let path_of = |path: &Path| path.display().to_string();
    let file = match (backing.source, huge) {
        (Some(MemorySource::Memfd), _) => {
            return Ok(Properties::object("memory-backend-memfd", id)
                .with_some("hugetlb", huge.map(|_| true))
                .with_some("hugetlbsize", huge.map(|kib| kib.saturating_mul(1024)))
                .with_some("share", share)
                .with_true("prealloc", immediate || huge.is_some())
                .with_some("prealloc-threads", threads)
                .with("size", bytes));
        }
        (_, Some(kib)) => {
            let directory =
                here.memory_dirs.huge_pages.get(&kib).ok_or(PlanError::NoHugePages { size_kib: kib })?;
            Some(path_of(directory))
        }
        (Some(MemorySource::File), None) => Some(path_of(&here.memory_dirs.files.join(id))),
        (Some(MemorySource::Anonymous) | None, None) => None,
    };
    let Some(file) = file else {
        return Ok(Properties::object("memory-backend-ram", id)
            .with_some("share", share)
            .with_true("prealloc", immediate)
            .with_some("prealloc-threads", threads)
            .with("size", bytes));
    };
    Ok(Properties::object("memory-backend-file", id)
        .with("mem-path", file)
        .with_true("discard-data", backing.discard)
        .with_some("share", share)
        .with("x-use-canonical-path-for-ramblock-id", false)
        .with_true("prealloc", immediate || huge.is_some())
        .with_some("prealloc-threads", threads)
        .with("size", bytes))
}

fn huge_page_size(pages: &[HugePage], here: &Surroundings) -> Result<u64, PlanError> {
    // A page size for certain NUMA nodes means nothing to a guest without any.
    match pages.iter().find(|page| page.nodeset.is_none()).or_else(|| pages.first()) {
        Some(page) => Ok(page.size.0),
        None => here.memory_dirs.default_huge_page_kib.ok_or(PlanError::NoHugePages { size_kib: 0 }),
    }
}

/// `-rtc`, and what the timers do with ticks that the guest missed.
pub(crate) fn clock(domain: &Domain, now: Option<HostClock>) -> Result<Vec<Argument>, PlanError> {
    let base = base(&domain.clock.offset, now)?;
    let mut value = KeyValues::default().with("base", base);
    let mut globals = Vec::new();
    for timer in &domain.clock.timers {
        let policy = timer.tick_policy;
        match timer.name {
            TimerName::Rtc => {
                value = value
                    .with_some("clock", timer.track.and_then(rtc_clock))
                    .with_some("driftfix", (policy == Some(TickPolicy::Catchup)).then_some("slew"));
            }
            TimerName::Pit => {
                let policy = match policy {
                    Some(TickPolicy::Delay) => "delay",
                    Some(TickPolicy::Discard) => "discard",
                    None | Some(TickPolicy::Catchup) => continue,
                    Some(TickPolicy::Merge) => {
                        return Err(PlanError::Unsupported {
                            device: "pit".into(),
                            what: "the tick policy merge".into(),
                        });
                    }
                };
                globals.push(Argument::Text("-global", format!("kvm-pit.lost_tick_policy={policy}")));
            }
            _ => {}
        }
    }
    Ok([Argument::pairs("-rtc", value)].into_iter().chain(globals).collect())
}

fn rtc_clock(track: TimerTrack) -> Option<&'static str> {
    match track {
        TimerTrack::Guest => Some("vm"),
        TimerTrack::Wall => Some("host"),
        TimerTrack::Realtime => Some("rt"),
        TimerTrack::Boot => None,
    }
}

fn base(offset: &ClockOffset, now: Option<HostClock>) -> Result<String, PlanError> {
    let shifted = |seconds: i64, local: bool| {
        let now = now.ok_or(PlanError::NoTime)?;
        let local = if local { i64::from(now.utc_offset_seconds) } else { 0 };
        Ok(date_time(now.unix_seconds.saturating_add(seconds).saturating_add(local)))
    };
    match offset {
        ClockOffset::Utc { adjustment: Some(Adjustment::Seconds(seconds)) } => shifted(*seconds, false),
        ClockOffset::Localtime { adjustment: Some(Adjustment::Seconds(seconds)) } => shifted(*seconds, true),
        ClockOffset::Utc { .. } => Ok("utc".to_owned()),
        ClockOffset::Localtime { .. } | ClockOffset::Timezone { .. } => Ok("localtime".to_owned()),
        ClockOffset::Variable { adjustment, basis } => shifted(*adjustment, *basis == ClockBasis::Localtime),
        ClockOffset::Absolute { start } => Ok(date_time(i64::try_from(*start).unwrap_or(i64::MAX))),
    }
}

/// Seconds since 1970 as `2009-02-13T23:31:30`, by the proleptic Gregorian calendar.
fn date_time(unix_seconds: i64) -> String {
    const DAY: i64 = 86_400;
    let (days, second) = (unix_seconds.div_euclid(DAY), unix_seconds.rem_euclid(DAY));
    // Years that begin in March have their leap day at the end; 400 of them have 146 097 days.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// Whether the guest may be suspended, `-global ICH9-LPC.disable_s3=1`.
pub(crate) fn power_management(domain: &Domain) -> Vec<Argument> {
    let bridge = if ids::is_q35(domain) { "ICH9-LPC" } else { "PIIX4_PM" };
    let states = [("s3", domain.pm.suspend_to_mem), ("s4", domain.pm.suspend_to_disk)];
    let globals = states.into_iter().filter_map(|(state, enabled)| {
        let disable = u8::from(!enabled?.is_on());
        Some(Argument::Text("-global", format!("{bridge}.disable_{state}={disable}")))
    });
    globals.collect()
}

/// `-boot`, and a kernel that is booted without a boot loader.
pub(crate) fn boot(domain: &Domain) -> Vec<Argument> {
    let os = &domain.os;
    let menu = os.boot_menu.enable;
    let splash = os.boot_menu.timeout.filter(|_| menu == Some(Switch::On));
    let value = KeyValues::default()
        .with_some("menu", menu.map(Switch::on_off))
        .with_some("splash-time", splash.map(|ms| ms.to_string()))
        .with_some("reboot-timeout", os.bios.reboot_timeout.map(|ms| ms.to_string()))
        .switch("strict", true);
    let files =
        [("-kernel", &os.kernel), ("-initrd", &os.initrd), ("-append", &os.cmdline), ("-dtb", &os.dtb)];
    let files = files.into_iter().filter_map(|(option, value)| Some(Argument::Text(option, value.clone()?)));
    [Argument::pairs("-boot", value)].into_iter().chain(files).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date_time(0), "1970-01-01T00:00:00");
        assert_eq!(date_time(1_234_567_890), "2009-02-13T23:31:30");
        assert_eq!(date_time(951_782_400), "2000-02-29T00:00:00");
        assert_eq!(date_time(-1), "1969-12-31T23:59:59");
        assert_eq!(date_time(4_107_542_400), "2100-03-01T00:00:00");
    }

    #[test]
    fn memory_is_rounded_up_to_whole_mebibytes() {
        assert_eq!(whole_mebibytes(Kib(219_100)), 219_136);
        assert_eq!(whole_mebibytes(Kib(4_194_304)), 4_194_304);
        assert_eq!(whole_mebibytes(Kib(u64::MAX)), u64::MAX);
    }
}
