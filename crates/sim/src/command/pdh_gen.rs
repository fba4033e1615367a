//! PDH_GEN (55766): in INIT and WORKING. A new Diffie-Hellman key; launches that agreed with the old one go on.

use crate::command::{PlatformState, Reply};
use crate::platform::{FIRMWARE, Platform};
use crate::status::FirmwareStatus;

pub(crate) fn run(platform: &mut Platform) -> Result<Reply, FirmwareStatus> {
    platform.require(&[PlatformState::Init, PlatformState::Working])?;
    platform.identity = platform.identity.with_new_pdh(FIRMWARE.api, &mut *platform.random)?;
    Ok(Reply::Done)
}
