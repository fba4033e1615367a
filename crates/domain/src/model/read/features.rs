//! Reads `<features>`.

use super::reader::Reader;
use crate::model::{
    Keyword, Switch,
    features::{Apic, DirtyRing, Features, Hyperv, HypervFeature, HypervName, KvmFeatures, Smm},
};

/// Reads `<features>`.
pub(super) fn read_features(reader: &Reader<'_, '_>) -> Features {
    Features {
        acpi: reader.has("acpi"),
        apic: reader.child("apic").map(|apic| Apic { eoi: apic.on_off("eoi") }),
        pae: reader.has("pae"),
        hap: on_by_default(reader, "hap"),
        viridian: reader.has("viridian"),
        privnet: reader.has("privnet"),
        hyperv: reader.child("hyperv").map(|hyperv| read_hyperv(&hyperv)),
        kvm: reader.child("kvm").map(|kvm| read_kvm(&kvm)),
        pvspinlock: on_by_default(reader, "pvspinlock"),
        pmu: on_by_default(reader, "pmu"),
        vmport: on_by_default(reader, "vmport"),
        ioapic: reader.child("ioapic").and_then(|ioapic| ioapic.word("driver")),
        smm: reader.child("smm").map(|smm| Smm {
            state: smm.on_off("state").unwrap_or(Switch::On),
            tseg: smm.child("tseg").and_then(|tseg| tseg.size_in(1024 * 1024)),
        }),
        vmcoreinfo: on_by_default(reader, "vmcoreinfo"),
        ps2: reader.child_state("ps2"),
        unknown_msrs: reader.child("msrs").and_then(|msrs| msrs.word("unknown")),
        async_teardown: reader.child("async-teardown").and_then(|teardown| teardown.yes_no("enabled")),
    }
}

/// A feature that is on where its element has no state.
fn on_by_default(reader: &Reader<'_, '_>, name: &'static str) -> Option<Switch> {
    let child = reader.child(name)?;
    Some(child.on_off("state").unwrap_or(Switch::On))
}

fn read_kvm(reader: &Reader<'_, '_>) -> KvmFeatures {
    KvmFeatures {
        hidden: reader.child_state("hidden"),
        hint_dedicated: reader.child_state("hint-dedicated"),
        poll_control: reader.child_state("poll-control"),
        pv_ipi: reader.child_state("pv-ipi"),
        dirty_ring: reader.child("dirty-ring").and_then(|ring| {
            let size = ring.parsed("size", "a power of two from 1024 to 65536", |text| {
                super::values::parse_number::<u32>(text, 10)
                    .filter(|size| size.is_power_of_two() && (1024..=65536).contains(size))
            });
            Some(DirtyRing { state: ring.on_off("state")?, size })
        }),
    }
}

fn read_hyperv(reader: &Reader<'_, '_>) -> Hyperv {
    let mode = reader.word("mode");
    let features = HypervName::ALL
        .iter()
        .filter_map(|name| read_enlightenment(&reader.child(name.word())?, *name))
        .collect();
    Hyperv { mode, features }
}

fn read_enlightenment(reader: &Reader<'_, '_>, name: HypervName) -> Option<HypervFeature> {
    let has_children = matches!(name, HypervName::Stimer | HypervName::Tlbflush);
    let direct = if has_children { reader.child_state("direct") } else { None };
    let extended = if name == HypervName::Tlbflush { reader.child_state("extended") } else { None };
    let retries = if name == HypervName::Spinlocks { reader.number("retries") } else { None };
    let vendor_id = if name == HypervName::VendorId { reader.string("value") } else { None };
    let Some(state) = reader.on_off("state") else {
        if reader.element().attribute("state").is_none() {
            reader.missing("attribute `state`");
        }
        return None;
    };
    Some(HypervFeature { name, state, retries, vendor_id, direct, extended })
}
