//! Verification of a whole chain, from AMD's root to the platform's Diffie-Hellman key.
//!
//! It answers one question: was this PDH made by a secure processor that the given root vouches for? It judges no
//! dates (the format has none) and no owner: an OCA vouches for itself, whoever wants a particular one compares it.

use std::fmt;

use super::amd::{AmdCertificate, AmdCertificateError};
use super::certificate::{Certificate, CertificateError, LEN, Slot, Usage};
use super::roots::Generation;
use crate::sev::ec::{KeyError, PublicKey};

/// All certificates from AMD's root to the platform's Diffie-Hellman key.
///
/// PDH_CERT_EXPORT gives `pdh`, and `pek`, `oca`, `cek` in this order. On AMD's processors the exported CEK carries no
/// signature; AMD's key server has the signed one. ASK and ARK are published by AMD for each generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// AMD's root key.
    pub ark: AmdCertificate,
    /// AMD's signing key.
    pub ask: AmdCertificate,
    /// The chip endorsement key, with AMD's signature.
    pub cek: Certificate,
    /// The platform owner's certificate authority.
    pub oca: Certificate,
    /// The platform endorsement key.
    pub pek: Certificate,
    /// The platform's Diffie-Hellman key.
    pub pdh: Certificate,
}

/// What an owner trusts without proof: an ARK, and the ASK that is published with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustRoot {
    /// The root key.
    pub ark: AmdCertificate,
    /// The signing key; it is verified, not trusted.
    pub ask: AmdCertificate,
}

/// Why bytes are not a trust root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustRootError {
    /// The first certificate cannot be read.
    #[error("the first certificate cannot be read")]
    First(#[source] AmdCertificateError),
    /// The second certificate cannot be read.
    #[error("the second certificate cannot be read")]
    Second(#[source] AmdCertificateError),
    /// There are two of a kind.
    #[error("there are two {0} certificates, where an ARK and an ASK belong")]
    Twice(Usage),
}

impl TrustRoot {
    /// Reads an ARK and an ASK, one after the other in either order: the form of AMD's `ask_ark_<generation>.cert`.
    ///
    /// AMD's file for Naples ends before its ARK's signature; that one ARK is completed with the signature that AMD
    /// made later.
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustRootError> {
        let (first, rest) = AmdCertificate::parse_prefix(bytes).map_err(TrustRootError::First)?;
        let second = match AmdCertificate::parse(Generation::Naples.bytes().0) {
            Ok(naples) if naples.signed_bytes() == rest => naples,
            _ => AmdCertificate::parse(rest).map_err(TrustRootError::Second)?,
        };
        match (first.usage(), second.usage()) {
            (Usage::Ark, Usage::Ask) => Ok(Self { ark: first, ask: second }),
            (Usage::Ask, Usage::Ark) => Ok(Self { ark: second, ask: first }),
            (usage, _) => Err(TrustRootError::Twice(usage)),
        }
    }
}

/// The platform's part of a chain, as PDH_CERT_EXPORT gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformChain {
    /// The platform endorsement key.
    pub pek: Certificate,
    /// The platform owner's certificate authority.
    pub oca: Certificate,
    /// The chip endorsement key; on AMD's processors without AMD's signature.
    pub cek: Certificate,
}

/// Why bytes are not a platform's chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlatformChainError {
    /// There are too few or too many bytes.
    #[error("a platform's chain is PEK, OCA and CEK of {LEN} bytes each, this has {len} bytes")]
    Length {
        /// How many there are.
        len: usize,
    },
    /// A certificate cannot be read.
    #[error("the {place} cannot be read")]
    Certificate {
        /// Which one belongs there.
        place: Usage,
        /// Why not.
        source: CertificateError,
    },
}

impl PlatformChain {
    /// Reads PEK, OCA and CEK, one after the other: `cert-chain` of QEMU's `query-sev-capabilities`.
    pub fn parse(bytes: &[u8]) -> Result<Self, PlatformChainError> {
        if bytes.len() != 3 * LEN {
            return Err(PlatformChainError::Length { len: bytes.len() });
        }
        let read = |place, at: usize| {
            Certificate::parse(&bytes[at * LEN..(at + 1) * LEN])
                .map_err(|source| PlatformChainError::Certificate { place, source })
        };
        Ok(Self { pek: read(Usage::Pek, 0)?, oca: read(Usage::Oca, 1)?, cek: read(Usage::Cek, 2)? })
    }

    /// The bytes of PEK, OCA and CEK, one after the other.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.pek, &self.oca, &self.cek].map(|certificate| certificate.as_bytes().as_slice()).concat()
    }

    /// Completes the chain with AMD's keys and the platform's Diffie-Hellman key.
    pub fn with(self, root: &TrustRoot, pdh: Certificate) -> Chain {
        Chain {
            ark: root.ark.clone(),
            ask: root.ask.clone(),
            cek: self.cek,
            oca: self.oca,
            pek: self.pek,
            pdh,
        }
    }
}

/// One step of a chain: `signer` signs `subject`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The usage of the key that signs.
    pub signer: Usage,
    /// The usage of the certificate that is signed.
    pub subject: Usage,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.signer == self.subject {
            write!(f, "{} → itself", self.signer)
        } else {
            write!(f, "{} → {}", self.signer, self.subject)
        }
    }
}

/// Why a chain is not trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The chain's root is another than the trusted one.
    #[error("the chain's ARK is not the trusted root")]
    Root,
    /// A certificate stands in another's place.
    #[error("where the {expected} belongs there is a certificate of usage {found}")]
    Usage {
        /// What belongs there.
        expected: Usage,
        /// What is there.
        found: Usage,
    },
    /// A certificate has bytes set that must be zero.
    #[error("the {certificate} has reserved bytes that are not zero")]
    Reserved {
        /// Which one.
        certificate: Usage,
    },
    /// A certificate has bytes in a signature slot that nobody should have filled.
    #[error("the {certificate} has a signature slot in use that should be empty")]
    Slot {
        /// Which one.
        certificate: Usage,
    },
    /// A certificate does not hold a usable key.
    #[error("the {certificate} does not hold a usable key")]
    Key {
        /// Which one.
        certificate: Usage,
        /// Why not.
        source: KeyError,
    },
    /// A certificate is certified by a key with another id.
    #[error("{link}: the certificate names the id of another key as its signer")]
    KeyId {
        /// The step that failed.
        link: Link,
    },
    /// A certificate has no signature of the key that should have signed it.
    #[error("{link}: the certificate carries no such signature")]
    Unsigned {
        /// The step that failed.
        link: Link,
    },
    /// A signature was made with an algorithm that the signer's key is not for.
    #[error("{link}: the signature's algorithm is not the signer's")]
    Algorithm {
        /// The step that failed.
        link: Link,
    },
    /// A signature does not match: the certificate was changed, or another key signed it.
    #[error("{link}: the signature does not match")]
    Signature {
        /// The step that failed.
        link: Link,
    },
}

impl Chain {
    /// Checks every link and returns the platform's Diffie-Hellman key, which a session may now be agreed with.
    ///
    /// `root` is the owner's own copy of the ARK; a chain that brings another is refused.
    pub fn verify(&self, root: &AmdCertificate) -> Result<PublicKey, ChainError> {
        if self.ark != *root {
            return Err(ChainError::Root);
        }
        expect_usage(Usage::Ark, self.ark.usage())?;
        expect_usage(Usage::Ask, self.ask.usage())?;
        verify_amd(&self.ark, &self.ark)?;
        verify_amd(&self.ark, &self.ask)?;

        let cek = check_form(&self.cek, Usage::Cek, &[Usage::Ask])?;
        verify_cek(&self.ask, &self.cek)?;

        let oca = check_form(&self.oca, Usage::Oca, &[Usage::Oca])?;
        verify_signature(&self.oca, &oca, &self.oca)?;

        let pek = check_form(&self.pek, Usage::Pek, &[Usage::Oca, Usage::Cek])?;
        verify_signature(&self.oca, &oca, &self.pek)?;
        verify_signature(&self.cek, &cek, &self.pek)?;

        let pdh = check_form(&self.pdh, Usage::Pdh, &[Usage::Pek])?;
        verify_signature(&self.pek, &pek, &self.pdh)?;
        Ok(pdh)
    }
}

fn expect_usage(expected: Usage, found: Usage) -> Result<(), ChainError> {
    if found == expected { Ok(()) } else { Err(ChainError::Usage { expected, found }) }
}

/// Checks all of a certificate that no signature covers, and reads its key.
fn check_form(certificate: &Certificate, usage: Usage, signers: &[Usage]) -> Result<PublicKey, ChainError> {
    expect_usage(usage, certificate.usage())?;
    if certificate.reserved() != 0 {
        return Err(ChainError::Reserved { certificate: usage });
    }
    for signer in signers {
        if certificate.slot_signed_by(*signer).is_none() {
            let link = Link { signer: *signer, subject: usage };
            return Err(ChainError::Unsigned { link });
        }
    }
    let in_use = |slot: &Slot| !signers.contains(&certificate.signer(*slot));
    if Slot::ALL.iter().filter(|slot| in_use(slot)).any(|slot| !certificate.slot_is_empty(*slot)) {
        return Err(ChainError::Slot { certificate: usage });
    }
    certificate.public_key().map_err(|source| ChainError::Key { certificate: usage, source })
}

fn verify_amd(signer: &AmdCertificate, subject: &AmdCertificate) -> Result<(), ChainError> {
    let link = Link { signer: signer.usage(), subject: subject.usage() };
    if subject.certifying_id() != signer.key_id() {
        return Err(ChainError::KeyId { link });
    }
    if subject.size() != signer.size() {
        return Err(ChainError::Algorithm { link });
    }
    if !signer.verifies(subject.signed_bytes(), &subject.signature()) {
        return Err(ChainError::Signature { link });
    }
    Ok(())
}

fn verify_cek(ask: &AmdCertificate, cek: &Certificate) -> Result<(), ChainError> {
    let link = Link { signer: Usage::Ask, subject: Usage::Cek };
    let slot = cek.slot_signed_by(Usage::Ask).ok_or(ChainError::Unsigned { link })?;
    if cek.signature_algorithm(slot) != ask.size().algorithm() {
        return Err(ChainError::Algorithm { link });
    }
    let verified = cek
        .rsa_signature(slot, ask.size().modulus_len())
        .is_some_and(|signature| ask.verifies(cek.signed_bytes(), &signature));
    if verified { Ok(()) } else { Err(ChainError::Signature { link }) }
}

fn verify_signature(signer: &Certificate, key: &PublicKey, subject: &Certificate) -> Result<(), ChainError> {
    let link = Link { signer: signer.usage(), subject: subject.usage() };
    let slot = subject.slot_signed_by(link.signer).ok_or(ChainError::Unsigned { link })?;
    let algorithm = subject.signature_algorithm(slot);
    let hash = match algorithm.ecdsa_hash() {
        Some(hash) if algorithm == signer.algorithm() => hash,
        _ => return Err(ChainError::Algorithm { link }),
    };
    let verified = subject
        .ecdsa_signature(slot)
        .is_some_and(|signature| key.verifies(hash, subject.signed_bytes(), &signature));
    if verified { Ok(()) } else { Err(ChainError::Signature { link }) }
}
