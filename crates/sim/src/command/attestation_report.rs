//! ATTESTATION (55766 §8.6): what the guest was launched with, signed by the platform. It needs a finished digest.

use attest::sev::report::AttestationReport;

use crate::command::{Handle, PlatformState, Reply};
use crate::guest::Launch;
use crate::platform::Platform;
use crate::status::FirmwareStatus;

pub(crate) fn run(platform: &Platform, handle: Handle, mnonce: [u8; 16]) -> Result<Reply, FirmwareStatus> {
    platform.require(&[PlatformState::Working])?;
    let (policy, digest) = match &platform.guest(handle)?.launch {
        Launch::Measured(measured) => (measured.policy, &measured.digest),
        Launch::Running { policy, digest } => (*policy, digest),
        _ => return Err(FirmwareStatus::InvalidGuestState),
    };
    let report = AttestationReport::create(mnonce, digest, policy, platform.identity.pek_key());
    Ok(Reply::Report(report.as_bytes().to_vec()))
}
