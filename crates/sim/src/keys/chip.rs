//! What is fused into one chip: its number and its endorsement key (CEK).

use attest::sev::ApiVersion;
use attest::sev::certs::{Certificate, Usage, certificate};
use attest::sev::ec::PrivateKey;
use zeroize::Zeroizing;

use super::record::{self, RecordError, RecordReader, RecordWriter};
use super::{NoRandomness, Random, SIGNING, generate};

const MAGIC: &[u8; 8] = b"SIMCHIP\x01";
const LENGTH: usize = record::length(Chip::ID_LEN + PrivateKey::LEN + certificate::LEN);

/// One chip. It has no `Debug`: it holds a private key.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "keys must not reach a log")]
pub struct Chip {
    id: [u8; Self::ID_LEN],
    cek: PrivateKey,
    certificate: Certificate,
}

impl Chip {
    /// Length of a chip's number, in bytes.
    pub const ID_LEN: usize = 64;

    /// A new chip, whose certificate nobody has signed yet.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate(api: ApiVersion, random: &mut dyn Random) -> Result<Self, NoRandomness> {
        let mut id = [0; Self::ID_LEN];
        random.fill(&mut id)?;
        let cek = generate(random)?;
        let certificate = Certificate::new(api, Usage::Cek, SIGNING, &cek.public_key());
        Ok(Self { id, cek, certificate })
    }

    /// What `GET_ID` tells.
    #[must_use]
    pub const fn id(&self) -> &[u8; Self::ID_LEN] {
        &self.id
    }

    /// The chip's certificate, for the root to sign.
    pub const fn certificate_mut(&mut self) -> &mut Certificate {
        &mut self.certificate
    }

    /// The chip's certificate.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    pub(crate) const fn cek(&self) -> &PrivateKey {
        &self.cek
    }

    /// The chip as it is kept at rest.
    #[must_use]
    pub fn to_record(&self) -> Zeroizing<Vec<u8>> {
        RecordWriter::new(MAGIC, LENGTH)
            .put(&self.id)
            .put(self.certificate.as_bytes())
            .put(self.cek.to_bytes().as_ref())
            .finish()
    }

    /// The chip that was kept.
    ///
    /// # Errors
    /// When the record is damaged or is another's.
    pub fn from_record(record: &[u8]) -> Result<Self, RecordError> {
        let mut fields = RecordReader::new(record, MAGIC, LENGTH)?;
        let id = *fields.array()?;
        let certificate = fields.certificate("CEK certificate")?;
        let cek = fields.key("CEK", &certificate)?;
        Ok(Self { id, cek, certificate })
    }
}
