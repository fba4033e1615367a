//! PLATFORM_STATUS (55766): in every state.

use crate::command::{PlatformState, PlatformStatus, Reply};
use crate::keys::Owner;
use crate::platform::{FIRMWARE, Platform};
use crate::status::FirmwareStatus;

const EXTERNAL_OWNER: u32 = 1 << 0;
const ES_INITIALIZED: u32 = 1 << 8;

pub(crate) fn run(platform: &Platform) -> Result<Reply, FirmwareStatus> {
    let state = platform.state();
    let owner = match platform.identity.owner() {
        Owner::Platform => 0,
        Owner::External => EXTERNAL_OWNER,
    };
    let es = if state == PlatformState::Uninit { 0 } else { ES_INITIALIZED };
    Ok(Reply::PlatformStatus(PlatformStatus {
        api_major: FIRMWARE.api.major,
        api_minor: FIRMWARE.api.minor,
        build: FIRMWARE.build,
        state,
        flags: owner | es,
        guest_count: platform.guest_count(),
    }))
}
