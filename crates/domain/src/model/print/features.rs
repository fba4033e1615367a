//! Prints `<features>`.

use super::node::Node;
use crate::model::{
    Keyword,
    features::{Features, Hyperv, HypervFeature, KvmFeatures, Smm},
    memory::Kib,
};

pub(super) fn print_features(features: &Features) -> Option<Node> {
    Node::new("features")
        .flag("acpi", features.acpi)
        .maybe(features.apic.map(|apic| Node::new("apic").on_off("eoi", apic.eoi)))
        .flag("pae", features.pae)
        .state("hap", features.hap)
        .flag("viridian", features.viridian)
        .flag("privnet", features.privnet)
        .maybe(features.hyperv.as_ref().map(print_hyperv))
        .maybe(features.kvm.map(print_kvm))
        .state("pvspinlock", features.pvspinlock)
        .state("pmu", features.pmu)
        .state("vmport", features.vmport)
        .maybe(features.smm.map(print_smm))
        .maybe(features.ioapic.map(|driver| Node::new("ioapic").attr("driver", driver)))
        .state("vmcoreinfo", features.vmcoreinfo)
        .maybe(features.unknown_msrs.map(|unknown| Node::new("msrs").attr("unknown", unknown)))
        .maybe(
            features
                .async_teardown
                .map(|enabled| Node::new("async-teardown").attr("enabled", enabled.yes_no())),
        )
        .state("ps2", features.ps2)
        .unless_empty()
}

fn print_smm(smm: Smm) -> Node {
    Node::new("smm").attr("state", smm.state.on_off()).maybe(smm.tseg.map(print_tseg))
}

/// In the largest unit that loses nothing.
fn print_tseg(size: Kib) -> Node {
    let (mut count, mut units) = (size.0, ["KiB", "MiB", "GiB", "TiB"].iter());
    let mut unit = units.next();
    while count > 0 && count.is_multiple_of(1024) && units.len() > 0 {
        count /= 1024;
        unit = units.next();
    }
    Node::of_text("tseg", count).opt("unit", unit)
}

fn print_kvm(kvm: KvmFeatures) -> Node {
    Node::new("kvm")
        .state("hidden", kvm.hidden)
        .state("hint-dedicated", kvm.hint_dedicated)
        .state("poll-control", kvm.poll_control)
        .state("pv-ipi", kvm.pv_ipi)
        .maybe(
            kvm.dirty_ring.map(|ring| {
                Node::new("dirty-ring").attr("state", ring.state.on_off()).opt("size", ring.size)
            }),
        )
}

fn print_hyperv(hyperv: &Hyperv) -> Node {
    let print = |feature: &HypervFeature| {
        Node::new(feature.name.word())
            .attr("state", feature.state.on_off())
            .opt("retries", feature.retries)
            .opt("value", feature.vendor_id.as_ref())
            .state("direct", feature.direct)
            .state("extended", feature.extended)
    };
    Node::new("hyperv").word("mode", hyperv.mode).all(hyperv.features.iter().map(print))
}
