//! LAUNCH_START (55766 §6.2): a guest gets its policy and its transport keys, from its owner's session or, without one,
//! drawn by the firmware, which then nobody else knows.

use attest::sev::certs::{Certificate, Usage};
use attest::sev::digest::LaunchHasher;
use attest::sev::keys::{Tek, Tik, TransportKeys};
use attest::sev::policy::Policy;
use attest::sev::session::LaunchBlob;

use crate::command::{GuestKind, Handle, PlatformState, Reply};
use crate::guest::{Launch, Updating};
use crate::keys::AGREEMENT;
use crate::platform::{FIRMWARE, Platform};
use crate::status::FirmwareStatus;

pub(crate) fn run(
    platform: &mut Platform,
    handle: Handle,
    policy: u32,
    dh_cert: &[u8],
    session: &[u8],
) -> Result<Reply, FirmwareStatus> {
    platform.require(&[PlatformState::Init, PlatformState::Working])?;
    let policy = Policy(policy);
    check(platform, handle, policy)?;
    let keys = match (dh_cert, session) {
        ([], []) => TransportKeys { tek: Tek::new(*platform.draw()?), tik: Tik::new(*platform.draw()?) },
        ([], _) | (_, []) => return Err(FirmwareStatus::InvalidParam),
        (dh_cert, session) => owner_keys(platform, policy, dh_cert, session)?,
    };
    let updating = Updating { policy, keys, hasher: LaunchHasher::new() };
    platform.guest_mut(handle)?.launch = Launch::Updating(updating);
    Ok(Reply::Done)
}

/// Whether the guest may start with this policy.
fn check(platform: &Platform, handle: Handle, policy: Policy) -> Result<(), FirmwareStatus> {
    let guest = platform.guest(handle)?;
    if guest.is_started() {
        return Err(FirmwareStatus::InvalidGuestState);
    }
    if policy.minimum_api() > FIRMWARE.api || policy.reserved() != 0 {
        return Err(FirmwareStatus::PolicyFailure);
    }
    match (guest.kind, policy.es()) {
        (GuestKind::Sev, false) | (GuestKind::SevEs, true) => Ok(()),
        // Activation finds the ASID in the range of the other kind.
        (GuestKind::Sev, true) | (GuestKind::SevEs, false) => Err(FirmwareStatus::InvalidAsid),
        (GuestKind::SevSnp, _) => Err(FirmwareStatus::InvalidGuestState),
    }
}

/// The keys that the owner wrapped for this platform and this policy.
fn owner_keys(
    platform: &Platform,
    policy: Policy,
    dh_cert: &[u8],
    session: &[u8],
) -> Result<TransportKeys, FirmwareStatus> {
    let godh = Certificate::parse(dh_cert).map_err(|_| FirmwareStatus::InvalidCertificate)?;
    if godh.usage() != Usage::Pdh || godh.algorithm() != AGREEMENT {
        return Err(FirmwareStatus::InvalidCertificate);
    }
    let godh = godh.public_key().map_err(|_| FirmwareStatus::InvalidCertificate)?;
    let blob = LaunchBlob::parse(session).map_err(|_| FirmwareStatus::InvalidLength)?;
    blob.open(platform.identity.pdh_key(), &godh, policy).map_err(|_| FirmwareStatus::BadMeasurement)
}
