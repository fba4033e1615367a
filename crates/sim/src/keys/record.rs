//! How keys are kept at rest: magic, version, fields of fixed length, and a checksum that tells damage from a record.

use attest::sev::certs::Certificate;
use attest::sev::certs::certificate::{self, CertificateError};
use attest::sev::ec::{KeyError, PrivateKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Why bytes are not the record they should be.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("the record has {found} bytes, not {expected}")]
    Length { expected: usize, found: usize },
    #[error("the record starts with other bytes than it should, or has an unknown version")]
    Magic,
    #[error("the record's checksum does not match: it is damaged")]
    Checksum,
    #[error("the record names an owner of the unknown kind {0}")]
    Owner(u8),
    #[error("the record's {what} is not a certificate")]
    Certificate {
        what: &'static str,
        #[source]
        source: CertificateError,
    },
    #[error("the record's {what} is not a key")]
    Key {
        what: &'static str,
        #[source]
        source: KeyError,
    },
    #[error("the record's {0} is not the one that its certificate certifies")]
    Mismatch(&'static str),
}

const CHECKSUM_LEN: usize = 32;

/// Builds a record.
pub(super) struct RecordWriter(Zeroizing<Vec<u8>>);

impl RecordWriter {
    /// A record of `length` bytes in all; the room is taken at once, so that no copy of a key is left behind.
    pub(super) fn new(magic: &[u8; 8], length: usize) -> Self {
        let mut bytes = Zeroizing::new(Vec::with_capacity(length));
        bytes.extend_from_slice(magic);
        Self(bytes)
    }

    pub(super) fn put(mut self, field: &[u8]) -> Self {
        self.0.extend_from_slice(field);
        self
    }

    pub(super) fn finish(mut self) -> Zeroizing<Vec<u8>> {
        let checksum = Sha256::digest(&*self.0);
        self.0.extend_from_slice(&checksum);
        self.0
    }
}

/// Takes a record apart.
pub(super) struct RecordReader<'b>(&'b [u8]);

impl<'b> RecordReader<'b> {
    /// Checks length, magic and checksum.
    pub(super) fn new(bytes: &'b [u8], magic: &[u8; 8], length: usize) -> Result<Self, RecordError> {
        let wrong_length = RecordError::Length { expected: length, found: bytes.len() };
        if bytes.len() != length {
            return Err(wrong_length);
        }
        let Some((body, checksum)) = bytes.split_last_chunk::<CHECKSUM_LEN>() else {
            return Err(wrong_length);
        };
        let fields = body.strip_prefix(magic).ok_or(RecordError::Magic)?;
        if Sha256::digest(body).as_slice() != checksum {
            return Err(RecordError::Checksum);
        }
        Ok(Self(fields))
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<&'b [u8; N], RecordError> {
        let short = RecordError::Length { expected: N, found: self.0.len() };
        let (field, rest) = self.0.split_first_chunk().ok_or(short)?;
        self.0 = rest;
        Ok(field)
    }

    pub(super) fn certificate(&mut self, what: &'static str) -> Result<Certificate, RecordError> {
        let bytes: &[u8; certificate::LEN] = self.array()?;
        Certificate::parse(bytes).map_err(|source| RecordError::Certificate { what, source })
    }

    /// A key, which must be the private half of what `certificate` certifies.
    pub(super) fn key(
        &mut self,
        what: &'static str,
        certificate: &Certificate,
    ) -> Result<PrivateKey, RecordError> {
        let key =
            PrivateKey::from_bytes(self.array()?).map_err(|source| RecordError::Key { what, source })?;
        let certified = certificate.public_key().map_err(|source| RecordError::Key { what, source })?;
        if key.public_key() == certified { Ok(key) } else { Err(RecordError::Mismatch(what)) }
    }
}

/// The length of a record whose fields have `fields` bytes.
pub(super) const fn length(fields: usize) -> usize {
    8 + fields + CHECKSUM_LEN
}
