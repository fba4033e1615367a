//! PEK_GEN (55766): in INIT. New OCA, PEK and PDH; an external owner is deposed.

use crate::command::{PlatformState, Reply};
use crate::keys::Identity;
use crate::platform::{FIRMWARE, Platform};
use crate::status::FirmwareStatus;

pub(crate) fn run(platform: &mut Platform) -> Result<Reply, FirmwareStatus> {
    platform.require(&[PlatformState::Init])?;
    platform.identity = Identity::generate(&platform.chip, FIRMWARE.api, &mut *platform.random)?;
    Ok(Reply::Done)
}
