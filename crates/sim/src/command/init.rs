//! INIT (55766 §5.1): from UNINIT to INIT, with SEV-ES and SNP enabled.

use crate::command::{PlatformState, Reply};
use crate::platform::Platform;
use crate::status::FirmwareStatus;

pub(crate) fn run(platform: &mut Platform) -> Result<Reply, FirmwareStatus> {
    platform.require(&[PlatformState::Uninit])?;
    platform.initialized = true;
    Ok(Reply::Done)
}
