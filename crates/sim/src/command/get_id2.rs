//! GET_ID (55766): in every state. One socket's chip number.

use crate::command::Reply;
use crate::platform::Platform;
use crate::status::FirmwareStatus;

pub(crate) fn run(platform: &Platform) -> Result<Reply, FirmwareStatus> {
    Ok(Reply::Id(platform.chip.id().to_vec()))
}
