//! LAUNCH_FINISH (55766 §6.7): the guest may run; its transport keys are forgotten.

use crate::command::{Handle, PlatformState, Reply};
use crate::guest::Launch;
use crate::platform::Platform;
use crate::status::FirmwareStatus;

pub(crate) fn run(platform: &mut Platform, handle: Handle) -> Result<Reply, FirmwareStatus> {
    platform.require(&[PlatformState::Working])?;
    let guest = platform.guest_mut(handle)?;
    let measured = guest.measured()?;
    guest.launch = Launch::Running { policy: measured.policy, digest: measured.digest };
    Ok(Reply::Done)
}
