//! The attestation report of a running SEV or SEV-ES guest: what it was launched with, signed by the platform
//! endorsement key (55766, ATTESTATION).
//!
//! ```text
//! offset  bytes
//!      0     16  nonce of the one who asked
//!     16     32  launch digest
//!     48      4  policy
//!     52      4  usage of the signing key: PEK
//!     56      4  algorithm of the signature
//!     60      4  zero
//!     64    144  ECDSA signature over the first 52 bytes: r[72], s[72]
//! ```
//!
//! All numbers are little-endian.

use std::fmt;

use super::certs::{Algorithm, Certificate, Usage};
use super::digest::LaunchDigest;
use super::ec::{KeyError, PAIR_LEN, PrivateKey};
use super::policy::Policy;
use crate::bytes::{array_at, put, u32_at};

/// Length of the part that the signature covers, in bytes.
const SIGNED_LEN: usize = 52;

/// An attestation report, as received.
#[derive(Clone, PartialEq, Eq)]
pub struct AttestationReport([u8; Self::LEN]);

/// A report has the wrong length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a SEV attestation report has {} bytes, this has {len}", AttestationReport::LEN)]
pub struct ReportLength {
    /// How many bytes there are.
    pub len: usize,
}

/// Why a report is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// It answers another question, or is an old answer.
    #[error("the report carries another nonce than the one that was sent")]
    Nonce,
    /// The certificate to check it with is not of a PEK.
    #[error("a report is signed by a PEK, the certificate is of usage {found}")]
    Certificate {
        /// The certificate's usage.
        found: Usage,
    },
    /// The certificate holds no usable key.
    #[error("the PEK certificate does not hold a usable key")]
    Key(#[source] KeyError),
    /// The report names another kind of signing key.
    #[error("the report says it is signed by a key of usage {found}, not by a PEK")]
    Signer {
        /// The usage it names.
        found: Usage,
    },
    /// The report's signature has another algorithm than the PEK.
    #[error("the report's signature is {found}, the PEK is for another algorithm")]
    Algorithm {
        /// The algorithm it names.
        found: Algorithm,
    },
    /// Bytes 60 to 63 are not zero.
    #[error("reserved bytes 60 to 63 are not zero")]
    Reserved,
    /// The signature does not match: the report was changed, or another platform signed it.
    #[error("the signature does not match")]
    Signature,
}

impl AttestationReport {
    /// Length of a report in bytes.
    pub const LEN: usize = 208;

    /// Keeps the bytes of a report. Only the length is checked here.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReportLength> {
        let bytes = bytes.try_into().map_err(|_| ReportLength { len: bytes.len() })?;
        Ok(Self(bytes))
    }

    /// The secure processor's side: states a launch and signs it.
    pub fn create(nonce: [u8; 16], digest: &LaunchDigest, policy: Policy, pek: &PrivateKey) -> Self {
        let algorithm = Algorithm::EcdsaSha256;
        let mut bytes = [0; Self::LEN];
        put(&mut bytes, 0, &nonce);
        put(&mut bytes, 16, digest.as_bytes());
        put(&mut bytes, 48, &policy.0.to_le_bytes());
        put(&mut bytes, 52, &Usage::Pek.code().to_le_bytes());
        put(&mut bytes, 56, &algorithm.code().to_le_bytes());
        let signature = pek.sign(super::ec::Hash::Sha256, &bytes[..SIGNED_LEN]);
        put(&mut bytes, 64, &signature);
        Self(bytes)
    }

    /// The report's bytes, exactly those it was parsed from.
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The nonce it answers.
    pub fn nonce(&self) -> [u8; 16] {
        array_at(&self.0, 0)
    }

    /// The digest of the guest's launch.
    pub fn digest(&self) -> LaunchDigest {
        LaunchDigest::new(array_at(&self.0, 16))
    }

    /// The guest's policy.
    pub fn policy(&self) -> Policy {
        Policy(u32_at(&self.0, 48))
    }

    /// Checks that the platform of `pek` made this report in answer to `nonce`. Verify the chain of `pek` first, and
    /// compare digest and policy afterwards.
    pub fn verify(&self, nonce: &[u8; 16], pek: &Certificate) -> Result<(), ReportError> {
        if self.nonce() != *nonce {
            return Err(ReportError::Nonce);
        }
        if pek.usage() != Usage::Pek {
            return Err(ReportError::Certificate { found: pek.usage() });
        }
        let signer = Usage::from_code(u32_at(&self.0, 52));
        if signer != Usage::Pek {
            return Err(ReportError::Signer { found: signer });
        }
        let algorithm = Algorithm::from_code(u32_at(&self.0, 56));
        let hash = match algorithm.ecdsa_hash() {
            Some(hash) if algorithm == pek.algorithm() => hash,
            _ => return Err(ReportError::Algorithm { found: algorithm }),
        };
        if u32_at(&self.0, 60) != 0 {
            return Err(ReportError::Reserved);
        }
        let key = pek.public_key().map_err(ReportError::Key)?;
        let signature: [u8; PAIR_LEN] = array_at(&self.0, 64);
        if key.verifies(hash, &self.0[..SIGNED_LEN], &signature) {
            Ok(())
        } else {
            Err(ReportError::Signature)
        }
    }
}

impl fmt::Debug for AttestationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttestationReport")
            .field("nonce", &self.nonce())
            .field("digest", &self.digest())
            .field("policy", &self.policy())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sev::ApiVersion;

    fn pek() -> (PrivateKey, Certificate) {
        let key = PrivateKey::from_bytes(&[5; 48]).unwrap();
        let certificate =
            Certificate::new(ApiVersion::default(), Usage::Pek, Algorithm::EcdsaSha256, &key.public_key());
        (key, certificate)
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let (key, certificate) = pek();
        let report = AttestationReport::create([1; 16], &LaunchDigest::new([2; 32]), Policy(5), &key);
        assert_eq!(report.verify(&[1; 16], &certificate), Ok(()));
        assert_eq!((report.digest(), report.policy()), (LaunchDigest::new([2; 32]), Policy(5)));
        for bit in 0..AttestationReport::LEN * 8 {
            let mut bytes = *report.as_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let changed = AttestationReport::parse(&bytes).unwrap();
            assert!(changed.verify(&[1; 16], &certificate).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn refuses_other_lengths_and_other_keys() {
        let (key, certificate) = pek();
        for len in [0, 207, 209] {
            assert_eq!(AttestationReport::parse(&vec![0; len]), Err(ReportLength { len }));
        }
        let report = AttestationReport::create([1; 16], &LaunchDigest::new([2; 32]), Policy(5), &key);
        assert_eq!(report.verify(&[0; 16], &certificate), Err(ReportError::Nonce));
        let pdh =
            Certificate::new(ApiVersion::default(), Usage::Pdh, Algorithm::EcdhSha256, &key.public_key());
        let refused = ReportError::Certificate { found: Usage::Pdh };
        assert_eq!(report.verify(&[1; 16], &pdh), Err(refused));
    }
}
