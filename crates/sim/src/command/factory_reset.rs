//! PLATFORM_RESET (55766), which the kernel calls FACTORY_RESET: in UNINIT. The platform owns itself again and has new keys.

use crate::command::{PlatformState, Reply};
use crate::keys::Identity;
use crate::platform::{FIRMWARE, Platform};
use crate::status::FirmwareStatus;

pub(crate) fn run(platform: &mut Platform) -> Result<Reply, FirmwareStatus> {
    platform.require(&[PlatformState::Uninit])?;
    platform.identity = Identity::generate(&platform.chip, FIRMWARE.api, &mut *platform.random)?;
    Ok(Reply::Done)
}
