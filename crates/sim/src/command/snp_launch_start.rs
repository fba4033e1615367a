//! SNP_LAUNCH_START (56860): a guest gets its policy, which the platform must be able to honour.

use attest::snp::digest::LaunchHasher;

use crate::command::{GuestKind, Handle, PlatformState, Reply};
use crate::guest::Launch;
use crate::platform::{FIRMWARE, Platform};
use crate::status::FirmwareStatus;

/// Bit 17, which must be one.
const MUST_BE_ONE: u64 = 1 << 17;
/// The guest may run where SMT is on. It is on in this platform.
const SMT: u64 = 1 << 16;
/// Bits from 26 on, which must be zero.
const RESERVED: u64 = !0 << 26;
/// AES-256-XTS (22), RAPL disabled (23), ciphertext hiding (24): this platform has none of them.
const UNAVAILABLE: u64 = 0b111 << 22;

pub(crate) fn run(platform: &mut Platform, handle: Handle, policy: u64) -> Result<Reply, FirmwareStatus> {
    platform.require(&[PlatformState::Init, PlatformState::Working])?;
    let guest = platform.guest_mut(handle)?;
    if guest.is_started() || guest.kind != GuestKind::SevSnp {
        return Err(FirmwareStatus::InvalidGuestState);
    }
    if policy & MUST_BE_ONE == 0 || policy & RESERVED != 0 {
        return Err(FirmwareStatus::InvalidParam);
    }
    let [minor, major, ..] = policy.to_le_bytes();
    let is_too_new = (major, minor) > (FIRMWARE.api.major, FIRMWARE.api.minor);
    if is_too_new || policy & SMT == 0 || policy & UNAVAILABLE != 0 {
        return Err(FirmwareStatus::PolicyFailure);
    }
    guest.launch = Launch::SnpUpdating { policy, hasher: LaunchHasher::new() };
    Ok(Reply::Done)
}
