//! LAUNCH_SECRET (55766 §6.6): opens a packet that the owner sealed for this launch. The reply is what hardware would
//! write to the guest's encrypted memory.

use attest::sev::secret::{OpenError, Packet};

use crate::command::{Handle, PlatformState, Reply};
use crate::platform::{FIRMWARE, Platform};
use crate::status::FirmwareStatus;

pub(crate) fn run(
    platform: &Platform,
    handle: Handle,
    header: &[u8],
    packet: &[u8],
    guest_len: u32,
) -> Result<Reply, FirmwareStatus> {
    platform.require(&[PlatformState::Working])?;
    let measured = platform.guest(handle)?.measured()?;
    let guest_len = usize::try_from(guest_len).map_err(|_| FirmwareStatus::InvalidLength)?;
    let opened = Packet::open(&measured.keys, FIRMWARE.api, &measured.measurement, header, packet, guest_len);
    match opened {
        Ok(plaintext) => Ok(Reply::Secret(plaintext)),
        Err(OpenError::Length { .. }) => Err(FirmwareStatus::InvalidLength),
        Err(OpenError::Flags(_)) => Err(FirmwareStatus::Unsupported),
        Err(OpenError::Mac) => Err(FirmwareStatus::BadMeasurement),
    }
}
