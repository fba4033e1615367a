//! `-cpu`: the model and everything that is added to or taken from it.

use domain::{
    Domain,
    model::{
        DomainKind, Switch,
        cpu::{CacheMode, Cpu, CpuMode, FeaturePolicy, MaxPhysAddrMode, TimerName},
        devices::PanicModel,
        features::{HypervMode, HypervName},
    },
};

use super::{Argument, KeyValues, on_off};
use crate::Caps;
use crate::plan::{CpuChoice, PlanError, Surroundings};
use crate::qmp::command::CpuDefinition;

/// CPU models for `host-model` by vendor, newest first, by the name before QEMU's version suffix.
const NEWEST_FIRST: [&[&str]; 2] = [
    &[
        "EPYC-Turin",
        "EPYC-Genoa",
        "EPYC-Milan",
        "EPYC-Rome",
        "EPYC",
        "Opteron_G5",
        "Opteron_G3",
        "Opteron_G1",
    ],
    &[
        "GraniteRapids",
        "SapphireRapids",
        "Icelake-Server",
        "Cascadelake-Server",
        "Skylake-Server",
        "Broadwell",
        "Haswell",
        "IvyBridge",
        "SandyBridge",
        "Westmere",
        "Nehalem",
        "Penryn",
        "Conroe",
    ],
];

/// What is put after `-cpu`, and the model's name by itself.
pub(crate) fn cpu(
    domain: &Domain,
    caps: &Caps,
    here: &Surroundings,
) -> Result<(Argument, String), PlanError> {
    let default = Cpu::default();
    let cpu = domain.cpu.as_ref().unwrap_or(&default);
    check_names(domain, cpu)?;
    let (model, migratable, choice) = match cpu.mode {
        None | Some(CpuMode::Custom) => (named(domain, cpu, caps), None, None),
        Some(CpuMode::HostPassthrough) => ("host".to_owned(), Some(cpu.migratable), None),
        Some(CpuMode::Maximum) => ("max".to_owned(), Some(cpu.migratable), None),
        Some(CpuMode::HostModel) => {
            let choice = match &here.host_model {
                Some(choice) => choice.clone(),
                None => host_model(caps).ok_or(PlanError::NoUsableCpuModel)?,
            };
            (choice.model.clone(), None, Some(choice))
        }
    };
    let mut value = KeyValues::bare(&model);
    if let Some(migratable) = migratable {
        let default = (domain.kind == DomainKind::Kvm).then_some(Switch::On);
        value = value.with_some("migratable", migratable.or(default).map(Switch::on_off));
    }
    for (feature, on) in choice.iter().flat_map(|choice| &choice.features) {
        value = value.switch(feature, *on);
    }
    for feature in &cpu.features {
        let on = match feature.policy {
            None | Some(FeaturePolicy::Force | FeaturePolicy::Require) => true,
            Some(FeaturePolicy::Disable | FeaturePolicy::Forbid) => false,
            // QEMU has no "if the host can": where nothing is known of the host it is left to the model.
            Some(FeaturePolicy::Optional) => match &here.host_features {
                Some(features) => features.contains(&feature.name),
                None => continue,
            },
        };
        value = value.switch(&feature_name(&feature.name), on);
    }
    let value = caches(cpu, address_bits(cpu, paravirtual(domain, value)));
    Ok((Argument::pairs("-cpu", value), model))
}

/// Names go to an option whose commas cannot be escaped.
fn check_names(domain: &Domain, cpu: &Cpu) -> Result<(), PlanError> {
    let model = cpu.model.iter().filter_map(|model| model.name.as_deref());
    let features = cpu.features.iter().map(|feature| feature.name.as_str());
    let plain = |name: &&str| name.chars().all(|c| c.is_ascii_alphanumeric() || "._-+".contains(c));
    let vendor = domain.features.hyperv.iter().flat_map(|hyperv| &hyperv.features);
    if let Some(vendor) = vendor.filter_map(|feature| feature.vendor_id.as_ref()).find(|id| id.contains(','))
    {
        return Err(PlanError::BadCpuName { name: vendor.clone() });
    }
    match model.chain(features).find(|name| name.is_empty() || !plain(name)) {
        Some(name) => Err(PlanError::BadCpuName { name: name.to_owned() }),
        None => Ok(()),
    }
}

/// The model that is named, or the machine's usual one.
fn named(domain: &Domain, cpu: &Cpu, caps: &Caps) -> String {
    if let Some(name) = cpu.model.as_ref().and_then(|model| model.name.clone()) {
        return name;
    }
    let machine = domain.os.machine.as_deref().and_then(|name| caps.machine(name));
    let kind = machine.and_then(|machine| machine.default_cpu_type.as_deref()).unwrap_or("qemu64");
    kind.trim_end_matches("-x86_64-cpu").trim_end_matches("-i386-cpu").to_owned()
}

/// What a generation of CPUs back costs, in features that are missing.
const GENERATION: usize = 2;

/// The newest named model, of the host's vendor, of which this host lacks nothing. On a host that lacks something of
/// each (an emulated one, say) the closest model, with what is missing switched off by name.
pub(crate) fn host_model(caps: &Caps) -> Option<CpuChoice> {
    // AMD's families start at 15 (Fh); Intel's is 6. Without KVM nothing is known of the host, and nothing needs to be.
    let amd = caps.host_cpu.is_none_or(|host| host.family >= 15);
    closest(NEWEST_FIRST.get(usize::from(!amd))?, &caps.cpu_models)
}

fn closest(families: &[&str], models: &[CpuDefinition]) -> Option<CpuChoice> {
    let missing = |name: &str| {
        let model = models.iter().find(|model| model.name == name)?;
        model.unavailable_features.as_deref()
    };
    let candidates = families.iter().enumerate().flat_map(|(age, family)| {
        let versions = (1..=9).rev().map(move |version| format!("{family}-v{version}"));
        versions.chain([(*family).to_owned()]).filter_map(move |name| {
            let missing = missing(&name)?;
            let cost = if missing.is_empty() { 0 } else { missing.len() + GENERATION * age };
            Some((cost, name, missing))
        })
    });
    // Of equals the first, which is the newest.
    let (_, model, missing) = candidates.min_by_key(|(cost, ..)| *cost)?;
    Some(CpuChoice { model, features: missing.iter().map(|feature| (feature.clone(), false)).collect() })
}

/// libvirt writes some features with an underscore or otherwise than QEMU.
fn feature_name(name: &str) -> String {
    match name {
        "pclmuldq" => "pclmulqdq".to_owned(),
        name => name.replace('_', "-"),
    }
}

/// Clocks, enlightenments and what else a hypervisor tells its guest through CPUID.
fn paravirtual(domain: &Domain, mut value: KeyValues) -> KeyValues {
    let features = &domain.features;
    for timer in &domain.clock.timers {
        let present = timer.present.map(Switch::on_off);
        value = match timer.name {
            TimerName::Kvmclock => value.with_some("kvmclock", present),
            TimerName::Hypervclock => value.with_some("hv-time", present.filter(|present| *present == "on")),
            TimerName::Tsc => {
                value.with_some("tsc-frequency", timer.frequency.map(|hertz| hertz.to_string()))
            }
            _ => value,
        };
    }
    value = value
        .with_some("kvm-pv-eoi", features.apic.and_then(|apic| apic.eoi).map(Switch::on_off))
        .with_some("kvm-pv-unhalt", features.pvspinlock.map(Switch::on_off));
    value = hyperv(domain, value);
    if domain.devices.panics.iter().any(|panic| panic.model == Some(PanicModel::Hyperv)) {
        value = value.word("hv-crash");
    }
    if let Some(kvm) = features.kvm {
        let on = |switch: Option<Switch>| switch.filter(|switch| switch.is_on()).map(|_| "on");
        let off = |switch: Option<Switch>| switch.filter(|switch| !switch.is_on()).map(|_| "off");
        value = value
            .with_some("kvm", on(kvm.hidden).map(|_| "off"))
            .with_some("kvm-hint-dedicated", on(kvm.hint_dedicated))
            .with_some("kvm-poll-control", on(kvm.poll_control))
            .with_some("kvm-pv-ipi", off(kvm.pv_ipi));
    }
    value.with_some("pmu", features.pmu.map(Switch::on_off))
}

fn hyperv(domain: &Domain, mut value: KeyValues) -> KeyValues {
    let Some(hyperv) = &domain.features.hyperv else { return value };
    if hyperv.mode == Some(HypervMode::Passthrough) {
        value = value.switch("hv-passthrough", true);
    }
    for feature in hyperv.features.iter().filter(|feature| feature.state.is_on()) {
        let name = format!("hv-{}", feature.name.to_string().replace('_', "-"));
        value = match feature.name {
            HypervName::Spinlocks => {
                value.with_some(&name, feature.retries.map(|retries| format!("{retries:#x}")))
            }
            HypervName::VendorId => value.with_some(&name, feature.vendor_id.as_ref()),
            _ => value.switch(&name, true),
        };
        let extra = |switch: Option<Switch>| switch.filter(|switch| switch.is_on()).map(Switch::on_off);
        value = value
            .with_some(&format!("{name}-direct"), extra(feature.direct))
            .with_some(&format!("{name}-ext"), extra(feature.extended));
    }
    value
}

fn caches(cpu: &Cpu, value: KeyValues) -> KeyValues {
    let pair = |value: KeyValues, host: bool, l3: bool| {
        value.with("host-cache-info", on_off(host)).with("l3-cache", on_off(l3))
    };
    let host = cpu.mode == Some(CpuMode::HostPassthrough);
    match cpu.cache.map(|cache| cache.mode) {
        None => value,
        Some(CacheMode::Emulate) if host => value.switch("l3-cache", true).switch("host-cache-info", false),
        Some(CacheMode::Emulate) => value.switch("l3-cache", true),
        Some(CacheMode::Passthrough) => pair(value, true, false),
        Some(CacheMode::Disable) if host => pair(value, false, false),
        Some(CacheMode::Disable) => value.switch("l3-cache", false),
    }
}

fn address_bits(cpu: &Cpu, value: KeyValues) -> KeyValues {
    match cpu.max_phys_addr {
        None => value,
        Some(bits) if bits.mode == MaxPhysAddrMode::Passthrough => value
            .switch("host-phys-bits", true)
            .with_some("host-phys-bits-limit", bits.limit.map(|limit| limit.to_string())),
        Some(bits) => match bits.bits {
            Some(bits) => value.with("phys-bits", bits.to_string()),
            None => value.switch("host-phys-bits", false),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host on which each model lacks what stands behind its name.
    #[track_caller]
    fn check(models: &[(&str, &[&str])], want: &str) {
        let model = |(name, missing): &(&str, &[&str])| CpuDefinition {
            name: (*name).to_owned(),
            alias_of: None,
            unavailable_features: Some(missing.iter().map(|&feature| feature.to_owned()).collect()),
            deprecated: false,
        };
        let models: Vec<_> = models.iter().map(model).collect();
        let choice = closest(NEWEST_FIRST[0], &models).unwrap();
        let off: String = choice.features.iter().map(|(feature, on)| format!(" {feature}={on}")).collect();
        assert_eq!(format!("{}{off}", choice.model), want);
    }

    #[test]
    fn the_newest_model_that_lacks_nothing_is_taken() {
        check(&[("EPYC-v1", &[]), ("EPYC-Rome-v1", &[]), ("EPYC-Milan", &["pcid"])], "EPYC-Rome-v1");
        check(&[("Opteron_G1", &[]), ("EPYC", &["vme"])], "Opteron_G1");
    }

    #[test]
    fn where_all_lack_something_the_closest_is_taken_without_it() {
        let milan = ["vme", "pcid", "erms", "invpcid", "fsrm"];
        check(
            &[("Opteron_G1", &["vme"]), ("EPYC-v1", &["vme", "xsavec"]), ("EPYC-Milan", &milan)],
            "EPYC-Milan vme=false pcid=false erms=false invpcid=false fsrm=false",
        );
        check(&[("Opteron_G1", &["vme"]), ("EPYC-v1", &["vme", "xsavec"])], "EPYC-v1 vme=false xsavec=false");
    }
}
