//! The inputs of a launch digest, as the plan decided them. Nobody else works out "the digest of this domain".

use std::path::PathBuf;

use crate::caps::CpuSignature;

/// What the platform measures before the guest runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchInputs {
    pub technology: Technology,
    /// The guest policy as the platform gets it.
    pub policy: u64,
    /// The firmware image that is loaded and measured; none: QEMU's own BIOS, which cannot start such a guest.
    pub firmware: Option<PathBuf>,
    /// Kernel, initial RAM disk and command line, if the guest boots from them directly.
    pub boot: Option<DirectBoot>,
    /// Whether the hashes of kernel, RAM disk and command line are put into the firmware's hash table and measured.
    pub kernel_hashes: bool,
    /// How many vCPUs the guest starts with: each one's save area is measured with SEV-ES and SNP.
    pub vcpus: u32,
    /// QEMU's name of the CPU model.
    pub cpu_model: String,
    /// What a vCPU presents as its family, model and stepping, which its save area holds.
    pub vcpu_signature: Option<CpuSignature>,
    /// SNP's `hostData`, base64.
    pub host_data: Option<String>,
}

/// How the guest is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Technology {
    Sev,
    SevEs,
    SevSnp,
}

/// A guest that is booted without a boot loader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectBoot {
    pub kernel: PathBuf,
    pub initrd: Option<PathBuf>,
    pub cmdline: Option<String>,
}

impl std::fmt::Display for Technology {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sev => "SEV",
            Self::SevEs => "SEV-ES",
            Self::SevSnp => "SEV-SNP",
        })
    }
}
