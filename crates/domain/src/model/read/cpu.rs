//! Reads `<vcpu>`, `<cputune>`, `<cpu>` and `<clock>`.

use super::{reader::Reader, values::parse_number};
use crate::model::cpu::{
    Adjustment, Catchup, Clock, ClockOffset, Cpu, CpuCache, CpuFeature, CpuModel, CpuTune, MaxPhysAddr,
    Timer, Topology, Vcpu, VcpuPin,
};

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
    fn number<N: TryFrom<i128>>(reader: &Reader<'_, '_>, name: &'static str) -> Option<N> {
        reader.child(name)?.text_number(10)
    }
    CpuTune {
        shares: number(reader, "shares"),
        period: number(reader, "period"),
        quota: number(reader, "quota"),
        global_period: number(reader, "global_period"),
        global_quota: number(reader, "global_quota"),
        emulator_period: number(reader, "emulator_period"),
        emulator_quota: number(reader, "emulator_quota"),
        vcpu_pins: reader
            .children("vcpupin")
            .filter_map(|pin| {
                let cpuset = pin.required_string("cpuset");
                Some(VcpuPin { vcpu: pin.number("vcpu")?, cpuset })
            })
            .collect(),
        emulator_pin: reader.child("emulatorpin").map(|pin| pin.required_string("cpuset")),
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
