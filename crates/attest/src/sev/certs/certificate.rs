//! A certificate of the secure processor: OCA, CEK, PEK or PDH (55766 App. C).
//!
//! ```text
//! offset  bytes
//!      0      4  version, 1
//!      4      2  API major, minor
//!      6      2  zero
//!      8      4  usage of the key
//!     12      4  algorithm of the key
//!     16   1028  the key: curve u32, x[72], y[72], zeros
//!   1044    520  signature slot 1: usage of the signer u32, algorithm u32, signature[512]
//!   1564    520  signature slot 2
//! ```
//!
//! Signatures cover the first 1044 bytes. All numbers are little-endian.

use std::fmt;

use crate::bytes::{all_zero, array_at, put, reversed, u16_at, u32_at};
use crate::sev::ApiVersion;
use crate::sev::ec::{Hash, KeyError, PAIR_LEN, PrivateKey, PublicKey};

/// Length of a certificate in bytes.
pub const LEN: usize = 2084;
/// Length of the part that signatures cover, in bytes.
const SIGNED_LEN: usize = 1044;
const KEY: usize = 16;
const SLOT_LEN: usize = 520;
const SIGNATURE_LEN: usize = 512;

/// What a key may sign or agree (55766 App. C).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Usage {
    /// AMD's root key.
    Ark,
    /// AMD's signing key.
    Ask,
    /// No key: the signature slot is empty.
    Invalid,
    /// The platform owner's certificate authority.
    Oca,
    /// The platform endorsement key.
    Pek,
    /// The platform's, or a guest owner's, Diffie-Hellman key.
    Pdh,
    /// The chip endorsement key.
    Cek,
    /// A code the specification does not define.
    Other(u32),
}

impl Usage {
    /// The usage with this code.
    pub fn from_code(code: u32) -> Self {
        match code {
            0x0 => Self::Ark,
            0x13 => Self::Ask,
            0x1000 => Self::Invalid,
            0x1001 => Self::Oca,
            0x1002 => Self::Pek,
            0x1003 => Self::Pdh,
            0x1004 => Self::Cek,
            code => Self::Other(code),
        }
    }

    /// The usage's code.
    pub fn code(self) -> u32 {
        match self {
            Self::Ark => 0x0,
            Self::Ask => 0x13,
            Self::Invalid => 0x1000,
            Self::Oca => 0x1001,
            Self::Pek => 0x1002,
            Self::Pdh => 0x1003,
            Self::Cek => 0x1004,
            Self::Other(code) => code,
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ark => f.write_str("ARK"),
            Self::Ask => f.write_str("ASK"),
            Self::Invalid => f.write_str("none"),
            Self::Oca => f.write_str("OCA"),
            Self::Pek => f.write_str("PEK"),
            Self::Pdh => f.write_str("PDH"),
            Self::Cek => f.write_str("CEK"),
            Self::Other(code) => write!(f, "unknown ({code:#x})"),
        }
    }
}

/// How a key is used (55766 App. C).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// No algorithm: the signature slot is empty.
    Invalid,
    /// RSASSA-PSS with SHA-256.
    RsaSha256,
    /// RSASSA-PSS with SHA-384.
    RsaSha384,
    /// ECDSA with SHA-256.
    EcdsaSha256,
    /// ECDSA with SHA-384.
    EcdsaSha384,
    /// Diffie-Hellman with SHA-256.
    EcdhSha256,
    /// Diffie-Hellman with SHA-384.
    EcdhSha384,
    /// A code the specification does not define.
    Other(u32),
}

impl Algorithm {
    /// The algorithm with this code.
    pub fn from_code(code: u32) -> Self {
        match code {
            0x0 => Self::Invalid,
            0x1 => Self::RsaSha256,
            0x2 => Self::EcdsaSha256,
            0x3 => Self::EcdhSha256,
            0x101 => Self::RsaSha384,
            0x102 => Self::EcdsaSha384,
            0x103 => Self::EcdhSha384,
            code => Self::Other(code),
        }
    }

    /// The algorithm's code.
    pub fn code(self) -> u32 {
        match self {
            Self::Invalid => 0x0,
            Self::RsaSha256 => 0x1,
            Self::EcdsaSha256 => 0x2,
            Self::EcdhSha256 => 0x3,
            Self::RsaSha384 => 0x101,
            Self::EcdsaSha384 => 0x102,
            Self::EcdhSha384 => 0x103,
            Self::Other(code) => code,
        }
    }

    /// The hash of an ECDSA algorithm; `None` for all others.
    pub fn ecdsa_hash(self) -> Option<Hash> {
        match self {
            Self::EcdsaSha256 => Some(Hash::Sha256),
            Self::EcdsaSha384 => Some(Hash::Sha384),
            _ => None,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid => f.write_str("none"),
            Self::RsaSha256 => f.write_str("RSA-PSS with SHA-256"),
            Self::RsaSha384 => f.write_str("RSA-PSS with SHA-384"),
            Self::EcdsaSha256 => f.write_str("ECDSA with SHA-256"),
            Self::EcdsaSha384 => f.write_str("ECDSA with SHA-384"),
            Self::EcdhSha256 => f.write_str("ECDH with SHA-256"),
            Self::EcdhSha384 => f.write_str("ECDH with SHA-384"),
            Self::Other(code) => write!(f, "unknown ({code:#x})"),
        }
    }
}

/// One of a certificate's two places for a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The first.
    First,
    /// The second, which only a PEK needs: it is signed by its owner and its chip.
    Second,
}

impl Slot {
    /// Both slots, in order.
    pub const ALL: [Self; 2] = [Self::First, Self::Second];

    fn offset(self) -> usize {
        match self {
            Self::First => SIGNED_LEN,
            Self::Second => SIGNED_LEN + SLOT_LEN,
        }
    }
}

/// Why bytes are not a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// There are too few or too many bytes.
    #[error("a SEV certificate has {LEN} bytes, this has {len}")]
    Length {
        /// How many there are.
        len: usize,
    },
    /// The version is not 1.
    #[error("version {version} of the SEV certificate format is not known, only 1 is")]
    Version {
        /// The version found.
        version: u32,
    },
}

/// A certificate, as received.
///
/// # Examples
///
/// ```
/// use attest::sev::ApiVersion;
/// use attest::sev::certs::{Algorithm, Certificate, Slot, Usage};
/// use attest::sev::ec::PrivateKey;
///
/// let pek = PrivateKey::from_bytes(&[7; 48])?;
/// let pdh = PrivateKey::from_bytes(&[8; 48])?;
/// let api = ApiVersion { major: 1, minor: 55 };
/// let mut certificate = Certificate::new(api, Usage::Pdh, Algorithm::EcdhSha256, &pdh.public_key());
/// certificate.sign(Slot::First, Usage::Pek, Algorithm::EcdsaSha256, &pek);
///
/// let received = Certificate::parse(certificate.as_bytes())?;
/// assert_eq!(received.usage(), Usage::Pdh);
/// assert_eq!(received.public_key()?, pdh.public_key());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate(Box<[u8; LEN]>);

impl Certificate {
    /// Keeps the bytes of a certificate. Only length and version are checked here; the rest is where it is used.
    pub fn parse(bytes: &[u8]) -> Result<Self, CertificateError> {
        let bytes: [u8; LEN] = bytes.try_into().map_err(|_| CertificateError::Length { len: bytes.len() })?;
        match u32_at(&bytes, 0) {
            1 => Ok(Self(Box::new(bytes))),
            version => Err(CertificateError::Version { version }),
        }
    }

    /// A certificate for `key` with both signature slots empty.
    pub fn new(api: ApiVersion, usage: Usage, algorithm: Algorithm, key: &PublicKey) -> Self {
        let mut bytes = Box::new([0; LEN]);
        put(&mut *bytes, 0, &1_u32.to_le_bytes());
        put(&mut *bytes, 4, &[api.major, api.minor]);
        put(&mut *bytes, 8, &usage.code().to_le_bytes());
        put(&mut *bytes, 12, &algorithm.code().to_le_bytes());
        put(&mut *bytes, KEY, &key.encode());
        for slot in Slot::ALL {
            put(&mut *bytes, slot.offset(), &Usage::Invalid.code().to_le_bytes());
        }
        Self(bytes)
    }

    /// The certificate's bytes, exactly those it was parsed from.
    pub fn as_bytes(&self) -> &[u8; LEN] {
        &self.0
    }

    /// The bytes that signatures cover: the first 1044.
    pub fn signed_bytes(&self) -> &[u8] {
        &self.0[..SIGNED_LEN]
    }

    /// The API version of the firmware that made it.
    pub fn api(&self) -> ApiVersion {
        ApiVersion { major: self.0[4], minor: self.0[5] }
    }

    /// Bytes 6 and 7, which must be zero.
    pub fn reserved(&self) -> u16 {
        u16_at(&*self.0, 6)
    }

    /// What the key is for.
    pub fn usage(&self) -> Usage {
        Usage::from_code(u32_at(&*self.0, 8))
    }

    /// The key's algorithm.
    pub fn algorithm(&self) -> Algorithm {
        Algorithm::from_code(u32_at(&*self.0, 12))
    }

    /// The certified key.
    pub fn public_key(&self) -> Result<PublicKey, KeyError> {
        PublicKey::decode(&self.0[KEY..SIGNED_LEN])
    }

    /// The usage of the key that signed in `slot`.
    pub fn signer(&self, slot: Slot) -> Usage {
        Usage::from_code(u32_at(&*self.0, slot.offset()))
    }

    /// The algorithm of the signature in `slot`.
    pub fn signature_algorithm(&self, slot: Slot) -> Algorithm {
        Algorithm::from_code(u32_at(&*self.0, slot.offset() + 4))
    }

    /// The signature in `slot`, little-endian and padded with zeros.
    pub fn signature(&self, slot: Slot) -> &[u8] {
        &self.0[slot.offset() + 8..slot.offset() + 8 + SIGNATURE_LEN]
    }

    /// Whether `slot` holds no signature: usage "none", all else zero.
    pub fn slot_is_empty(&self, slot: Slot) -> bool {
        self.signer(slot) == Usage::Invalid
            && self.signature_algorithm(slot) == Algorithm::Invalid
            && all_zero(self.signature(slot))
    }

    /// The slot that claims a signature by a key of this usage, if exactly one does.
    pub fn slot_signed_by(&self, signer: Usage) -> Option<Slot> {
        let mut slots = Slot::ALL.into_iter().filter(|slot| self.signer(*slot) == signer);
        match (slots.next(), slots.next()) {
            (Some(slot), None) => Some(slot),
            _ => None,
        }
    }

    /// The signature in `slot` as an ECDSA pair; `None` when the bytes after it are not zero.
    pub fn ecdsa_signature(&self, slot: Slot) -> Option<[u8; PAIR_LEN]> {
        let (pair, padding) = self.signature(slot).split_at(PAIR_LEN);
        all_zero(padding).then(|| array_at(pair, 0))
    }

    /// The signature in `slot` as a big-endian RSA signature of `modulus_len` bytes; `None` when the bytes after it
    /// are not zero or it cannot be that long.
    pub fn rsa_signature(&self, slot: Slot, modulus_len: usize) -> Option<Vec<u8>> {
        let (number, padding) = self.signature(slot).split_at_checked(modulus_len)?;
        all_zero(padding).then(|| reversed(number))
    }

    /// Signs with an elliptic-curve key. `algorithm` is one of the two ECDSA ones; any other leaves the slot empty.
    pub fn sign(&mut self, slot: Slot, signer: Usage, algorithm: Algorithm, key: &PrivateKey) {
        self.clear(slot);
        if let Some(hash) = algorithm.ecdsa_hash() {
            let pair = key.sign(hash, self.signed_bytes());
            self.put_signature(slot, signer, algorithm, &pair);
        }
    }

    /// Puts a big-endian RSA signature that was made over [`Certificate::signed_bytes`] elsewhere.
    /// Bytes beyond 512 do not fit and leave the slot empty.
    pub fn put_rsa_signature(&mut self, slot: Slot, signer: Usage, algorithm: Algorithm, signature: &[u8]) {
        self.clear(slot);
        if signature.len() <= SIGNATURE_LEN {
            self.put_signature(slot, signer, algorithm, &reversed(signature));
        }
    }

    /// Empties a signature slot.
    pub fn clear(&mut self, slot: Slot) {
        self.put_signature(slot, Usage::Invalid, Algorithm::Invalid, &[0; SIGNATURE_LEN]);
    }

    fn put_signature(&mut self, slot: Slot, signer: Usage, algorithm: Algorithm, signature: &[u8]) {
        let offset = slot.offset();
        put(&mut *self.0, offset, &signer.code().to_le_bytes());
        put(&mut *self.0, offset + 4, &algorithm.code().to_le_bytes());
        put(&mut *self.0, offset + 8, signature);
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("api", &self.api())
            .field("usage", &self.usage())
            .field("algorithm", &self.algorithm())
            .field("signers", &Slot::ALL.map(|slot| self.signer(slot)))
            .finish_non_exhaustive()
    }
}

/// A P-384 public key fills the key area up to this many bytes; the rest is zero.
const _: () = assert!(KEY + 4 + PAIR_LEN <= SIGNED_LEN);
