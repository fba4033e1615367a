//! What guests a host can run with one emulator: the `<domainCapabilities>` document, in libvirt's form and words.
//!
//! [`DomainCaps::new`] makes it from what QEMU answered and what lies around QEMU; [`DomainCaps`] prints itself as
//! libvirt 11.3 does. Order and names within are those of libvirt, whose documents are what tools read.

mod build;
mod models;
mod print;

use domain::model::DomainKind;

use crate::Caps;
use crate::firmware::Descriptor;
use crate::qmp::command::{CpuDefinition, SgxCapabilities};
use crate::technology::Technology;

/// Whether domains can name the model: those that libvirt knows.
pub fn is_offered_model(model: &CpuDefinition) -> bool {
    let canonical = model.alias_of.as_deref().filter(|name| !name.is_empty());
    models::vendor(canonical.unwrap_or(&model.name)).is_some()
}

/// The named model that stands for the host's processor, and its vendor.
pub fn host_cpu_model(caps: &Caps) -> Option<(String, &'static str)> {
    let model = crate::argv::cpu::host_model(caps)?.model;
    let vendor = models::vendor(&model)?;
    Some((model, vendor))
}

/// Which guests are meant. What is left out is what the emulator does of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted<'w> {
    pub machine: Option<&'w str>,
    pub arch: Option<&'w str>,
    pub kind: Option<DomainKind>,
}

/// What lies around the emulator.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Here {
    /// Its path.
    pub emulator: String,
    /// Firmware descriptors, first the one that takes precedence.
    pub firmware: Vec<Described>,
    /// How many vCPUs KVM gives a guest (`KVM_CAP_MAX_VCPUS`).
    pub kvm_vcpus: Option<u32>,
    /// Physical address bits of the host's processor.
    pub address_bits: Option<u32>,
    /// The versions of TPM that `swtpm` emulates; `None` where it is not installed.
    pub swtpm: Option<Vec<TpmVersion>>,
    /// Whether `qemu-rdp` is installed.
    pub rdp: bool,
    /// Whether host devices can be given to guests: there is an IOMMU, and `/dev/vfio/vfio`.
    pub vfio: bool,
    /// How many SEV guests there can be, with encrypted registers and without.
    pub guests: Guests,
    /// What this host cannot start, whatever QEMU says.
    pub cannot: Vec<Technology>,
}

/// A firmware descriptor, and whether its image is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    pub descriptor: Descriptor,
    pub exists: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TpmVersion {
    V1,
    V2,
}

/// How many encrypted guests can run at the same time, by CPUID 0x8000001F.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Guests {
    pub sev: u32,
    /// SEV-ES and SEV-SNP.
    pub sev_es: u32,
}

impl Guests {
    /// By the number of ASIDs and the lowest one of a guest without encrypted registers: those below are for SEV-ES.
    #[must_use]
    pub fn of_asids(asids: u32, min_sev_asid: u32) -> Self {
        if asids == 0 || min_sev_asid == 0 {
            return Self::default();
        }
        Self { sev: (asids + 1).saturating_sub(min_sev_asid), sev_es: min_sev_asid - 1 }
    }
}

/// The document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainCaps {
    pub emulator: String,
    pub kind: DomainKind,
    /// Canonical name.
    pub machine: String,
    pub arch: String,
    pub max_vcpus: u32,
    pub os: Os,
    pub cpu: CpuModes,
    pub memory_backing: Section,
    pub devices: Vec<Section>,
    /// Simple features, by name.
    pub features: Vec<(&'static str, bool)>,
    pub sev: Option<Sev>,
    pub sgx: Option<SgxCapabilities>,
    pub hyperv: Option<Section>,
    pub launch_security: Section,
}

/// Firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Os {
    pub firmware: Enum,
    /// Images that are there.
    pub loaders: Vec<String>,
    pub choices: Vec<Enum>,
}

/// The modes of `<cpu>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuModes {
    pub host_passthrough: Option<Enum>,
    pub maximum: Option<Enum>,
    pub host_model: Option<HostModel>,
    /// Sorted by name.
    pub custom: Vec<CustomModel>,
}

/// What `mode='host-model'` becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostModel {
    pub model: String,
    pub vendor: &'static str,
    pub address_bits: Option<u32>,
    /// Features that are switched on or off, by libvirt's names.
    pub features: Vec<(String, bool)>,
}

/// A model for `mode='custom'`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomModel {
    pub name: String,
    pub vendor: &'static str,
    /// The name with a version that this one stands for.
    pub canonical: Option<String>,
    pub deprecated: bool,
    pub usable: Usable,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Usable {
    Yes,
    /// The features that are missing, by libvirt's names.
    No(Vec<String>),
    Unknown,
}

/// `<sev>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sev {
    pub cbitpos: u32,
    pub reduced_phys_bits: u32,
    pub guests: Guests,
    pub cpu0_id: Option<String>,
}

/// An element that is supported with choices, or is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    pub name: &'static str,
    pub choices: Option<Vec<Enum>>,
}

/// An attribute or element, and the values that it may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enum {
    pub name: &'static str,
    pub values: Vec<&'static str>,
}

/// Why there is no document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DomainCapsError {
    #[error("`{emulator}` is for `{target}` guests, not for `{arch}`")]
    Arch { emulator: String, target: String, arch: String },
    #[error("`{emulator}` cannot use KVM on this host")]
    NoKvm { emulator: String },
    #[error("`{emulator}` has no machine type `{machine}`; the newest are {newest}")]
    Machine { emulator: String, machine: String, newest: String },
    #[error("`{emulator}` was not asked for all that the document tells")]
    NotAsked { emulator: String },
}

#[cfg(test)]
mod tests;
