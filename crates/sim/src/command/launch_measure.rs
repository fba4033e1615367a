//! LAUNCH_MEASURE (55766 §6.5): ends the loading and states what was loaded, with a fresh nonce.

use attest::sev::measurement::{Launch as MeasuredLaunch, Measurement};

use crate::command::{Handle, PlatformState, Reply};
use crate::guest::{Launch, Measured};
use crate::platform::{FIRMWARE, Platform};
use crate::status::FirmwareStatus;

pub(crate) fn run(platform: &mut Platform, handle: Handle) -> Result<Reply, FirmwareStatus> {
    platform.require(&[PlatformState::Working])?;
    platform.guest_mut(handle)?.updating()?;
    let nonce = *platform.draw()?;
    let guest = platform.guest_mut(handle)?;
    let updating = guest.updating()?;
    let (policy, keys) = (updating.policy, updating.keys.clone());
    let digest = updating.hasher.clone().finish();
    let launch = MeasuredLaunch { firmware: FIRMWARE, policy, digest };
    let measurement = Measurement::create(&launch, &keys.tik, nonce);
    guest.launch = Launch::Measured(Measured { policy, keys, digest, measurement });
    Ok(Reply::Measurement(measurement.to_bytes()))
}
