//! What one QEMU binary can do on one host, put together from its own replies to QMP queries.
//!
//! [`Queries`] says what to ask and [`Caps::from_replies`] reads the answers; neither asks. Why SEV cannot be used is
//! kept in QEMU's own words, since the reason is what the user needs.

mod extent;
mod queries;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use extent::Extent;
pub use queries::{Part, Queries};

use crate::qmp::command::{CpuDefinition, Kvm, Machine, SevCapabilities, Version};
use crate::qmp::{CommandError, Reply};

/// The SEV half of the capabilities: the platform's certificates and C-bit.
pub type SevCaps = SevCapabilities;

/// What a QEMU binary can do on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caps {
    pub version: Version,
    /// The architecture of its guests, such as `x86_64`.
    pub target: String,
    pub kvm: Kvm,
    /// Machine types, sorted by name.
    pub machines: Vec<Machine>,
    /// CPU models, sorted by name; what is unavailable was judged with KVM if that is enabled.
    pub cpu_models: Vec<CpuDefinition>,
    /// What `-cpu host` presents, where KVM is enabled.
    pub host_cpu: Option<CpuSignature>,
    /// What named CPU models present, by their names without a version; `None` where [`Part::Signatures`] was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signatures: Option<BTreeMap<String, CpuSignature>>,
    /// The types of devices, user-creatable objects and all else.
    pub types: BTreeSet<String>,
    /// The platform's SEV identity, or QEMU's words for why there is none.
    pub sev: Result<SevCaps, String>,
    /// What only `<domainCapabilities>` tells; `None` where [`Part::Extent`] was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extent: Option<Extent>,
}

/// Family, model and stepping as CPUID leaf 1 composes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuSignature {
    pub family: u32,
    pub model: u32,
    pub stepping: u32,
}

impl Caps {
    /// The machine type that `name` means: itself, or what it is an alias of.
    pub fn machine(&self, name: &str) -> Option<&Machine> {
        self.machines.iter().find(|m| m.name == name || m.alias.as_deref() == Some(name))
    }

    pub fn cpu_model(&self, name: &str) -> Option<&CpuDefinition> {
        self.cpu_models.iter().find(|model| model.name == name)
    }

    /// What a vCPU of the model presents as its family, model and stepping: all versions of a model present the same.
    pub fn signature(&self, model: &str) -> Option<CpuSignature> {
        if model == "host" {
            return self.host_cpu;
        }
        let unversioned = match model.rsplit_once("-v") {
            Some((name, version)) if version.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => model,
        };
        let unversioned = unversioned.strip_suffix("-IBPB").unwrap_or(unversioned);
        self.signatures.as_ref()?.get(unversioned).copied()
    }

    /// Whether the device or object type exists in this build, such as `virtio-rng-pci` or `sev-snp-guest`.
    pub fn has(&self, type_name: &str) -> bool {
        self.types.contains(type_name)
    }

    /// Whether the release is at least `major.minor`.
    pub fn at_least(&self, major: u32, minor: u32) -> bool {
        (self.version.qemu.major, self.version.qemu.minor) >= (major, minor)
    }

    /// Whether the part was asked for when these answers were got.
    pub fn holds(&self, part: Part) -> bool {
        match part {
            Part::Signatures => self.signatures.is_some(),
            Part::Extent => self.extent.is_some(),
        }
    }

    /// Reads the replies to `queries`, in any order. One that is missing is an error that names it.
    pub fn from_replies(queries: &Queries, replies: &[Reply]) -> Result<Self, CapsError> {
        queries.read(replies)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum CapsError {
    #[error("QEMU did not answer {0}")]
    Missing(&'static str),
    #[error(transparent)]
    Command(CommandError),
}

#[cfg(test)]
mod tests;
