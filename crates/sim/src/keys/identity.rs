//! The keys that a platform's owner may renew: the owner's authority (OCA), the platform's endorsement key (PEK) and its
//! Diffie-Hellman key (PDH). They survive power loss and are gone after `PLATFORM_RESET`.

use attest::sev::ApiVersion;
use attest::sev::certs::{Certificate, Slot, Usage, certificate};
use attest::sev::ec::PrivateKey;
use zeroize::Zeroizing;

use super::record::{self, RecordError, RecordReader, RecordWriter};
use super::{AGREEMENT, Chip, NoRandomness, Random, SIGNING, generate};

const MAGIC: &[u8; 8] = b"SIMPLAT\x01";
const LENGTH: usize = record::length(1 + 3 * certificate::LEN + 2 * PrivateKey::LEN);

/// Who owns the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The platform itself, by an authority it made.
    Platform,
    /// Whoever's authority was imported.
    External,
}

/// The renewable keys. It has no `Debug`: it holds private keys.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "keys must not reach a log")]
pub struct Identity {
    owner: Owner,
    oca: Certificate,
    pek: Certificate,
    pdh: Certificate,
    pek_key: PrivateKey,
    pdh_key: PrivateKey,
}

impl Identity {
    /// Fresh keys of a platform that owns itself. The authority signs once and is forgotten.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate(chip: &Chip, api: ApiVersion, random: &mut dyn Random) -> Result<Self, NoRandomness> {
        let oca_key = generate(random)?;
        let mut oca = Certificate::new(api, Usage::Oca, SIGNING, &oca_key.public_key());
        oca.sign(Slot::First, Usage::Oca, SIGNING, &oca_key);

        let pek_key = generate(random)?;
        let mut pek = Certificate::new(api, Usage::Pek, SIGNING, &pek_key.public_key());
        pek.sign(Slot::First, Usage::Oca, SIGNING, &oca_key);
        pek.sign(Slot::Second, Usage::Cek, SIGNING, chip.cek());

        let (pdh, pdh_key) = generate_pdh(&pek_key, api, random)?;
        Ok(Self { owner: Owner::Platform, oca, pek, pdh, pek_key, pdh_key })
    }

    /// The same platform with a fresh Diffie-Hellman key.
    pub(crate) fn with_new_pdh(
        &self,
        api: ApiVersion,
        random: &mut dyn Random,
    ) -> Result<Self, NoRandomness> {
        let (pdh, pdh_key) = generate_pdh(&self.pek_key, api, random)?;
        Ok(Self { pdh, pdh_key, ..self.clone() })
    }

    /// The same keys under another authority, whose signature `pek` already carries.
    pub(crate) fn owned_by(&self, oca: Certificate, pek: Certificate) -> Self {
        Self { owner: Owner::External, oca, pek, ..self.clone() }
    }

    /// Who owns the platform.
    #[must_use]
    pub const fn owner(&self) -> Owner {
        self.owner
    }

    /// The owner's certificate authority.
    #[must_use]
    pub const fn oca(&self) -> &Certificate {
        &self.oca
    }

    /// The platform's endorsement certificate.
    #[must_use]
    pub const fn pek(&self) -> &Certificate {
        &self.pek
    }

    /// The platform's Diffie-Hellman certificate.
    #[must_use]
    pub const fn pdh(&self) -> &Certificate {
        &self.pdh
    }

    pub(crate) const fn pek_key(&self) -> &PrivateKey {
        &self.pek_key
    }

    pub(crate) const fn pdh_key(&self) -> &PrivateKey {
        &self.pdh_key
    }

    /// The identity as it is kept at rest.
    #[must_use]
    pub fn to_record(&self) -> Zeroizing<Vec<u8>> {
        let owner = match self.owner {
            Owner::Platform => 0,
            Owner::External => 1,
        };
        RecordWriter::new(MAGIC, LENGTH)
            .put(&[owner])
            .put(self.oca.as_bytes())
            .put(self.pek.as_bytes())
            .put(self.pdh.as_bytes())
            .put(self.pek_key.to_bytes().as_ref())
            .put(self.pdh_key.to_bytes().as_ref())
            .finish()
    }

    /// The identity that was kept.
    ///
    /// # Errors
    /// When the record is damaged or is another's.
    pub fn from_record(record: &[u8]) -> Result<Self, RecordError> {
        let mut fields = RecordReader::new(record, MAGIC, LENGTH)?;
        let owner = match fields.array::<1>()? {
            [0] => Owner::Platform,
            [1] => Owner::External,
            [other] => return Err(RecordError::Owner(*other)),
        };
        let oca = fields.certificate("OCA certificate")?;
        let pek = fields.certificate("PEK certificate")?;
        let pdh = fields.certificate("PDH certificate")?;
        let pek_key = fields.key("PEK", &pek)?;
        let pdh_key = fields.key("PDH", &pdh)?;
        Ok(Self { owner, oca, pek, pdh, pek_key, pdh_key })
    }
}

fn generate_pdh(
    pek_key: &PrivateKey,
    api: ApiVersion,
    random: &mut dyn Random,
) -> Result<(Certificate, PrivateKey), NoRandomness> {
    let key = generate(random)?;
    let mut pdh = Certificate::new(api, Usage::Pdh, AGREEMENT, &key.public_key());
    pdh.sign(Slot::First, Usage::Pek, SIGNING, pek_key);
    Ok((pdh, key))
}
