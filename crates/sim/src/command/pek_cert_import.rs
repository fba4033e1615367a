//! PEK_CERT_IMPORT (55766): in INIT, while the platform owns itself. The PEK comes back with an owner's signature, and
//! the owner's authority with it; the chip countersigns.

use attest::sev::certs::{Certificate, Slot, Usage};

use crate::command::{PlatformState, Reply};
use crate::keys::{Owner, SIGNING};
use crate::platform::Platform;
use crate::status::FirmwareStatus;

pub(crate) fn run(platform: &mut Platform, pek: &[u8], oca: &[u8]) -> Result<Reply, FirmwareStatus> {
    platform.require(&[PlatformState::Init])?;
    if platform.identity.owner() == Owner::External {
        return Err(FirmwareStatus::AlreadyOwned);
    }
    let mut pek = Certificate::parse(pek).map_err(|_| FirmwareStatus::InvalidCertificate)?;
    let oca = Certificate::parse(oca).map_err(|_| FirmwareStatus::InvalidCertificate)?;
    // Everything that the owner signed must be what PEK_CSR gave out.
    if pek.signed_bytes() != platform.identity.pek().signed_bytes() {
        return Err(FirmwareStatus::InvalidCertificate);
    }
    if oca.usage() != Usage::Oca || oca.algorithm() != SIGNING || oca.reserved() != 0 {
        return Err(FirmwareStatus::InvalidCertificate);
    }
    verify(&oca, &oca)?;
    let owner_slot = verify(&oca, &pek)?;
    let chip_slot = match owner_slot {
        Slot::First => Slot::Second,
        Slot::Second => Slot::First,
    };
    pek.sign(chip_slot, Usage::Cek, SIGNING, platform.chip.cek());
    platform.identity = platform.identity.owned_by(oca, pek);
    Ok(Reply::Done)
}

/// Where `subject` has a valid signature of the authority.
fn verify(oca: &Certificate, subject: &Certificate) -> Result<Slot, FirmwareStatus> {
    let slot = subject.slot_signed_by(Usage::Oca).ok_or(FirmwareStatus::InvalidCertificate)?;
    let key = oca.public_key().map_err(|_| FirmwareStatus::InvalidCertificate)?;
    let hash = subject.signature_algorithm(slot).ecdsa_hash().ok_or(FirmwareStatus::InvalidCertificate)?;
    let signature = subject.ecdsa_signature(slot).ok_or(FirmwareStatus::BadSignature)?;
    if key.verifies(hash, subject.signed_bytes(), &signature) {
        Ok(slot)
    } else {
        Err(FirmwareStatus::BadSignature)
    }
}
