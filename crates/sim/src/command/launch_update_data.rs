//! LAUNCH_UPDATE_DATA (55766 §6.3): encrypts memory in place and measures what was there. Nothing is encrypted here.

use crate::command::{Handle, PlatformState, Reply};
use crate::platform::Platform;
use crate::status::FirmwareStatus;
use crate::wire::MAX_DATA;

/// The cipher's block, which lengths are multiples of.
const BLOCK: usize = 16;

pub(crate) fn run(platform: &mut Platform, handle: Handle, data: &[u8]) -> Result<Reply, FirmwareStatus> {
    platform.require(&[PlatformState::Working])?;
    let updating = platform.guest_mut(handle)?.updating()?;
    if data.is_empty() || data.len() > MAX_DATA || !data.len().is_multiple_of(BLOCK) {
        return Err(FirmwareStatus::InvalidLength);
    }
    updating.hasher.update(data);
    Ok(Reply::Done)
}
