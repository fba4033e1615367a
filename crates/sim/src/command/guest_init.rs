//! What KVM does before a launch: reserve an ASID. SEV-ES and SNP guests have a range of their own, as CPUID tells.

use crate::command::{GuestKind, PlatformState, Reply};
use crate::platform::Platform;
use crate::status::FirmwareStatus;

pub(crate) fn run(platform: &mut Platform, kind: GuestKind) -> Result<Reply, FirmwareStatus> {
    platform.require(&[PlatformState::Init, PlatformState::Working])?;
    platform.reserve(kind).map(Reply::Guest)
}
