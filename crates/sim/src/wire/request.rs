//! Commands as bytes. Tags are never reused.

use super::read::Reader;
use super::write::Writer;
use super::{MAX_FRAME, WireError};
use attest::sev::vmsa::{Profile, VcpuSignature, Vcpus};

use crate::command::{Command, GuestKind, Handle, PageType};

/// A command as one frame's bytes.
#[must_use]
pub fn encode_command(command: &Command) -> Vec<u8> {
    let mut w = Writer::new(payload(command));
    match command {
        Command::Init => w.u8(0),
        Command::Shutdown => w.u8(1),
        Command::PlatformStatus => w.u8(2),
        Command::SnpPlatformStatus => w.u8(3),
        Command::FactoryReset => w.u8(4),
        Command::PekGen => w.u8(5),
        Command::PekCsr => w.u8(6),
        Command::PekCertImport { pek, oca } => w.u8(7).bytes(pek).bytes(oca),
        Command::PdhGen => w.u8(8),
        Command::PdhCertExport => w.u8(9),
        Command::GetId2 => w.u8(10),
        Command::GuestInit { kind } => w.u8(11).u8(kind_code(*kind)),
        Command::LaunchStart { guest, policy, dh_cert, session } => {
            w.u8(12).u32(guest.0).u32(*policy).bytes(dh_cert).bytes(session)
        }
        Command::LaunchUpdateData { guest, data } => w.u8(13).u32(guest.0).bytes(data),
        Command::LaunchUpdateVmsa { guest, vcpus } => write_vcpus(w.u8(14).u32(guest.0), vcpus),
        Command::LaunchMeasure { guest } => w.u8(15).u32(guest.0),
        Command::LaunchSecret { guest, header, packet, guest_len } => {
            w.u8(16).u32(guest.0).bytes(header).bytes(packet).u32(*guest_len)
        }
        Command::LaunchFinish { guest } => w.u8(17).u32(guest.0),
        Command::GuestStatus { guest } => w.u8(18).u32(guest.0),
        Command::AttestationReport { guest, mnonce } => w.u8(19).u32(guest.0).array(mnonce),
        Command::SnpLaunchStart { guest, policy } => w.u8(20).u32(guest.0).u64(*policy),
        Command::SnpLaunchUpdate { guest, page_type, gpa, length, data } => {
            w.u8(21).u32(guest.0).u8(page_type.code()).u64(*gpa).u32(*length).bytes(data)
        }
        Command::SnpLaunchUpdateVmsa { guest, vcpus } => write_vcpus(w.u8(22).u32(guest.0), vcpus),
        Command::SnpLaunchFinish { guest, id_block, id_auth, author_key } => {
            w.u8(23).u32(guest.0).bytes(id_block).bytes(id_auth).flag(*author_key)
        }
        Command::Decommission { guest } => w.u8(24).u32(guest.0),
    };
    w.finish()
}

/// The command that a frame's bytes hold.
///
/// # Errors
/// When the bytes are not exactly one command.
pub fn decode_command(frame: &[u8]) -> Result<Command, WireError> {
    if frame.len() > MAX_FRAME {
        return Err(WireError::TooLong(frame.len()));
    }
    let mut r = Reader::new(frame)?;
    let tag = r.u8()?;
    let command = match tag {
        0 => Command::Init,
        1 => Command::Shutdown,
        2 => Command::PlatformStatus,
        3 => Command::SnpPlatformStatus,
        4 => Command::FactoryReset,
        5 => Command::PekGen,
        6 => Command::PekCsr,
        7 => Command::PekCertImport { pek: r.bytes()?, oca: r.bytes()? },
        8 => Command::PdhGen,
        9 => Command::PdhCertExport,
        10 => Command::GetId2,
        11 => Command::GuestInit { kind: read_kind(&mut r)? },
        12..=24 => guest_command(tag, Handle(r.u32()?), &mut r)?,
        other => return Err(WireError::Unknown { what: "command", value: other.into() }),
    };
    r.finish()?;
    Ok(command)
}

fn guest_command(tag: u8, guest: Handle, r: &mut Reader<'_>) -> Result<Command, WireError> {
    Ok(match tag {
        12 => Command::LaunchStart { guest, policy: r.u32()?, dh_cert: r.bytes()?, session: r.bytes()? },
        13 => Command::LaunchUpdateData { guest, data: r.bytes()? },
        14 => Command::LaunchUpdateVmsa { guest, vcpus: read_vcpus(r)? },
        15 => Command::LaunchMeasure { guest },
        16 => Command::LaunchSecret { guest, header: r.bytes()?, packet: r.bytes()?, guest_len: r.u32()? },
        17 => Command::LaunchFinish { guest },
        18 => Command::GuestStatus { guest },
        19 => Command::AttestationReport { guest, mnonce: r.array()? },
        20 => Command::SnpLaunchStart { guest, policy: r.u64()? },
        21 => Command::SnpLaunchUpdate {
            guest,
            page_type: read_page(r)?,
            gpa: r.u64()?,
            length: r.u32()?,
            data: r.bytes()?,
        },
        22 => Command::SnpLaunchUpdateVmsa { guest, vcpus: read_vcpus(r)? },
        23 => Command::SnpLaunchFinish {
            guest,
            id_block: r.bytes()?,
            id_auth: r.bytes()?,
            author_key: r.flag()?,
        },
        24 => Command::Decommission { guest },
        other => return Err(WireError::Unknown { what: "command", value: other.into() }),
    })
}

/// How many bytes the command's byte strings have, so that a frame is allocated once.
fn payload(command: &Command) -> usize {
    match command {
        Command::PekCertImport { pek: first, oca: second }
        | Command::LaunchStart { dh_cert: first, session: second, .. }
        | Command::LaunchSecret { header: first, packet: second, .. }
        | Command::SnpLaunchFinish { id_block: first, id_auth: second, .. } => {
            first.len().saturating_add(second.len())
        }
        Command::LaunchUpdateData { data, .. } | Command::SnpLaunchUpdate { data, .. } => data.len(),
        _ => 0,
    }
}

const fn kind_code(kind: GuestKind) -> u8 {
    match kind {
        GuestKind::Sev => 0,
        GuestKind::SevEs => 1,
        GuestKind::SevSnp => 2,
    }
}

fn read_kind(r: &mut Reader<'_>) -> Result<GuestKind, WireError> {
    match r.u8()? {
        0 => Ok(GuestKind::Sev),
        1 => Ok(GuestKind::SevEs),
        2 => Ok(GuestKind::SevSnp),
        other => Err(WireError::Unknown { what: "guest kind", value: other.into() }),
    }
}

fn read_page(r: &mut Reader<'_>) -> Result<PageType, WireError> {
    let code = r.u8()?;
    PageType::from_code(code).ok_or_else(|| WireError::Unknown { what: "page type", value: code.into() })
}

fn write_vcpus<'w>(w: &'w mut Writer, vcpus: &Vcpus) -> &'w mut Writer {
    let Vcpus { count, signature, ap_reset_address, sev_features, profile } = *vcpus;
    let profile = match profile {
        Profile::Legacy => 0,
        Profile::Fpu => 1,
    };
    w.u32(count).u32(signature.0).u32(ap_reset_address).u64(sev_features).u8(profile)
}

fn read_vcpus(r: &mut Reader<'_>) -> Result<Vcpus, WireError> {
    Ok(Vcpus {
        count: r.u32()?,
        signature: VcpuSignature(r.u32()?),
        ap_reset_address: r.u32()?,
        sev_features: r.u64()?,
        profile: match r.u8()? {
            0 => Profile::Legacy,
            1 => Profile::Fpu,
            other => return Err(WireError::Unknown { what: "VMSA profile", value: other.into() }),
        },
    })
}
