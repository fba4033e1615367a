//! AMD's own certificates, of its root key (ARK) and its signing key (ASK) (55766 App. B).
//!
//! ```text
//! offset  bytes
//!      0      4  version, 1
//!      4     16  id of the key
//!     20     16  id of the key that signed it
//!     36      4  usage: 0 ARK, 0x13 ASK
//!     40     16  zero
//!     56      4  bits of the exponent's field, the same as the modulus's
//!     60      4  bits of the modulus: 2048 or 4096
//!     64      n  public exponent        n = bits / 8
//!   64+n      n  modulus
//!  64+2n      n  RSASSA-PSS signature over all before it; SHA-256 for 2048 bits, SHA-384 for 4096
//! ```
//!
//! All numbers are little-endian.

use std::fmt;

use ring::signature::{self, RsaPublicKeyComponents};

use super::certificate::{Algorithm, Usage};
use crate::bytes::{all_zero, array_at, put, reversed, u32_at};

const HEADER_LEN: usize = 64;

/// Size of an RSA key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RsaSize {
    /// 2048 bits, used with SHA-256: Naples.
    Bits2048,
    /// 4096 bits, used with SHA-384: Rome and later.
    Bits4096,
}

impl RsaSize {
    /// Length of the modulus in bytes.
    pub fn modulus_len(self) -> usize {
        match self {
            Self::Bits2048 => 256,
            Self::Bits4096 => 512,
        }
    }

    /// The algorithm that keys of this size sign with.
    pub fn algorithm(self) -> Algorithm {
        match self {
            Self::Bits2048 => Algorithm::RsaSha256,
            Self::Bits4096 => Algorithm::RsaSha384,
        }
    }

    fn bits(self) -> u32 {
        match self {
            Self::Bits2048 => 2048,
            Self::Bits4096 => 4096,
        }
    }

    fn certificate_len(self) -> usize {
        HEADER_LEN + 3 * self.modulus_len()
    }
}

/// Why bytes are not one of AMD's certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmdCertificateError {
    /// There are fewer bytes than the header or than it says.
    #[error("the certificate is cut off after {len} bytes, it needs {needed}")]
    Truncated {
        /// How many there are.
        len: usize,
        /// How many there have to be.
        needed: usize,
    },
    /// There are more bytes than the header says.
    #[error("{extra} bytes follow the certificate")]
    Trailing {
        /// How many.
        extra: usize,
    },
    /// The version is not 1.
    #[error("version {version} of the AMD certificate format is not known, only 1 is")]
    Version {
        /// The version found.
        version: u32,
    },
    /// The usage is neither ARK nor ASK.
    #[error("the certificate is for a key of usage {usage}, not for ARK or ASK")]
    Usage {
        /// The usage found.
        usage: Usage,
    },
    /// Exponent or modulus have a size the format does not have.
    #[error(
        "a key with an exponent of {exponent} and a modulus of {modulus} bits is neither RSA-2048 nor RSA-4096"
    )]
    KeySize {
        /// Bits of the exponent's field.
        exponent: u32,
        /// Bits of the modulus.
        modulus: u32,
    },
    /// Bytes 40 to 55 are not zero.
    #[error("reserved bytes 40 to 55 are not zero")]
    Reserved,
}

/// The parts of a certificate that a signature covers.
#[derive(Clone, Copy, Debug)]
pub struct AmdCertificateFields<'a> {
    /// Id of the key.
    pub key_id: [u8; 16],
    /// Id of the key that signs.
    pub certifying_id: [u8; 16],
    /// [`Usage::Ark`] or [`Usage::Ask`].
    pub usage: Usage,
    /// The key's size.
    pub size: RsaSize,
    /// Public exponent, big-endian, at most as long as the modulus.
    pub exponent: &'a [u8],
    /// Modulus, big-endian, of the size's length.
    pub modulus: &'a [u8],
}

/// The certificate of AMD's root key or signing key, as received.
#[derive(Clone, PartialEq, Eq)]
pub struct AmdCertificate {
    bytes: Box<[u8]>,
    size: RsaSize,
}

impl AmdCertificate {
    /// Reads a certificate that takes all of `bytes`.
    pub fn parse(bytes: &[u8]) -> Result<Self, AmdCertificateError> {
        match Self::parse_prefix(bytes)? {
            (certificate, []) => Ok(certificate),
            (_, rest) => Err(AmdCertificateError::Trailing { extra: rest.len() }),
        }
    }

    /// Reads a certificate from the start of `bytes` and returns what follows: AMD publishes ASK and ARK in one file.
    pub fn parse_prefix(bytes: &[u8]) -> Result<(Self, &[u8]), AmdCertificateError> {
        let truncated = |needed| AmdCertificateError::Truncated { len: bytes.len(), needed };
        if bytes.len() < HEADER_LEN {
            return Err(truncated(HEADER_LEN));
        }
        let version = u32_at(bytes, 0);
        if version != 1 {
            return Err(AmdCertificateError::Version { version });
        }
        let usage = Usage::from_code(u32_at(bytes, 36));
        if !matches!(usage, Usage::Ark | Usage::Ask) {
            return Err(AmdCertificateError::Usage { usage });
        }
        if !all_zero(&bytes[40..56]) {
            return Err(AmdCertificateError::Reserved);
        }
        let size = match (u32_at(bytes, 56), u32_at(bytes, 60)) {
            (2048, 2048) => RsaSize::Bits2048,
            (4096, 4096) => RsaSize::Bits4096,
            (exponent, modulus) => return Err(AmdCertificateError::KeySize { exponent, modulus }),
        };
        let Some((certificate, rest)) = bytes.split_at_checked(size.certificate_len()) else {
            return Err(truncated(size.certificate_len()));
        };
        let bytes = certificate.into();
        Ok((Self { bytes, size }, rest))
    }

    /// The bytes of a certificate up to its signature, which [`AmdCertificate::with_signature`] adds.
    /// `None` when a number has the wrong length.
    pub fn unsigned(fields: &AmdCertificateFields<'_>) -> Option<Vec<u8>> {
        let len = fields.size.modulus_len();
        if fields.modulus.len() != len || fields.exponent.len() > len {
            return None;
        }
        let mut bytes = vec![0; HEADER_LEN + 2 * len];
        put(&mut bytes, 0, &1_u32.to_le_bytes());
        put(&mut bytes, 4, &fields.key_id);
        put(&mut bytes, 20, &fields.certifying_id);
        put(&mut bytes, 36, &fields.usage.code().to_le_bytes());
        put(&mut bytes, 56, &fields.size.bits().to_le_bytes());
        put(&mut bytes, 60, &fields.size.bits().to_le_bytes());
        put(&mut bytes, HEADER_LEN, &reversed(fields.exponent));
        put(&mut bytes, HEADER_LEN + len, &reversed(fields.modulus));
        Some(bytes)
    }

    /// Completes the bytes that [`AmdCertificate::unsigned`] made with a big-endian signature over them.
    pub fn with_signature(unsigned: &[u8], signature: &[u8]) -> Result<Self, AmdCertificateError> {
        Self::parse(&[unsigned, &reversed(signature)].concat())
    }

    /// The certificate's bytes, exactly those it was parsed from.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes that the signature covers: all before it.
    pub fn signed_bytes(&self) -> &[u8] {
        &self.bytes[..HEADER_LEN + 2 * self.size.modulus_len()]
    }

    /// Id of the key.
    pub fn key_id(&self) -> [u8; 16] {
        array_at(&self.bytes, 4)
    }

    /// Id of the key that signed it.
    pub fn certifying_id(&self) -> [u8; 16] {
        array_at(&self.bytes, 20)
    }

    /// What the key is for.
    pub fn usage(&self) -> Usage {
        Usage::from_code(u32_at(&self.bytes, 36))
    }

    /// The key's size.
    pub fn size(&self) -> RsaSize {
        self.size
    }

    /// The certificate's own signature, big-endian.
    pub fn signature(&self) -> Vec<u8> {
        reversed(&self.bytes[HEADER_LEN + 2 * self.size.modulus_len()..])
    }

    /// Whether `signature` (big-endian) was made over `message` with this certificate's key.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let len = self.size.modulus_len();
        let exponent = reversed(&self.bytes[HEADER_LEN..HEADER_LEN + len]);
        let modulus = reversed(&self.bytes[HEADER_LEN + len..HEADER_LEN + 2 * len]);
        let key = RsaPublicKeyComponents {
            n: without_leading_zeros(&modulus),
            e: without_leading_zeros(&exponent),
        };
        let parameters = match self.size {
            RsaSize::Bits2048 => &signature::RSA_PSS_2048_8192_SHA256,
            RsaSize::Bits4096 => &signature::RSA_PSS_2048_8192_SHA384,
        };
        key.verify(parameters, message, signature).is_ok()
    }
}

impl fmt::Debug for AmdCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmdCertificate")
            .field("usage", &self.usage())
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}
