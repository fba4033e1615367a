//! Answers as bytes: a firmware status, and a reply when that is success. Tags are never reused.

use super::read::Reader;
use super::write::Writer;
use super::{MAX_FRAME, WireError};
use crate::command::{
    GuestState, GuestStatus, Handle, PlatformState, PlatformStatus, Reply, SnpPlatformStatus,
};
use crate::status::FirmwareStatus;

/// The number that stands for success where a status is told.
const SUCCESS: u32 = 0;

/// An answer as one frame's bytes.
#[must_use]
pub fn encode_answer(answer: &Result<Reply, FirmwareStatus>) -> Vec<u8> {
    let mut w = Writer::new(0);
    match answer {
        Err(status) => {
            w.u32(status.code());
        }
        Ok(reply) => write_reply(w.u32(SUCCESS), reply),
    }
    w.finish()
}

/// The answer that a frame's bytes hold.
///
/// # Errors
/// When the bytes are not exactly one answer.
pub fn decode_answer(frame: &[u8]) -> Result<Result<Reply, FirmwareStatus>, WireError> {
    if frame.len() > MAX_FRAME {
        return Err(WireError::TooLong(frame.len()));
    }
    let mut r = Reader::new(frame)?;
    let answer = match r.u32()? {
        SUCCESS => Ok(read_reply(&mut r)?),
        code => {
            Err(FirmwareStatus::from_code(code).ok_or(WireError::Unknown { what: "status", value: code })?)
        }
    };
    r.finish()?;
    Ok(answer)
}

fn write_reply(w: &mut Writer, reply: &Reply) {
    match reply {
        Reply::Done => w.u8(0),
        Reply::Guest(Handle(guest)) => w.u8(1).u32(*guest),
        Reply::PlatformStatus(status) => {
            let PlatformStatus { api_major, api_minor, build, state, flags, guest_count } = *status;
            w.u8(2).u8(api_major).u8(api_minor).u8(build).u8(platform_code(state)).u32(flags).u32(guest_count)
        }
        Reply::SnpPlatformStatus(status) => {
            let SnpPlatformStatus {
                api_major,
                api_minor,
                build,
                state,
                rmp_initialized,
                guest_count,
                current_tcb,
                reported_tcb,
            } = *status;
            w.u8(3).u8(api_major).u8(api_minor).u32(build).u8(platform_code(state)).flag(rmp_initialized);
            w.u32(guest_count).u64(current_tcb).u64(reported_tcb)
        }
        Reply::Csr(csr) => w.u8(4).bytes(csr),
        Reply::PdhCertExport { pdh, chain } => w.u8(5).bytes(pdh).bytes(chain),
        Reply::Id(id) => w.u8(6).bytes(id),
        Reply::Measurement(measurement) => w.u8(7).array(measurement),
        Reply::Secret(plaintext) => w.u8(8).bytes(plaintext),
        Reply::GuestStatus(status) => {
            let GuestStatus { handle, policy, asid, state } = *status;
            w.u8(9).u32(handle.0).u32(policy).u32(asid).u8(guest_code(state))
        }
        Reply::Report(report) => w.u8(10).bytes(report),
        Reply::SnpDigest(digest) => w.u8(11).array(digest),
    };
}

fn read_reply(r: &mut Reader<'_>) -> Result<Reply, WireError> {
    Ok(match r.u8()? {
        0 => Reply::Done,
        1 => Reply::Guest(Handle(r.u32()?)),
        2 => Reply::PlatformStatus(PlatformStatus {
            api_major: r.u8()?,
            api_minor: r.u8()?,
            build: r.u8()?,
            state: read_platform_state(r)?,
            flags: r.u32()?,
            guest_count: r.u32()?,
        }),
        3 => Reply::SnpPlatformStatus(SnpPlatformStatus {
            api_major: r.u8()?,
            api_minor: r.u8()?,
            build: r.u32()?,
            state: read_platform_state(r)?,
            rmp_initialized: r.flag()?,
            guest_count: r.u32()?,
            current_tcb: r.u64()?,
            reported_tcb: r.u64()?,
        }),
        4 => Reply::Csr(r.bytes()?),
        5 => Reply::PdhCertExport { pdh: r.bytes()?, chain: r.bytes()? },
        6 => Reply::Id(r.bytes()?),
        7 => Reply::Measurement(r.array()?),
        8 => Reply::Secret(r.bytes()?.into()),
        9 => Reply::GuestStatus(GuestStatus {
            handle: Handle(r.u32()?),
            policy: r.u32()?,
            asid: r.u32()?,
            state: read_guest_state(r)?,
        }),
        10 => Reply::Report(r.bytes()?),
        11 => Reply::SnpDigest(r.array()?),
        other => return Err(WireError::Unknown { what: "reply", value: other.into() }),
    })
}

const fn platform_code(state: PlatformState) -> u8 {
    state as u8
}

fn read_platform_state(r: &mut Reader<'_>) -> Result<PlatformState, WireError> {
    match r.u8()? {
        0 => Ok(PlatformState::Uninit),
        1 => Ok(PlatformState::Init),
        2 => Ok(PlatformState::Working),
        other => Err(WireError::Unknown { what: "platform state", value: other.into() }),
    }
}

const fn guest_code(state: GuestState) -> u8 {
    state as u8
}

fn read_guest_state(r: &mut Reader<'_>) -> Result<GuestState, WireError> {
    match r.u8()? {
        0 => Ok(GuestState::Uninit),
        1 => Ok(GuestState::LaunchUpdate),
        2 => Ok(GuestState::LaunchSecret),
        3 => Ok(GuestState::Running),
        other => Err(WireError::Unknown { what: "guest state", value: other.into() }),
    }
}
