//! What the facts say of a host in the terms in which several rules ask.

use host::{Fact, Facts, User};

use crate::Technology;
use crate::version::Version;

use super::finding::Evidence;

const AMD: &str = "AuthenticAMD";
/// AMD's processors under another name.
const HYGON: &str = "HygonGenuine";
const CPUINFO: &str = "/proc/cpuinfo";

/// Whether the processor has a technology; `None` where that cannot be told.
pub(super) fn processor_has(facts: &Facts, technology: Technology) -> Option<bool> {
    if let Fact::Known(leaf) = &facts.cpu.memory_encryption {
        return Some(match technology {
            Technology::Sev => leaf.sev,
            Technology::SevEs => leaf.sev_es,
            Technology::SevSnp => leaf.sev_snp,
        });
    }
    if foreign_processor(facts).is_some() {
        return Some(false);
    }
    // The kernel lists only what it found in the processor. It may leave out what it does not use.
    match (kernel_lists(facts, technology), &facts.cpu.memory_encryption) {
        (Some(true), _) => Some(true),
        (Some(false), Fact::Absent) => Some(false),
        _ => None,
    }
}

/// The vendor, where it is neither AMD nor one of its licensees.
pub(super) fn foreign_processor(facts: &Facts) -> Option<&str> {
    facts.cpu.vendor.known().map(String::as_str).filter(|vendor| ![AMD, HYGON].contains(vendor))
}

/// Whether the kernel lists the technology among the processor's flags.
pub(super) fn kernel_lists(facts: &Facts, technology: Technology) -> Option<bool> {
    let flags = facts.cpu.kernel_flags.known()?;
    Some(flags.iter().any(|flag| flag == technology.parameter()))
}

/// The technologies that the processor has or may have.
pub(super) fn candidates(facts: &Facts) -> Vec<Technology> {
    candidates_from(facts, Technology::Sev)
}

/// Of these, one and all that build upon it.
pub(super) fn candidates_from(facts: &Facts, least: Technology) -> Vec<Technology> {
    let has = |technology: &Technology| processor_has(facts, *technology) != Some(false);
    Technology::ALL.into_iter().filter(|technology| *technology >= least).filter(has).collect()
}

/// Whether the processor could encrypt guests, had BIOS not left it off: the kernel drops the flags then, and its module
/// turns SEV off.
pub(super) fn off_in_bios(facts: &Facts) -> bool {
    processor_has(facts, Technology::Sev) == Some(true)
        && kernel_lists(facts, Technology::Sev) == Some(false)
        && parameter(facts, Technology::Sev) != Parameter::On
        && kernel(facts).is_none_or(|kernel| kernel >= first_kernel(Technology::Sev))
}

/// The first kernel whose KVM runs such guests.
pub(super) fn first_kernel(technology: Technology) -> Version {
    match technology {
        Technology::Sev => Version::new(4, 16, 0),
        Technology::SevEs => Version::new(5, 11, 0),
        Technology::SevSnp => Version::new(6, 11, 0),
    }
}

pub(super) fn kernel(facts: &Facts) -> Option<Version> {
    Version::parse(facts.kernel_release.known()?)
}

/// A parameter of `kvm_amd` as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parameter {
    On,
    Off,
    /// The module has no such parameter.
    Missing,
    /// The module is not loaded.
    Unloaded,
    Unreadable,
}

pub(super) fn parameter(facts: &Facts, technology: Technology) -> Parameter {
    let module = match &facts.kvm_amd {
        Fact::Known(module) => module,
        Fact::Absent => return Parameter::Unloaded,
        Fact::Unreadable { .. } => return Parameter::Unreadable,
    };
    let value = match technology {
        Technology::Sev => module.sev,
        Technology::SevEs => module.sev_es,
        Technology::SevSnp => module.sev_snp,
    };
    match value {
        Some(true) => Parameter::On,
        Some(false) => Parameter::Off,
        None => Parameter::Missing,
    }
}

/// Whether the kernel knows nothing of the technology: by its module, or by its version where that is not loaded.
pub(super) fn kernel_lacks(facts: &Facts, technology: Technology) -> bool {
    match parameter(facts, technology) {
        Parameter::On | Parameter::Off => false,
        Parameter::Missing => true,
        Parameter::Unloaded | Parameter::Unreadable => {
            kernel(facts).is_some_and(|kernel| kernel < first_kernel(technology))
        }
    }
}

/// The lowest parameter that is off where nothing more basic is amiss, with the technologies that miss it.
pub(super) fn off(facts: &Facts) -> Option<(Technology, Vec<Technology>)> {
    if off_in_bios(facts) {
        return None;
    }
    let least =
        candidates(facts).into_iter().find(|technology| parameter(facts, *technology) == Parameter::Off)?;
    let mut technologies = candidates_from(facts, least);
    technologies.retain(|technology| !kernel_lacks(facts, *technology));
    Some((least, technologies))
}

/// Whether no address space identifier is for guests of that kind: by CPUID, or else by the kernel's count. Guests
/// with encrypted registers use those below `min_sev_asid`, all others those from it on.
pub(super) fn lacks_asids(facts: &Facts, technology: Technology) -> bool {
    let encrypted_registers = technology != Technology::Sev;
    match facts.cpu.memory_encryption.known() {
        Some(cpu) if encrypted_registers => cpu.min_sev_asid <= 1,
        Some(cpu) => cpu.asids < cpu.min_sev_asid,
        None => facts.asids.known().is_some_and(|asids| {
            let count = if encrypted_registers { asids.sev_es } else { asids.sev };
            count.capacity == 0
        }),
    }
}

/// Who opens devices for QEMU: its user, or root where there is none.
pub(super) fn qemu_user(facts: &Facts) -> Option<User> {
    match &facts.qemu_user {
        Fact::Known(user) => Some(user.clone()),
        Fact::Absent => Some(User { name: "root".into(), uid: 0, gids: vec![0] }),
        Fact::Unreadable { .. } => None,
    }
}

pub(super) fn libvirt(facts: &Facts) -> Option<Version> {
    Version::parse(facts.libvirt.known()?.version.known()?)
}

pub(super) fn cpuid(facts: &Facts) -> Option<Evidence> {
    let leaf = facts.cpu.memory_encryption.known()?;
    let bits = [("SME", leaf.sme), ("SEV", leaf.sev), ("SEV-ES", leaf.sev_es), ("SEV-SNP", leaf.sev_snp)];
    let names: Vec<&str> = bits.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect();
    Some(Evidence::new("cpu.memory_encryption", "CPUID 8000_001F", or_none(&names.join(" "))))
}

pub(super) fn vendor(facts: &Facts) -> Evidence {
    Evidence::new("cpu.vendor", CPUINFO, &facts.cpu.vendor)
}

pub(super) fn flags(facts: &Facts) -> Option<Evidence> {
    let flags = facts.cpu.kernel_flags.known()?;
    Some(Evidence::new("cpu.kernel_flags", CPUINFO, or_none(&flags.join(" "))))
}

pub(super) fn release(facts: &Facts) -> Evidence {
    Evidence::new("kernel_release", "/proc/sys/kernel/osrelease", &facts.kernel_release)
}

pub(super) fn parameter_evidence(facts: &Facts, technology: Technology) -> Evidence {
    let (fact, name) = match technology {
        Technology::Sev => ("kvm_amd.sev", "sev"),
        Technology::SevEs => ("kvm_amd.sev_es", "sev_es"),
        Technology::SevSnp => ("kvm_amd.sev_snp", "sev_snp"),
    };
    let source = format!("/sys/module/kvm_amd/parameters/{name}");
    let value = match parameter(facts, technology) {
        Parameter::On => "Y".to_owned(),
        Parameter::Off => "N".to_owned(),
        Parameter::Missing => "absent".to_owned(),
        Parameter::Unloaded | Parameter::Unreadable => shown(&facts.kvm_amd),
    };
    Evidence::new(fact, source, value)
}

/// Why a fact is not known.
pub(super) fn shown<T>(fact: &Fact<T>) -> String {
    match fact {
        Fact::Unreadable { path, why, .. } => format!("unreadable ({path}: {why})"),
        Fact::Absent => "absent".to_owned(),
        Fact::Known(_) => "known".to_owned(),
    }
}

fn or_none(words: &str) -> &str {
    if words.is_empty() { "none" } else { words }
}

/// Whether the kernel runs without the reverse map table that SEV-SNP needs: it drops the flag then, from 6.9 on, or
/// the secure processor says so.
pub(super) fn without_rmp(facts: &Facts) -> bool {
    let told = facts.snp_platform.known().is_some_and(|platform| !platform.rmp_initialised);
    let dropped = kernel_lists(facts, Technology::SevSnp) == Some(false);
    facts.simulated.is_none()
        && processor_has(facts, Technology::SevSnp) == Some(true)
        && kernel_lists(facts, Technology::Sev) == Some(true)
        && (dropped || told)
        && parameter(facts, Technology::SevSnp) != Parameter::On
        && !kernel_lacks(facts, Technology::SevSnp)
}

/// Whether the kernel drives no IOMMU at all.
pub(super) fn without_iommu(facts: &Facts) -> bool {
    facts.iommu.known().is_some_and(Vec::is_empty)
}
