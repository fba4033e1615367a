//! Launch security: the object that QEMU is given, and the inputs of the launch digest as the plan decided them. Nobody else works out "the digest of this domain".

use std::path::PathBuf;

use domain::{
    Domain,
    model::{Switch, launch_security::LaunchSecurity},
};

use super::{Firmware, PlanError, PlannedFile, SevParams, Surroundings};
use crate::{
    Caps,
    argv::{Argument, sev},
    caps::CpuSignature,
    technology::Technology,
};

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

/// A guest that is booted without a boot loader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectBoot {
    pub kernel: PathBuf,
    pub initrd: Option<PathBuf>,
    pub cmdline: Option<String>,
}

/// The object for launch security, with the files that it reads.
pub(super) struct LaunchObject {
    technology: Technology,
    policy: u64,
    kernel_hashes: bool,
    host_data: Option<String>,
    pub(super) object: Argument,
    pub(super) files: Vec<PlannedFile>,
}

impl LaunchObject {
    pub(super) fn plan(domain: &Domain, caps: &Caps, here: &Surroundings) -> Result<Option<Self>, PlanError> {
        let Some(security) = &domain.launch_security else { return Ok(None) };
        if let LaunchSecurity::Other { kind } = security {
            return Err(PlanError::LaunchSecurity { kind: kind.clone() });
        }
        let asked = caps
            .sev
            .as_ref()
            .ok()
            .map(|sev| SevParams { cbitpos: sev.cbitpos, reduced_phys_bits: sev.reduced_phys_bits });
        let host = here.sev.or(asked);
        let cbitpos = security.cbitpos().or_else(|| host.map(|host| host.cbitpos));
        let reduced_phys_bits =
            security.reduced_phys_bits().or_else(|| host.map(|host| host.reduced_phys_bits));
        let (Some(cbitpos), Some(reduced_phys_bits)) = (cbitpos, reduced_phys_bits) else {
            return Err(PlanError::NoSevParams);
        };
        let host = SevParams { cbitpos, reduced_phys_bits };
        let kernel_hashes = security.kernel_hashes().is_some_and(Switch::is_on);
        let Some(technology) = Technology::of(security) else { return Ok(None) };
        Ok(match security {
            LaunchSecurity::Sev(sev) => {
                let policy = sev.policy.ok_or(PlanError::NoPolicy)?;
                let (object, files) = sev::sev_guest(sev, policy, host, here);
                Some(Self {
                    technology,
                    policy: policy.into(),
                    kernel_hashes,
                    host_data: None,
                    object,
                    files,
                })
            }
            LaunchSecurity::SevSnp(snp) => {
                let policy = snp.policy.ok_or(PlanError::NoPolicy)?;
                Some(Self {
                    technology,
                    policy,
                    kernel_hashes,
                    host_data: snp.host_data.clone(),
                    object: sev::sev_snp_guest(snp, policy, host),
                    files: Vec::new(),
                })
            }
            LaunchSecurity::Other { .. } => None,
        })
    }

    pub(super) fn inputs(
        &self,
        domain: &Domain,
        caps: &Caps,
        firmware: &Firmware,
        cpu_model: String,
    ) -> LaunchInputs {
        let vcpus = domain.vcpu.current.unwrap_or(domain.vcpu.count);
        LaunchInputs {
            technology: self.technology,
            policy: self.policy,
            firmware: firmware.code.as_ref().map(|code| code.path.clone()),
            boot: domain.os.kernel.as_ref().map(|kernel| DirectBoot {
                kernel: kernel.into(),
                initrd: domain.os.initrd.as_ref().map(PathBuf::from),
                cmdline: domain.os.cmdline.clone(),
            }),
            kernel_hashes: self.kernel_hashes,
            vcpus,
            vcpu_signature: caps.signature(&cpu_model),
            cpu_model,
            host_data: self.host_data.clone(),
        }
    }
}
