//! The three primitives of the session protocol: key derivation, message authentication and counter-mode encryption
//! (55766 §2.2).

use aes::Aes128;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Derives a 128-bit key: NIST SP 800-108 in counter mode with HMAC-SHA256.
///
/// One block is `HMAC(key, 1 u32 | label | 0 | context | 128 u32)`, numbers little-endian, of which the first 16 bytes
/// are the key.
pub fn derive(key: &[u8], label: &str, context: &[u8]) -> Zeroizing<[u8; 16]> {
    let block = Zeroizing::new(hmac_sha256(
        key,
        &[&1_u32.to_le_bytes(), label.as_bytes(), &[0], context, &128_u32.to_le_bytes()],
    ));
    let mut derived = Zeroizing::new([0; 16]);
    derived.copy_from_slice(&block[..16]);
    derived
}

/// HMAC-SHA256 of the concatenation of `parts`.
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Whether two authentication codes are equal, in a time that does not depend on where they differ.
pub fn equal(left: &[u8; 32], right: &[u8; 32]) -> bool {
    left.ct_eq(right).into()
}

/// Encrypts or decrypts `data` in place with AES-128 in counter mode; `iv` is the first counter block, big-endian.
pub fn aes128_ctr(key: &[u8; 16], iv: &[u8; 16], data: &mut [u8]) {
    Ctr128BE::<Aes128>::new(key.into(), iv.into()).apply_keystream(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of virtee/sev (`src/session/key.rs`).
    #[test]
    fn derives_the_published_master_secret_of_a_zero_key() {
        let derived = derive(&[0; 16], "sev-master-secret", &[0; 16]);
        assert_eq!(hex::encode(*derived), "ab4d269fcc62bedb4511d56c386ce706");
    }

    /// The vector of virtee/sev (`src/session/key.rs`).
    #[test]
    fn authenticates_as_published() {
        assert_eq!(
            hex::encode(hmac_sha256(&[0; 16], &[&[0; 4]])),
            "aa7855e13839dd767cd5da7c1ff5036540c9264b7a803029315e55375287b4af"
        );
    }

    /// NIST SP 800-38A, F.5.1 CTR-AES128.Encrypt, first block.
    #[test]
    fn encrypts_as_published() {
        let key = hex::decode("2b7e151628aed2a6abf7158809cf4f3c").unwrap().try_into().unwrap();
        let iv = hex::decode("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff").unwrap().try_into().unwrap();
        let mut data = hex::decode("6bc1bee22e409f96e93d7e117393172a").unwrap();
        aes128_ctr(&key, &iv, &mut data);
        assert_eq!(hex::encode(data), "874d6191b620e3261bef6864990db6ce");
    }
}
