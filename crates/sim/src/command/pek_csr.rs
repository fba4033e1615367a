//! PEK_CSR (55766): in INIT, while the platform owns itself. The PEK without signatures, for an owner to sign.

use attest::sev::certs::Slot;

use crate::command::{PlatformState, Reply};
use crate::keys::Owner;
use crate::platform::Platform;
use crate::status::FirmwareStatus;

pub(crate) fn run(platform: &Platform) -> Result<Reply, FirmwareStatus> {
    platform.require(&[PlatformState::Init])?;
    if platform.identity.owner() == Owner::External {
        return Err(FirmwareStatus::AlreadyOwned);
    }
    let mut csr = platform.identity.pek().clone();
    for slot in Slot::ALL {
        csr.clear(slot);
    }
    Ok(Reply::Csr(csr.as_bytes().to_vec()))
}
