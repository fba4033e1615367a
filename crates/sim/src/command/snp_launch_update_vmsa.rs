//! What KVM does within its SNP_LAUNCH_FINISH: SNP_LAUNCH_UPDATE of each vCPU's registers. The pages are built from what
//! the caller knows of the vCPUs.

use attest::sev::vmsa::Vcpus;
use attest::snp::digest::VMSA_ADDRESS;

use crate::command::{Handle, PageType, PlatformState, Reply};
use crate::guest::MAX_VCPUS;
use crate::platform::Platform;
use crate::status::FirmwareStatus;

pub(crate) fn run(platform: &mut Platform, handle: Handle, vcpus: &Vcpus) -> Result<Reply, FirmwareStatus> {
    platform.require(&[PlatformState::Working])?;
    let hasher = platform.guest_mut(handle)?.snp_updating()?;
    if !(1..=MAX_VCPUS).contains(&vcpus.count) {
        return Err(FirmwareStatus::InvalidParam);
    }
    for vmsa in vcpus.states() {
        hasher.update(PageType::Vmsa, VMSA_ADDRESS, vmsa.as_bytes());
    }
    Ok(Reply::Done)
}
