//! LAUNCH_UPDATE_VMSA (55766 §6.4): encrypts and measures the registers of every vCPU of a SEV-ES guest.
//!
//! The real command names pages that the kernel has filled; here they are built from what the caller knows of the vCPUs.

use attest::sev::vmsa::Vcpus;

use crate::command::{GuestKind, Handle, PlatformState, Reply};
use crate::guest::MAX_VCPUS;
use crate::platform::Platform;
use crate::status::FirmwareStatus;

pub(crate) fn run(platform: &mut Platform, handle: Handle, vcpus: &Vcpus) -> Result<Reply, FirmwareStatus> {
    platform.require(&[PlatformState::Working])?;
    let guest = platform.guest_mut(handle)?;
    if guest.kind != GuestKind::SevEs {
        return Err(FirmwareStatus::PolicyFailure);
    }
    let updating = guest.updating()?;
    if !(1..=MAX_VCPUS).contains(&vcpus.count) {
        return Err(FirmwareStatus::InvalidParam);
    }
    for vmsa in vcpus.states() {
        updating.hasher.update_vmsa(&vmsa);
    }
    Ok(Reply::Done)
}
