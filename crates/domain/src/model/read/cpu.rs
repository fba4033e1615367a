//! Reads `<vcpu>`, `<cputune>`, `<cpu>` and `<clock>`.

use super::{iothreads, reader::Reader, values::parse_number};
use crate::model::cpu::{
    Adjustment, Catchup, Clock, ClockOffset, Cpu, CpuCache, CpuFeature, CpuModel, CpuTune, IoThreadPin,
    MaxPhysAddr, Timer, Topology, Vcpu, VcpuPin,
};

/// The largest quota that libvirt takes, in microseconds: what the kernel can count in nanoseconds.
const MOST_QUOTA: i64 = 17_592_186_044_415;

/// Reads `<vcpu>`.
pub(super) fn read_vcpu(reader: &Reader<'_, '_>) -> Vcpu {
    let current: Option<u32> = reader.number("current");
    let count = match reader.text() {
        None => 1,
        Some(_) => reader
            .parsed_text("a number of CPUs from 1", |text| {
                parse_number::<u32>(text, 10).filter(|count| *count > 0)
            })
            .unwrap_or(1),
    };
    if current.is_some_and(|current| !(1..=count).contains(&current)) {
        reader.malformed_attribute("current", &format!("not from 1 to {count}"));
    }
    Vcpu {
        count,
        current: current.filter(|current| (1..count).contains(current)),
        placement: reader.word("placement"),
        cpuset: reader.string("cpuset"),
    }
}

/// Reads `<cputune>`.
pub(super) fn read_tune(reader: &Reader<'_, '_>) -> CpuTune {
    let period = |name| {
        let is_period = |period: &u64| *period == 0 || (1000..=1_000_000).contains(period);
        let read = |text: &str| parse_number(text, 10).filter(is_period);
        reader.child(name)?.parsed_text("a time from 1000 to 1000000 microseconds", read)
    };
    let quota = |name| {
        let is_quota = |quota: &i64| *quota <= 0 || (1000..=MOST_QUOTA).contains(quota);
        let read = |text: &str| parse_number(text, 10).filter(is_quota);
        reader.child(name)?.parsed_text("a time from 1000 to 17592186044415 microseconds, or -1", read)
    };
    CpuTune {
        shares: reader.child("shares").and_then(|shares| shares.text_number(10)),
        period: period("period"),
        quota: quota("quota"),
        global_period: period("global_period"),
        global_quota: quota("global_quota"),
        emulator_period: period("emulator_period"),
        emulator_quota: quota("emulator_quota"),
        iothread_period: period("iothread_period"),
        iothread_quota: quota("iothread_quota"),
        vcpu_pins: reader
            .children("vcpupin")
            .filter_map(|pin| {
                let cpuset = pin.required_string("cpuset");
                Some(VcpuPin { vcpu: pin.number("vcpu")?, cpuset })
            })
            .collect(),
        emulator_pin: reader.child("emulatorpin").map(|pin| pin.required_string("cpuset")),
        iothread_pins: reader
            .children("iothreadpin")
            .filter_map(|pin| {
                let cpuset = pin.required_string("cpuset");
                Some(IoThreadPin { iothread: iothreads::read_number(&pin, "iothread")?, cpuset })
            })
            .collect(),
    }
}

/// Reads `<cpu>`.
pub(super) fn read_cpu(reader: &Reader<'_, '_>) -> Cpu {
    Cpu {
        mode: reader.word("mode"),
        matching: reader.word("match"),
        check: reader.word("check"),
        migratable: reader.on_off("migratable"),
        model: reader.child("model").map(|model| CpuModel {
            name: model.trimmed_text(),
            fallback: model.word("fallback"),
            vendor_id: model.string("vendor_id"),
        }),
        vendor: reader.child_text("vendor"),
        topology: reader.child("topology").and_then(|topology| read_topology(&topology)),
        cache: reader
            .child("cache")
            .and_then(|cache| Some(CpuCache { level: cache.number("level"), mode: cache.word("mode")? })),
        max_phys_addr: reader.child("maxphysaddr").and_then(|address| {
            Some(MaxPhysAddr {
                bits: address.number("bits"),
                limit: address.number("limit"),
                mode: address.word("mode")?,
            })
        }),
        features: reader
            .children("feature")
            .map(|feature| CpuFeature {
                name: feature.required_string("name"),
                policy: feature.word("policy"),
            })
            .collect(),
    }
}

fn read_topology(reader: &Reader<'_, '_>) -> Option<Topology> {
    let count = |name| {
        reader
            .parsed(name, "a number from 1", |text| parse_number::<u32>(text, 10).filter(|count| *count > 0))
    };
    let (sockets, dies, clusters) = (count("sockets"), count("dies"), count("clusters"));
    let (cores, threads) = (count("cores"), count("threads"));
    let (Some(sockets), Some(cores), Some(threads)) = (sockets, cores, threads) else {
        for name in ["sockets", "cores", "threads"] {
            if reader.element().attribute(name).is_none() {
                reader.missing(&format!("attribute `{name}`"));
            }
        }
        return None;
    };
    Some(Topology { sockets, dies: dies.unwrap_or(1), clusters: clusters.unwrap_or(1), cores, threads })
}

/// Reads `<clock>`.
pub(super) fn read_clock(reader: &Reader<'_, '_>) -> Clock {
    Clock {
        offset: read_offset(reader),
        timers: reader.children("timer").filter_map(|timer| read_timer(&timer)).collect(),
    }
}

fn read_offset(reader: &Reader<'_, '_>) -> ClockOffset {
    let adjustment = || {
        reader.parsed("adjustment", "`reset` or a number of seconds", |text| match text {
            "reset" => Some(Adjustment::Reset),
            text => parse_number(text, 10).map(Adjustment::Seconds),
        })
    };
    match reader.string("offset").as_deref() {
        None | Some("utc") => ClockOffset::Utc { adjustment: adjustment() },
        Some("localtime") => ClockOffset::Localtime { adjustment: adjustment() },
        Some("timezone") => ClockOffset::Timezone { timezone: reader.required_string("timezone") },
        Some("variable") => ClockOffset::Variable {
            adjustment: reader.number("adjustment").unwrap_or(0),
            basis: reader.word("basis").unwrap_or_default(),
        },
        Some("absolute") => match reader.number("start") {
            Some(start) => ClockOffset::Absolute { start },
            None => {
                if reader.element().attribute("start").is_none() {
                    reader.missing("attribute `start`");
                }
                ClockOffset::default()
            }
        },
        Some(other) => {
            reader.malformed_attribute("offset", &format!("`{other}` is not a clock offset"));
            ClockOffset::default()
        }
    }
}

fn read_timer(reader: &Reader<'_, '_>) -> Option<Timer> {
    let timer = Timer {
        name: reader.discriminator("name")?,
        present: reader.yes_no("present"),
        tick_policy: reader.word("tickpolicy"),
        track: reader.word("track"),
        frequency: reader.number("frequency"),
        mode: reader.word("mode"),
        catchup: reader.child("catchup").map(|catchup| Catchup {
            threshold: catchup.number("threshold"),
            slew: catchup.number("slew"),
            limit: catchup.number("limit"),
        }),
    };
    Some(timer)
}
