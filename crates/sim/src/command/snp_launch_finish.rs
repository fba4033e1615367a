//! SNP_LAUNCH_FINISH (56860): checks the identity block, if there is one, and lets the guest run.
//!
//! ```text
//! offset  bytes   identity block            offset  bytes   identity authentication
//!      0     48   launch digest                  0      4   algorithm of the identity key: 1
//!     48     16   family                         4      4   algorithm of the author key: 1 or 0
//!     64     16   image                         64    512   signature of the block by the identity key
//!     80      4   version: 1                   576   1028   identity key
//!     84      4   security version            1664    512   signature of the identity key by the author key
//!     88      8   policy                      2176   1028   author key
//! ```

use attest::sev::ec::{Hash, PAIR_LEN, PublicKey};
use subtle::ConstantTimeEq;

use crate::command::{Handle, PlatformState, Reply};
use crate::guest::Launch;
use crate::platform::Platform;
use crate::status::FirmwareStatus;

const BLOCK_LEN: usize = 96;
const AUTH_LEN: usize = 4096;
const KEY_LEN: usize = 1028;
const SIGNATURE_LEN: usize = 512;
/// ECDSA on P-384 with SHA-384.
const ALGORITHM: u32 = 1;

pub(crate) fn run(
    platform: &mut Platform,
    handle: Handle,
    id_block: &[u8],
    id_auth: &[u8],
    author_key: bool,
) -> Result<Reply, FirmwareStatus> {
    platform.require(&[PlatformState::Working])?;
    let guest = platform.guest_mut(handle)?;
    let Launch::SnpUpdating { policy, hasher } = &guest.launch else {
        return Err(FirmwareStatus::InvalidGuestState);
    };
    let (policy, digest) = (*policy, *hasher.finish().as_bytes());
    match (id_block, id_auth) {
        ([], []) if author_key => return Err(FirmwareStatus::InvalidParam),
        ([], []) => {}
        (id_block, id_auth) => {
            let id_block = id_block.try_into().map_err(|_| FirmwareStatus::InvalidLength)?;
            let id_auth = id_auth.try_into().map_err(|_| FirmwareStatus::InvalidLength)?;
            check_block(id_block, &digest, policy)?;
            check_signatures(id_block, id_auth, author_key)?;
        }
    }
    guest.launch = Launch::SnpRunning { policy };
    Ok(Reply::SnpDigest(digest))
}

/// Whether the block is for this launch.
fn check_block(block: &[u8; BLOCK_LEN], digest: &[u8; 48], policy: u64) -> Result<(), FirmwareStatus> {
    let (expected_digest, rest) = block.split_at(48);
    if rest.get(32..36) != Some(1_u32.to_le_bytes().as_slice()) {
        return Err(FirmwareStatus::InvalidParam);
    }
    if !bool::from(expected_digest.ct_eq(digest)) {
        return Err(FirmwareStatus::BadMeasurement);
    }
    if !block.ends_with(&policy.to_le_bytes()) {
        return Err(FirmwareStatus::PolicyFailure);
    }
    Ok(())
}

/// Whether the identity key signed the block and, where there is one, the author key the identity key.
fn check_signatures(block: &[u8], auth: &[u8; AUTH_LEN], author_key: bool) -> Result<(), FirmwareStatus> {
    let id_key = &auth[0x240..0x240 + KEY_LEN];
    check_signature(block, &auth[0..4], &auth[0x40..0x40 + SIGNATURE_LEN], id_key)?;
    if author_key {
        check_signature(
            id_key,
            &auth[4..8],
            &auth[0x680..0x680 + SIGNATURE_LEN],
            &auth[0x880..0x880 + KEY_LEN],
        )?;
    }
    Ok(())
}

fn check_signature(
    message: &[u8],
    algorithm: &[u8],
    signature: &[u8],
    key: &[u8],
) -> Result<(), FirmwareStatus> {
    if algorithm != ALGORITHM.to_le_bytes() {
        return Err(FirmwareStatus::InvalidParam);
    }
    let key = PublicKey::decode(key).map_err(|_| FirmwareStatus::InvalidKey)?;
    let (pair, padding) = signature.split_first_chunk::<PAIR_LEN>().ok_or(FirmwareStatus::InvalidLength)?;
    let is_padded = padding.iter().all(|byte| *byte == 0);
    if is_padded && key.verifies(Hash::Sha384, message, pair) {
        Ok(())
    } else {
        Err(FirmwareStatus::BadSignature)
    }
}
