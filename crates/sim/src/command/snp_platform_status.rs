//! SNP_PLATFORM_STATUS (56860): in every state.

use crate::command::{PlatformState, Reply, SnpPlatformStatus};
use crate::platform::{FIRMWARE, Platform};
use crate::status::FirmwareStatus;

/// Boot loader 4, TEE 0, SNP 22, microcode 213, in the byte order of Milan and Genoa.
const TCB: u64 = u64::from_le_bytes([4, 0, 0, 0, 0, 0, 22, 213]);

pub(crate) fn run(platform: &Platform) -> Result<Reply, FirmwareStatus> {
    let state = platform.state();
    Ok(Reply::SnpPlatformStatus(SnpPlatformStatus {
        api_major: FIRMWARE.api.major,
        api_minor: FIRMWARE.api.minor,
        build: FIRMWARE.build.into(),
        state,
        rmp_initialized: state != PlatformState::Uninit,
        guest_count: platform.guest_count(),
        current_tcb: TCB,
        reported_tcb: TCB,
    }))
}
