//! DECOMMISSION (55766 §6.10): the guest's context and ASID are free again, whatever its state.

use crate::command::{Handle, Reply};
use crate::platform::Platform;
use crate::status::FirmwareStatus;

pub(crate) fn run(platform: &mut Platform, handle: Handle) -> Result<Reply, FirmwareStatus> {
    platform.release(handle).map(|()| Reply::Done)
}
