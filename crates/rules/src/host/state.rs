//! What the facts say of a host in the terms in which several rules ask.

use host::{Fact, Facts};

use crate::technology::Technology;

use super::finding::Evidence;

const AMD: &str = "AuthenticAMD";
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

/// Whether it is a processor of another maker.
pub(super) fn foreign_processor(facts: &Facts) -> Option<&str> {
    // Hygon's are AMD's with another name, and another cipher.
    facts.cpu.vendor.known().map(String::as_str).filter(|vendor| ![AMD, "HygonGenuine"].contains(vendor))
}

/// Whether the kernel lists the technology among the processor's flags.
pub(super) fn kernel_lists(facts: &Facts, technology: Technology) -> Option<bool> {
    let flags = facts.cpu.kernel_flags.known()?;
    Some(flags.iter().any(|flag| flag == technology.parameter()))
}

/// The technologies that the processor has or may have.
pub(super) fn candidates(facts: &Facts) -> Vec<Technology> {
    Technology::ALL
        .into_iter()
        .filter(|technology| processor_has(facts, *technology) != Some(false))
        .collect()
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

fn or_none(words: &str) -> &str {
    if words.is_empty() { "none" } else { words }
}
