//! SHUTDOWN (55766): to UNINIT from every state; the firmware forgets all guests.

use crate::command::Reply;
use crate::platform::Platform;
use crate::status::FirmwareStatus;

pub(crate) fn run(platform: &mut Platform) -> Result<Reply, FirmwareStatus> {
    platform.initialized = false;
    platform.forget_launches();
    Ok(Reply::Done)
}
