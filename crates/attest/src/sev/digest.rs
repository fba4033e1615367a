//! The launch digest: SHA-256 over everything that was loaded into the guest before its first instruction
//! (55766 §6.3, §6.4).
//!
//! ```text
//! SHA-256( firmware image | kernel hash table, 176 bytes | VMSA of vCPU 0 | VMSA of vCPU 1 | … )
//!                           if kernel-hashes is on         SEV-ES only, 4096 bytes each
//! ```

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::kernel_hashes::KernelHashes;
use super::vmsa::Vmsa;
use crate::bytes::write_hex;

/// The digest of a launch. Anybody can compute it; only a [`super::measurement::Measurement`] proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LaunchDigest([u8; Self::LEN]);

impl LaunchDigest {
    /// Length of a digest in bytes.
    pub const LEN: usize = 32;

    /// The digest with these bytes.
    pub fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The digest's bytes.
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Display for LaunchDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

/// Text is not a launch digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a launch digest is 64 hexadecimal digits")]
pub struct ParseDigestError;

impl FromStr for LaunchDigest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, ParseDigestError> {
        let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        if text.len() != 2 * Self::LEN {
            return Err(ParseDigestError);
        }
        let mut bytes = [0; Self::LEN];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let (Some(high), Some(low)) = (nibble(digits[0]), nibble(digits[1])) else {
                return Err(ParseDigestError);
            };
            *byte = high << 4 | low;
        }
        Ok(Self(bytes))
    }
}

/// Computes a launch digest from the bytes of LAUNCH_UPDATE_DATA and LAUNCH_UPDATE_VMSA, in their order.
#[derive(Clone, Debug, Default)]
pub struct LaunchHasher(Sha256);

impl LaunchHasher {
    /// A hasher that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes that the launch loads: the firmware image, in pieces of any size.
    pub fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// Adds the table of kernel hashes, which QEMU loads after the firmware.
    pub fn update_kernel_hashes(&mut self, hashes: &KernelHashes) {
        self.update(&hashes.table());
    }

    /// Adds the register state of one vCPU of a SEV-ES guest.
    pub fn update_vmsa(&mut self, vmsa: &Vmsa) {
        self.update(vmsa.as_bytes());
    }

    /// The digest of all that was added.
    pub fn finish(self) -> LaunchDigest {
        LaunchDigest(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_pieces_like_the_whole() {
        let mut hasher = LaunchHasher::new();
        hasher.update(b"a");
        hasher.update(b"bc");
        let digest = hasher.finish();
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.to_string(), expected);
        assert_eq!(expected.to_uppercase().parse(), Ok(digest));
    }

    #[test]
    fn refuses_text_that_is_no_digest() {
        for text in ["", "ab", &"g".repeat(64), &"é".repeat(32), &"a".repeat(66)] {
            assert_eq!(text.parse::<LaunchDigest>(), Err(ParseDigestError), "{text}");
        }
    }
}
