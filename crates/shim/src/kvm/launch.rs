//! The launch of SEV and SEV-ES guests: each command's structure is read, the simulator is asked, and the answer is written
//! back where KVM would write it.

use sim::command::GuestKind;
use sim::{Command, FirmwareStatus, Reply};

use super::guest::Guest;
use super::vm::State;
use crate::abi::{AttestationReport, Buffer, GuestStatusData, LaunchSecret, LaunchStart};
use crate::errno::Errno;
use crate::failure::Failure;
use crate::{kvm::vmsa, user};

/// `SEV_FW_BLOB_MAX_SIZE`: KVM takes no longer certificates, sessions and secrets.
const LONGEST_BLOB: u32 = 16 * 1024;

/// The firmware's unit of memory.
const BLOCK: u64 = 16;

/// The guest that a command is for.
pub(super) fn guest(state: &mut State) -> Result<&mut Guest, Errno> {
    state.guest.as_mut().ok_or(Errno::ENOTTY)
}

/// What the program hands over at `address`; nothing for a null pointer.
pub(super) fn blob(address: u64, length: u32) -> Result<Vec<u8>, Errno> {
    if address == 0 {
        return Ok(Vec::new());
    }
    if length > LONGEST_BLOB {
        return Err(Errno::EINVAL);
    }
    user::read_bytes(address, length.try_into().map_err(|_| Errno::EINVAL)?)
}

pub(super) fn start(state: &mut State, data: u64) -> Result<(), Failure> {
    let mut start: LaunchStart = user::read(data)?;
    let guest = guest(state)?;
    let command = Command::LaunchStart {
        guest: guest.handle,
        policy: start.policy,
        dh_cert: blob(start.dh_address, start.dh_length)?,
        session: blob(start.session_address, start.session_length)?,
    };
    guest.call(&command)?;
    start.handle = guest.handle.0;
    Ok(user::write(data, &start)?)
}

pub(super) fn update_data(state: &mut State, data: u64) -> Result<(), Failure> {
    let update: Buffer = user::read(data)?;
    let guest = guest(state)?;
    if !update.address.is_multiple_of(BLOCK) {
        return Err(FirmwareStatus::InvalidAddress.into());
    }
    let bytes = user::read_bytes(update.address, update.length.try_into().map_err(|_| Errno::EINVAL)?)?;
    Ok(guest.connection.update_data(guest.handle, &bytes)??)
}

pub(super) fn update_vmsa(state: &mut State) -> Result<(), Failure> {
    if guest(state)?.kind != GuestKind::SevEs {
        return Err(Errno::ENOTTY.into());
    }
    let vcpus = vmsa::of(state)?;
    let guest = guest(state)?;
    let command = Command::LaunchUpdateVmsa { guest: guest.handle, vcpus };
    guest.call(&command).map(drop)
}

/// A buffer that is too short learns the length it needs.
pub(super) fn measure(state: &mut State, data: u64) -> Result<(), Failure> {
    let mut buffer: Buffer = user::read(data)?;
    let guest = guest(state)?;
    if buffer.length > LONGEST_BLOB {
        return Err(Errno::EINVAL.into());
    }
    let command = Command::LaunchMeasure { guest: guest.handle };
    let needed = MEASUREMENT_LENGTH;
    if buffer.length < needed || buffer.address == 0 {
        buffer.length = needed;
        user::write(data, &buffer)?;
        return Err(FirmwareStatus::InvalidLength.into());
    }
    let Reply::Measurement(measurement) = guest.call(&command)? else { return Err(Failure::Reply) };
    user::write_bytes(buffer.address, &measurement)?;
    buffer.length = needed;
    Ok(user::write(data, &buffer)?)
}

/// Bytes of a measurement with its nonce.
const MEASUREMENT_LENGTH: u32 = 48;

/// The plaintext goes where the firmware would have put it: into the guest's memory.
pub(super) fn secret(state: &mut State, data: u64) -> Result<(), Failure> {
    let secret: LaunchSecret = user::read(data)?;
    let guest = guest(state)?;
    let command = Command::LaunchSecret {
        guest: guest.handle,
        header: blob(secret.header_address, secret.header_length)?,
        packet: blob(secret.packet_address, secret.packet_length)?,
        guest_len: secret.guest_length,
    };
    if secret.header_address == 0 || secret.packet_address == 0 || secret.guest_address == 0 {
        return Err(Errno::EINVAL.into());
    }
    if !secret.guest_address.is_multiple_of(BLOCK) {
        return Err(FirmwareStatus::InvalidAddress.into());
    }
    let Reply::Secret(plaintext) = guest.call(&command)? else { return Err(Failure::Reply) };
    if u32::try_from(plaintext.len()).ok().is_none_or(|length| length > secret.guest_length) {
        return Err(Failure::Reply);
    }
    Ok(user::write_bytes(secret.guest_address, &plaintext)?)
}

pub(super) fn finish(state: &mut State) -> Result<(), Failure> {
    let guest = guest(state)?;
    let command = Command::LaunchFinish { guest: guest.handle };
    guest.call(&command).map(drop)
}

pub(super) fn guest_status(state: &mut State, data: u64) -> Result<(), Failure> {
    let guest = guest(state)?;
    let command = Command::GuestStatus { guest: guest.handle };
    let Reply::GuestStatus(status) = guest.call(&command)? else { return Err(Failure::Reply) };
    let status = GuestStatusData {
        handle: status.handle.0,
        policy: status.policy,
        state: u32::from(status.state as u8),
    };
    Ok(user::write(data, &status)?)
}

/// A buffer that is too short learns the length it needs.
pub(super) fn attestation_report(state: &mut State, data: u64) -> Result<(), Failure> {
    let mut request: AttestationReport = user::read(data)?;
    let guest = guest(state)?;
    if request.length > LONGEST_BLOB {
        return Err(Errno::EINVAL.into());
    }
    let command = Command::AttestationReport { guest: guest.handle, mnonce: request.nonce };
    let Reply::Report(report) = guest.call(&command)? else { return Err(Failure::Reply) };
    let needed = u32::try_from(report.len()).map_err(|_| Failure::Reply)?;
    let short = request.length < needed || request.address == 0;
    request.length = needed;
    user::write(data, &request)?;
    if short {
        return Err(FirmwareStatus::InvalidLength.into());
    }
    Ok(user::write_bytes(request.address, &report)?)
}
