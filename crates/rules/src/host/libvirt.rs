//! The secure-guest lines of `virt-host-validate qemu` (libvirt 11.3), as it would print them on a host.
//!
//! They are here for scripts that read that program. What it says is not always right: it judges SEV-ES and SEV-SNP by
//! the processor alone, and knows nothing of access to the device, of QEMU or of firmware. The verdicts of
//! [`check`](super::check) are.

use host::{Fact, Facts};

use super::state::kernel_lists;
use crate::Technology;

/// One line: what was looked at, and what is wrong, or that nothing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validation {
    pub check: &'static str,
    pub outcome: Result<(), &'static str>,
}

/// The lines for a host, in their order. The first that fails is the last.
pub fn validate(facts: &Facts) -> Vec<Validation> {
    let mut lines = Vec::new();
    for (check, outcome) in [
        ("Checking for secure guest support", sev(facts)),
        (
            "Checking for AMD Secure Encrypted Virtualization-Encrypted State (SEV-ES)",
            processor(facts, Technology::SevEs, "AMD SEV-ES is not supported"),
        ),
        (
            "Checking for AMD Secure Encrypted Virtualization-Secure Nested Paging (SEV-SNP)",
            processor(facts, Technology::SevSnp, "AMD SEV-SNP is not supported"),
        ),
    ] {
        lines.push(Validation { check, outcome });
        if outcome.is_err() {
            break;
        }
    }
    lines
}

fn sev(facts: &Facts) -> Result<(), &'static str> {
    if kernel_lists(facts, Technology::Sev) != Some(true) {
        return Err("Unknown if this platform has Secure Guest support");
    }
    match facts.kvm_amd.known().and_then(|module| module.sev) {
        None => Err("AMD Secure Encrypted Virtualization not supported by the currently used kernel"),
        Some(false) => {
            Err("AMD Secure Encrypted Virtualization appears to be disabled in kernel. Add kvm_amd.sev=1 to \
                            the kernel cmdline arguments")
        }
        // It asks whether the path is there, not whether it can be used; what cannot be looked at is not there.
        Some(true) if !matches!(facts.sev_device, Fact::Known(_)) => {
            Err("AMD Secure Encrypted Virtualization appears to be disabled in firmware.")
        }
        Some(true) => Ok(()),
    }
}

fn processor(facts: &Facts, technology: Technology, lack: &'static str) -> Result<(), &'static str> {
    let has = facts.cpu.memory_encryption.known().is_some_and(|leaf| match technology {
        Technology::Sev => leaf.sev,
        Technology::SevEs => leaf.sev_es,
        Technology::SevSnp => leaf.sev_snp,
    });
    if has { Ok(()) } else { Err(lack) }
}

#[cfg(test)]
mod tests;
