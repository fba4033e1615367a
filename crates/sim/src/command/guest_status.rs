//! GUEST_STATUS (55766 §6.8): in every state of the guest.

use crate::command::{GuestStatus, Handle, Reply};
use crate::platform::Platform;
use crate::status::FirmwareStatus;

pub(crate) fn run(platform: &Platform, handle: Handle) -> Result<Reply, FirmwareStatus> {
    let guest = platform.guest(handle)?;
    Ok(Reply::GuestStatus(GuestStatus {
        handle,
        policy: guest.policy(),
        asid: guest.asid,
        state: guest.state(),
    }))
}
