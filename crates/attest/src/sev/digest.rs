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
use super::vmsa::{Profile, VcpuSignature, Vcpus, Vmsa};
use crate::bytes::write_hex;
use crate::ovmf::{Area, Firmware, FirmwareError};

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

/// All that a launch by QEMU loads, from which its digest follows.
///
/// # Examples
///
/// ```
/// use attest::sev::digest::Contents;
///
/// let contents = Contents { firmware: b"all bytes of the image", kernel_hashes: None, vcpus: None };
/// println!("{}", contents.digest()?);
/// # Ok::<(), attest::sev::digest::ContentsError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Contents<'a> {
    /// All bytes of the firmware image.
    pub firmware: &'a [u8],
    /// The kernel's hashes, if QEMU adds them (`kernel-hashes=on`).
    pub kernel_hashes: Option<KernelHashes>,
    /// The vCPUs of a SEV-ES guest; `None` for SEV, which does not measure them.
    pub vcpus: Option<EsVcpus>,
}

/// The vCPUs of a SEV-ES guest, except what the firmware decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EsVcpus {
    /// How many there are, from 1.
    pub count: u32,
    /// Their model.
    pub signature: VcpuSignature,
    /// Which fields of the initial state the host's kernel fills.
    pub profile: Profile,
}

/// More vCPUs than any SEV-ES platform takes; bounds the work.
pub const MAX_VCPUS: u32 = 4096;

/// Why there is no launch with these contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentsError {
    /// The image's table is needed and cannot be read.
    #[error("the firmware image cannot be read")]
    Firmware(#[source] FirmwareError),
    /// QEMU would refuse to start: there is no place for the hashes.
    #[error("the firmware image has no hash table for kernel hashes: {0}")]
    NoHashTable(Area),
    /// The image does not say where vCPUs start under SEV-ES.
    #[error("the firmware image has no SEV-ES reset block, so it does not support more than one SEV-ES vCPU")]
    NoResetBlock,
    /// There is no vCPU, or there are too many.
    #[error("a guest has 1 to {MAX_VCPUS} vCPUs, not {0}")]
    VcpuCount(u32),
}

impl Contents<'_> {
    /// The digest that a launch of these contents has.
    pub fn digest(&self) -> Result<LaunchDigest, ContentsError> {
        let mut hasher = LaunchHasher::new();
        hasher.update(self.firmware);
        if let Some(hashes) = &self.kernel_hashes {
            match self.tables()?.hash_table {
                Area::At { .. } => hasher.update_kernel_hashes(hashes),
                area => return Err(ContentsError::NoHashTable(area)),
            }
        }
        if let Some(vcpus) = &self.vcpus {
            for state in self.vcpus(vcpus)?.states() {
                hasher.update_vmsa(&state);
            }
        }
        Ok(hasher.finish())
    }

    pub(crate) fn tables(&self) -> Result<Firmware, ContentsError> {
        Firmware::parse(self.firmware).map_err(ContentsError::Firmware)
    }

    fn vcpus(&self, vcpus: &EsVcpus) -> Result<Vcpus, ContentsError> {
        let reset = match vcpus.count {
            count if count == 0 || count > MAX_VCPUS => return Err(ContentsError::VcpuCount(vcpus.count)),
            1 => 0, // not used
            _ => self.tables()?.sev_es_reset.ok_or(ContentsError::NoResetBlock)?,
        };
        Ok(Vcpus {
            count: vcpus.count,
            signature: vcpus.signature,
            ap_reset_address: reset,
            sev_features: 0,
            profile: vcpus.profile,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_qemu_would_not_start() {
        let es = |count| EsVcpus { count, signature: VcpuSignature(0), profile: Profile::Legacy };
        let plain = Contents { firmware: &[0; 4096], kernel_hashes: None, vcpus: None };
        assert!(plain.digest().is_ok());
        let no_table = Err(ContentsError::Firmware(FirmwareError::NoTable));
        let hashes = Some(KernelHashes::new(b"", None, b""));
        assert_eq!(Contents { kernel_hashes: hashes, ..plain }.digest(), no_table);
        assert_eq!(Contents { vcpus: Some(es(2)), ..plain }.digest(), no_table);
        for count in [0, MAX_VCPUS + 1, u32::MAX] {
            let vcpus = Some(es(count));
            assert_eq!(Contents { vcpus, ..plain }.digest(), Err(ContentsError::VcpuCount(count)));
        }
        assert!(Contents { vcpus: Some(es(1)), ..plain }.digest().is_ok());
        assert!(plain.digest() != Contents { vcpus: Some(es(1)), ..plain }.digest());

        let stock = include_bytes!("../../test_data/sev/measurement/ovmf_OvmfX64_suffix.bin");
        let stock = Contents { firmware: stock, kernel_hashes: hashes, vcpus: None };
        assert_eq!(stock.digest(), Err(ContentsError::NoHashTable(Area::Empty)));
    }

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
