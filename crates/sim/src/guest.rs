//! One guest: its kind, its ASID and how far its launch has come.
//!
//! ```text
//!   Reserved ─ LAUNCH_START ─> Updating ─ LAUNCH_MEASURE ─> Measured ─ LAUNCH_FINISH ─> Running
//!                              (LUPDATE)                    (LSECRET)                   (RUNNING)
//!            ─ SNP_LAUNCH_START ─> SnpUpdating ─ SNP_LAUNCH_FINISH ─> SnpRunning
//! ```

#![warn(clippy::disallowed_methods, clippy::disallowed_types)]

use attest::sev::digest::{LaunchDigest, LaunchHasher};
use attest::sev::keys::TransportKeys;
use attest::sev::measurement::Measurement;
use attest::sev::policy::Policy;
use attest::snp::digest as snp;

use crate::command::{GuestKind, GuestState};
use crate::status::FirmwareStatus;

/// The most vCPUs of a guest, as KVM has it.
pub(crate) const MAX_VCPUS: u32 = 1024;

/// A guest that the processor knows. It has no `Debug`: it holds keys.
pub(crate) struct Guest {
    pub(crate) kind: GuestKind,
    pub(crate) asid: u32,
    pub(crate) launch: Launch,
}

/// How far a launch has come.
pub(crate) enum Launch {
    /// An ASID is reserved, the launch has not begun.
    Reserved,
    /// Memory and registers are being loaded and measured.
    Updating(Updating),
    /// All is loaded; secrets may be injected.
    Measured(Measured),
    /// The guest may run. Its transport keys are gone.
    Running { policy: Policy, digest: LaunchDigest },
    /// Pages of an SNP guest are being loaded and measured.
    SnpUpdating { policy: u64, hasher: snp::LaunchHasher },
    /// The SNP guest may run.
    SnpRunning { policy: u64 },
}

/// A launch between LAUNCH_START and LAUNCH_MEASURE.
pub(crate) struct Updating {
    pub(crate) policy: Policy,
    pub(crate) keys: TransportKeys,
    pub(crate) hasher: LaunchHasher,
}

/// A launch between LAUNCH_MEASURE and LAUNCH_FINISH.
pub(crate) struct Measured {
    pub(crate) policy: Policy,
    pub(crate) keys: TransportKeys,
    pub(crate) digest: LaunchDigest,
    pub(crate) measurement: Measurement,
}

impl Guest {
    pub(crate) const fn new(kind: GuestKind, asid: u32) -> Self {
        Self { kind, asid, launch: Launch::Reserved }
    }

    /// Whether the firmware holds a context for the guest.
    pub(crate) const fn is_started(&self) -> bool {
        !matches!(self.launch, Launch::Reserved)
    }

    pub(crate) const fn state(&self) -> GuestState {
        match self.launch {
            Launch::Reserved => GuestState::Uninit,
            Launch::Updating(_) | Launch::SnpUpdating { .. } => GuestState::LaunchUpdate,
            Launch::Measured(_) => GuestState::LaunchSecret,
            Launch::Running { .. } | Launch::SnpRunning { .. } => GuestState::Running,
        }
    }

    /// The low half of the guest's policy; 0 before it has one.
    pub(crate) fn policy(&self) -> u32 {
        match &self.launch {
            Launch::Reserved => 0,
            Launch::Updating(Updating { policy, .. })
            | Launch::Measured(Measured { policy, .. })
            | Launch::Running { policy, .. } => policy.0,
            Launch::SnpUpdating { policy, .. } | Launch::SnpRunning { policy } => {
                u32::try_from(*policy & u64::from(u32::MAX)).unwrap_or_default()
            }
        }
    }

    pub(crate) const fn updating(&mut self) -> Result<&mut Updating, FirmwareStatus> {
        match &mut self.launch {
            Launch::Updating(updating) => Ok(updating),
            _ => Err(FirmwareStatus::InvalidGuestState),
        }
    }

    pub(crate) const fn measured(&self) -> Result<&Measured, FirmwareStatus> {
        match &self.launch {
            Launch::Measured(measured) => Ok(measured),
            _ => Err(FirmwareStatus::InvalidGuestState),
        }
    }

    pub(crate) const fn snp_updating(&mut self) -> Result<&mut snp::LaunchHasher, FirmwareStatus> {
        match &mut self.launch {
            Launch::SnpUpdating { hasher, .. } => Ok(hasher),
            _ => Err(FirmwareStatus::InvalidGuestState),
        }
    }
}
