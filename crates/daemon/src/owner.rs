//! The guest's owner, in the same process as the host: verifies the platform, opens a session with it, judges the
//! measurement and seals the secrets.
//!
//! The transport keys are made here and die here; they never reach QEMU, a file or a log. On a host that is not the
//! owner's own this proves nothing to anybody else: there the owner uses `sevirt session`, `measure` and `verify` on a
//! machine of their own.

use attest::sev::certs::certificate::CertificateError;
use attest::sev::certs::chain::PlatformChainError;
use attest::sev::certs::{Certificate, Chain, ChainError, PlatformChain, TrustRoot};
use attest::sev::digest::LaunchDigest;
use attest::sev::ec::{KeyError, PublicKey};
use attest::sev::explain::explain;
use attest::sev::keys::TransportKeys;
use attest::sev::measurement::{Launch, Measurement};
use attest::sev::policy::Policy;
use attest::sev::secret::{Entry, Packet, TableError, table};
use attest::sev::session::{Entropy, Session};
use attest::sev::{ApiVersion, FirmwareVersion};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use qemu::caps::SevCaps;
use qemu::qmp::command::{SevGuest, SevInjectLaunchSecret};
use zeroize::{Zeroize as _, Zeroizing};

use crate::vm::{Evidence, Verdict};

/// A platform whose certificates lead to the trusted root.
#[derive(Debug)]
pub struct Platform {
    pdh: PublicKey,
    api: ApiVersion,
    /// The chain in words.
    pub summary: String,
}

/// What the host gets of a session, as the domain's `dhCert` and `session` take it: base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionBlobs {
    pub dh_cert: String,
    pub session: String,
}

/// Who decides whether a guest may run.
#[expect(missing_debug_implementations, reason = "keys and secrets must not reach a log")]
pub struct LocalOwner {
    keys: TransportKeys,
    policy: Policy,
    expected: LaunchDigest,
    /// The digest of the domain's own files, where another is expected.
    own_files: Option<LaunchDigest>,
    secrets: Option<Secrets>,
}

/// What is injected once the measurement is accepted.
#[expect(missing_debug_implementations, reason = "secrets must not reach a log")]
pub struct Secrets {
    table: Zeroizing<Vec<u8>>,
    /// Guest physical address; without it the firmware's secret area is used.
    gpa: Option<u64>,
}

#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    #[error("the platform's {what} is not base64")]
    Base64 {
        what: &'static str,
        #[source]
        source: base64::DecodeError,
    },
    #[error("read the platform's Diffie-Hellman certificate")]
    Pdh(#[source] CertificateError),
    #[error("read the platform's certificate chain")]
    PlatformChain(#[source] PlatformChainError),
    #[error("the signed CEK certificate is another chip's")]
    OtherCek,
    #[error("the platform's certificates do not lead to the trusted root")]
    Chain(#[source] ChainError),
    #[error("get random bytes")]
    Random(#[source] getrandom::Error),
    #[error("make a session with the platform")]
    Session(#[source] KeyError),
    #[error("make a table of the secrets")]
    Table(#[source] TableError),
}

/// Verifies a platform's certificates, up to the root that the owner trusts.
///
/// `cek` is the chip's certificate with AMD's signature, from AMD's key server: what real platforms export carries
/// none.
pub fn verify_platform(
    sev: &SevCaps,
    root: &TrustRoot,
    cek: Option<Certificate>,
) -> Result<Platform, OwnerError> {
    let decode =
        |what, text: &str| STANDARD.decode(text).map_err(|source| OwnerError::Base64 { what, source });
    let pdh =
        Certificate::parse(&decode("Diffie-Hellman certificate", &sev.pdh)?).map_err(OwnerError::Pdh)?;
    let exported = decode("certificate chain", &sev.cert_chain)?;
    let mut exported = PlatformChain::parse(&exported).map_err(OwnerError::PlatformChain)?;
    if let Some(cek) = cek {
        if cek.signed_bytes() != exported.cek.signed_bytes() {
            return Err(OwnerError::OtherCek);
        }
        exported.cek = cek;
    }
    let api = pdh.api();
    let chain: Chain = exported.with(root, pdh);
    let pdh = chain.verify(&root.ark).map_err(OwnerError::Chain)?;
    let id: String = root.ark.key_id().iter().map(|byte| format!("{byte:02x}")).collect();
    let summary = format!("ARK {id} → ASK → CEK → PEK ← OCA, PEK → PDH");
    Ok(Platform { pdh, api, summary })
}

impl Platform {
    /// Opens a session for guests of one policy: the blobs are for the host, the keys for the owner.
    pub fn open_session(&self, policy: Policy) -> Result<(TransportKeys, SessionBlobs), OwnerError> {
        let mut random = [0u8; Entropy::LEN];
        getrandom::fill(&mut random).map_err(OwnerError::Random)?;
        let entropy = Entropy::new(random);
        random.zeroize();
        let session = Session::create(&self.pdh, self.api, policy, &entropy).map_err(OwnerError::Session)?;
        let blobs = SessionBlobs {
            dh_cert: STANDARD.encode(session.godh.as_bytes()),
            session: STANDARD.encode(session.blob.as_bytes()),
        };
        Ok((session.keys, blobs))
    }
}

impl Secrets {
    /// Makes the table that the guest's firmware hands on.
    pub fn new(entries: &[Entry], gpa: Option<u64>) -> Result<Self, OwnerError> {
        Ok(Self { table: table(entries).map_err(OwnerError::Table)?, gpa })
    }
}

impl LocalOwner {
    /// An owner who accepts one digest under one policy.
    pub fn new(
        keys: TransportKeys,
        policy: Policy,
        expected: LaunchDigest,
        secrets: Option<Secrets>,
    ) -> Self {
        Self { keys, policy, expected, own_files: None, secrets }
    }

    /// Tells, of a launch that is rejected, whether it is that of the domain's own files.
    #[must_use]
    pub fn knowing_own_files(self, digest: LaunchDigest) -> Self {
        Self { own_files: Some(digest), ..self }
    }

    /// Whether the evidence proves the expected launch; if so, the sealed secrets.
    pub fn judge(&self, evidence: &Evidence) -> Verdict {
        match self.verify(evidence) {
            Ok(secrets) => Verdict::Accepted { secrets },
            Err(reason) => Verdict::Rejected { reason },
        }
    }

    /// What was expected, and what the measurement proves instead if that can be found.
    fn reason(&self, measurement: &Measurement, expected: &Launch) -> String {
        let Launch { digest, policy, firmware } = expected;
        let wanted = format!("digest {digest}, policy {policy}, platform API {firmware}");
        let own = self
            .own_files
            .filter(|own| measurement.verify(&Launch { digest: *own, ..*expected }, &self.keys.tik).is_ok());
        if let Some(own) = own {
            return format!(
                "{wanted}; what was launched has the digest {own}, as the domain's own files have"
            );
        }
        match explain(measurement, &self.keys.tik, expected, None) {
            Some(difference) => format!("{wanted}; what was launched has {difference}"),
            None => wanted,
        }
    }

    fn verify(&self, evidence: &Evidence) -> Result<Vec<SevInjectLaunchSecret>, String> {
        let SevGuest::Sev { policy, .. } = evidence.sev.guest else {
            return Err("QEMU says that the guest is a SEV-SNP guest, which has no launch measurement".into());
        };
        if policy != self.policy.0 {
            return Err(format!(
                "the guest was launched with policy {}, and the owner asked for {}",
                Policy(policy),
                self.policy
            ));
        }
        let blob = STANDARD
            .decode(&evidence.measurement)
            .map_err(|error| format!("the measurement is not base64: {error}"))?;
        let measurement = Measurement::parse(&blob).map_err(|error| error.to_string())?;
        let api = ApiVersion { major: evidence.sev.api_major, minor: evidence.sev.api_minor };
        let firmware = FirmwareVersion { api, build: evidence.sev.build_id };
        let launch = Launch { firmware, policy: self.policy, digest: self.expected };
        measurement
            .verify(&launch, &self.keys.tik)
            .map_err(|mismatch| format!("{mismatch}: {}", self.reason(&measurement, &launch)))?;
        let Some(secrets) = &self.secrets else { return Ok(Vec::new()) };
        let mut iv = [0u8; 16];
        getrandom::fill(&mut iv).map_err(|error| format!("get random bytes: {error}"))?;
        let packet = Packet::seal(&self.keys, api, &measurement, &iv, &secrets.table)
            .map_err(|error| error.to_string())?;
        Ok(vec![SevInjectLaunchSecret {
            header: STANDARD.encode(packet.header),
            secret: STANDARD.encode(&packet.ciphertext),
            gpa: secrets.gpa,
        }])
    }
}

#[cfg(test)]
mod tests {
    use attest::sev::digest::LaunchHasher;
    use attest::sev::ec::PrivateKey;
    use attest::sev::secret::parse_table;
    use attest::sev::session::LaunchBlob;
    use qemu::qmp::command::{SevGuestState, SevState};

    use super::*;

    const API: ApiVersion = ApiVersion { major: 1, minor: 55 };
    const POLICY: Policy = Policy(1);

    fn digest(bytes: &[u8]) -> LaunchDigest {
        let mut hasher = LaunchHasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    /// The secure processor's side of one launch, and the owner who opened its session.
    fn launch(loaded: &[u8], secrets: Option<Secrets>) -> (LocalOwner, Evidence, TransportKeys) {
        let private = PrivateKey::from_bytes(&[7; 48]).unwrap();
        let platform = Platform { pdh: private.public_key(), api: API, summary: String::new() };
        let (keys, blobs) = platform.open_session(POLICY).unwrap();
        let blob = LaunchBlob::parse(&STANDARD.decode(&blobs.session).unwrap()).unwrap();
        let godh = Certificate::parse(&STANDARD.decode(&blobs.dh_cert).unwrap()).unwrap();
        let unwrapped = blob.open(&private, &godh.public_key().unwrap(), POLICY).unwrap();
        let firmware = FirmwareVersion { api: API, build: 8 };
        let measured = Launch { firmware, policy: POLICY, digest: digest(loaded) };
        let measurement = Measurement::create(&measured, &unwrapped.tik, [9; 16]);
        let sev = SevState {
            enabled: true,
            api_major: 1,
            api_minor: 55,
            build_id: 8,
            state: SevGuestState::LaunchSecret,
            guest: SevGuest::Sev { policy: POLICY.0, handle: 1 },
        };
        let evidence = Evidence { measurement: STANDARD.encode(measurement.to_bytes()), sev };
        (LocalOwner::new(keys, POLICY, digest(b"firmware"), secrets), evidence, unwrapped)
    }

    fn reason(verdict: Verdict) -> String {
        match verdict {
            Verdict::Rejected { reason } => reason,
            Verdict::Accepted { .. } => panic!("accepted"),
        }
    }

    #[test]
    fn the_expected_launch_is_accepted() {
        let (owner, evidence, _) = launch(b"firmware", None);
        assert_eq!(owner.judge(&evidence), Verdict::Accepted { secrets: Vec::new() });
    }

    #[test]
    fn anything_else_is_rejected() {
        let (owner, evidence, _) = launch(b"Firmware", None);
        assert!(
            reason(owner.judge(&evidence)).starts_with("the measurement does not prove the expected launch")
        );

        let (owner, mut evidence, _) = launch(b"firmware", None);
        evidence.sev.guest = SevGuest::Sev { policy: 0, handle: 1 };
        assert!(reason(owner.judge(&evidence)).contains("0x0 (debugging allowed)"));

        let (owner, mut evidence, _) = launch(b"firmware", None);
        evidence.sev.build_id = 7;
        assert!(reason(owner.judge(&evidence)).ends_with("launched has a platform with API 1.55 build 8"));

        let (owner, evidence, _) = launch(b"Firmware", None);
        let owner = owner.knowing_own_files(digest(b"Firmware"));
        assert!(reason(owner.judge(&evidence)).ends_with("as the domain's own files have"));

        let (owner, mut evidence, _) = launch(b"firmware", None);
        evidence.measurement = "?".into();
        assert!(reason(owner.judge(&evidence)).starts_with("the measurement is not base64"));
    }

    #[test]
    fn a_secret_reaches_the_platform_and_nobody_else() {
        let guid = "736869e5-84f0-4973-92ec-06879ce3da0b".parse().unwrap();
        let entry = Entry { guid, data: Zeroizing::new(b"correct horse".to_vec()) };
        let secrets = Secrets::new(&[entry], Some(0x80_c000)).unwrap();
        let (owner, evidence, keys) = launch(b"firmware", Some(secrets));
        let Verdict::Accepted { secrets } = owner.judge(&evidence) else { panic!("rejected") };
        let [packet] = secrets.as_slice() else { panic!("{secrets:?}") };
        assert_eq!(packet.gpa, Some(0x80_c000));
        let header = STANDARD.decode(&packet.header).unwrap();
        let ciphertext = STANDARD.decode(&packet.secret).unwrap();
        assert!(!ciphertext.windows(7).any(|window| window == b"correct"));
        let measurement = Measurement::parse(&STANDARD.decode(&evidence.measurement).unwrap()).unwrap();
        let opened = Packet::open(&keys, API, &measurement, &header, &ciphertext, ciphertext.len()).unwrap();
        let entries = parse_table(&opened).unwrap();
        assert_eq!(entries.first().map(|entry| entry.data.as_slice()), Some(b"correct horse".as_slice()));
    }
}
