//! PDH_CERT_EXPORT (55766): in INIT and WORKING. The PDH and the chain that vouches for it: PEK, OCA, CEK.
//!
//! The CEK comes with the root's signature, so that an owner needs nothing but the root; AMD's processors export it
//! unsigned, and AMD's key server has the signature.

use crate::command::{PlatformState, Reply};
use crate::platform::Platform;
use crate::status::FirmwareStatus;

pub(crate) fn run(platform: &Platform) -> Result<Reply, FirmwareStatus> {
    platform.require(&[PlatformState::Init, PlatformState::Working])?;
    let identity = &platform.identity;
    let chain = [identity.pek(), identity.oca(), platform.chip.certificate()]
        .map(|certificate| *certificate.as_bytes());
    Ok(Reply::PdhCertExport { pdh: identity.pdh().as_bytes().to_vec(), chain: chain.concat() })
}
