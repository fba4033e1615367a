//! `sevsim init`: makes a root (ARK), its signing key (ASK), a chip and a platform's first identity, once.
//!
//! Every step whose file is there is left out, so that a run that was interrupted is completed by the next, and a run on a
//! complete directory changes nothing. RSA keys come from the `openssl` program: no library here generates them.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use attest::sev::certs::amd::{AmdCertificate, AmdCertificateError, AmdCertificateFields, RsaSize};
use attest::sev::certs::{Chain, ChainError, Slot, Usage};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::{self, KeyPair as _};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::keys::{Chip, Identity, NoRandomness, Random, RecordError};
use crate::platform::FIRMWARE;
use crate::store::{Secrecy, Store, StoreError};

/// The root's certificate, in AMD's format.
pub const ARK_CERTIFICATE: &str = "ark.cert";
/// The signing key's certificate, in AMD's format.
pub const ASK_CERTIFICATE: &str = "ask.cert";
/// The chip's certificate, signed by the ASK.
pub const CEK_CERTIFICATE: &str = "cek.cert";
/// ASK and ARK one after the other, as AMD publishes its own: what `--trust-root` takes.
pub const TRUST_ROOT: &str = "trust-root.cert";

const ARK_KEY: &str = "ark.key";
const ASK_KEY: &str = "ask.key";
const CHIP: &str = "chip";
const IDENTITY: &str = "identity";

/// What a state directory holds.
#[expect(missing_debug_implementations, reason = "keys must not reach a log")]
pub struct State {
    /// The root's certificate.
    pub ark: AmdCertificate,
    /// The signing key's certificate.
    pub ask: AmdCertificate,
    /// The chip.
    pub chip: Chip,
    /// The platform's identity.
    pub identity: Identity,
}

/// Why a state directory cannot be set up or used.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("`{directory}` has no `{name}`: run `sevsim init --state-dir {directory}` first")]
    Missing { directory: PathBuf, name: &'static str },
    #[error("start `{command}`: is the openssl program installed?")]
    OpensslStart { command: String, source: io::Error },
    #[error("`{command}` failed: {message}")]
    Openssl { command: String, message: String },
    #[error("`{name}` is not an RSA-4096 key: {reason}")]
    RsaKey { name: &'static str, reason: String },
    #[error("sign with `{0}`")]
    Sign(&'static str),
    #[error("`{name}` is not a certificate")]
    Certificate { name: &'static str, source: AmdCertificateError },
    #[error("`{name}` is damaged")]
    Record { name: &'static str, source: RecordError },
    #[error("`{0}` is for other keys than those beside it")]
    Foreign(&'static str),
    #[error("the keys of the state directory do not belong together")]
    Chain(#[source] ChainError),
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

/// Whether anything was to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// Something was missing and has been made.
    Made,
    /// All was there.
    Nothing,
}

/// Completes the state directory and checks that all in it belongs together.
///
/// # Errors
/// When a key cannot be made or stored, or what is there does not fit together.
pub fn init(directory: &Path, random: &mut dyn Random) -> Result<(State, Done), SetupError> {
    let store = Store::create(directory)?;
    let mut setup = Setup { store: &store, done: Done::Nothing };
    let ark_key = setup.rsa_key(ARK_KEY)?;
    let ask_key = setup.rsa_key(ASK_KEY)?;
    let ark = setup.amd_certificate(ARK_CERTIFICATE, Usage::Ark, &ark_key, &ark_key)?;
    let ask = setup.amd_certificate(ASK_CERTIFICATE, Usage::Ask, &ask_key, &ark_key)?;
    setup.public(TRUST_ROOT, &[ask.as_bytes(), ark.as_bytes()].concat())?;
    let chip = setup.chip(&ask_key, random)?;
    setup.public(CEK_CERTIFICATE, chip.certificate().as_bytes())?;
    let identity = setup.identity(&chip, random)?;
    let done = setup.done;
    let state = State { ark, ask, chip, identity };
    state.check()?;
    Ok((state, done))
}

/// Reads a complete state directory, which stays locked by `store`.
///
/// # Errors
/// When something is missing or damaged.
pub fn load(store: &Store, directory: &Path) -> Result<State, SetupError> {
    let missing = |name| SetupError::Missing { directory: directory.into(), name };
    let read = |name| store.read(name)?.ok_or_else(|| missing(name));
    let certificate =
        |name| AmdCertificate::parse(&read(name)?).map_err(|source| SetupError::Certificate { name, source });
    let chip = Chip::from_record(&read(CHIP)?).map_err(|source| SetupError::Record { name: CHIP, source })?;
    let identity = Identity::from_record(&read(IDENTITY)?);
    let state = State {
        ark: certificate(ARK_CERTIFICATE)?,
        ask: certificate(ASK_CERTIFICATE)?,
        chip,
        identity: identity.map_err(|source| SetupError::Record { name: IDENTITY, source })?,
    };
    state.check()?;
    Ok(state)
}

/// Stores a platform's identity in place of the one before.
///
/// # Errors
/// When it cannot be written; the one before then still stands.
pub fn save_identity(store: &Store, identity: &Identity) -> Result<(), StoreError> {
    store.write(IDENTITY, &identity.to_record(), Secrecy::Private)
}

impl State {
    /// The certificates from the root to the Diffie-Hellman key.
    #[must_use]
    pub fn chain(&self) -> Chain {
        Chain {
            ark: self.ark.clone(),
            ask: self.ask.clone(),
            cek: self.chip.certificate().clone(),
            oca: self.identity.oca().clone(),
            pek: self.identity.pek().clone(),
            pdh: self.identity.pdh().clone(),
        }
    }

    fn check(&self) -> Result<(), SetupError> {
        self.chain().verify(&self.ark).map(drop).map_err(SetupError::Chain)
    }
}

struct Setup<'s> {
    store: &'s Store,
    done: Done,
}

impl Setup<'_> {
    fn write(&mut self, name: &str, contents: &[u8], secrecy: Secrecy) -> Result<(), SetupError> {
        self.done = Done::Made;
        Ok(self.store.write(name, contents, secrecy)?)
    }

    /// A public file whose contents follow from the keys.
    fn public(&mut self, name: &str, contents: &[u8]) -> Result<(), SetupError> {
        match self.store.read(name)? {
            Some(present) if present.as_slice() == contents => Ok(()),
            _ => self.write(name, contents, Secrecy::Public),
        }
    }

    fn rsa_key(&mut self, name: &'static str) -> Result<KeyPair, SetupError> {
        let pkcs8 = match self.store.read(name)? {
            Some(pkcs8) => pkcs8,
            None => {
                let pkcs8 = generate_rsa()?;
                self.write(name, &pkcs8, Secrecy::Private)?;
                pkcs8
            }
        };
        let key = KeyPair::from_pkcs8(&pkcs8);
        let key = key.map_err(|rejected| SetupError::RsaKey { name, reason: rejected.to_string() })?;
        match key.public().modulus_len() {
            512 => Ok(key),
            length => {
                Err(SetupError::RsaKey { name, reason: format!("it has {} bits", length.saturating_mul(8)) })
            }
        }
    }

    fn amd_certificate(
        &mut self,
        name: &'static str,
        usage: Usage,
        key: &KeyPair,
        signer: &KeyPair,
    ) -> Result<AmdCertificate, SetupError> {
        if let Some(present) = self.store.read(name)? {
            let present =
                AmdCertificate::parse(&present).map_err(|source| SetupError::Certificate { name, source })?;
            let is_ours = present.key_id() == key_id(key) && present.certifying_id() == key_id(signer);
            return if is_ours { Ok(present) } else { Err(SetupError::Foreign(name)) };
        }
        let public = signature::RsaPublicKeyComponents::<Vec<u8>>::from(key.public_key());
        let fields = AmdCertificateFields {
            key_id: key_id(key),
            certifying_id: key_id(signer),
            usage,
            size: RsaSize::Bits4096,
            exponent: &public.e,
            modulus: &public.n,
        };
        let unsigned = AmdCertificate::unsigned(&fields).ok_or(SetupError::Sign(name))?;
        let signature = sign(name, signer, &unsigned)?;
        let certificate = AmdCertificate::with_signature(&unsigned, &signature);
        let certificate = certificate.map_err(|source| SetupError::Certificate { name, source })?;
        self.write(name, certificate.as_bytes(), Secrecy::Public)?;
        Ok(certificate)
    }

    fn chip(&mut self, ask: &KeyPair, random: &mut dyn Random) -> Result<Chip, SetupError> {
        if let Some(record) = self.store.read(CHIP)? {
            return Chip::from_record(&record).map_err(|source| SetupError::Record { name: CHIP, source });
        }
        let mut chip = Chip::generate(FIRMWARE.api, random)?;
        let signature = sign(ASK_KEY, ask, chip.certificate().signed_bytes())?;
        let algorithm = RsaSize::Bits4096.algorithm();
        chip.certificate_mut().put_rsa_signature(Slot::First, Usage::Ask, algorithm, &signature);
        self.write(CHIP, &chip.to_record(), Secrecy::Private)?;
        Ok(chip)
    }

    fn identity(&mut self, chip: &Chip, random: &mut dyn Random) -> Result<Identity, SetupError> {
        if let Some(record) = self.store.read(IDENTITY)? {
            return Identity::from_record(&record)
                .map_err(|source| SetupError::Record { name: IDENTITY, source });
        }
        let identity = Identity::generate(chip, FIRMWARE.api, random)?;
        self.write(IDENTITY, &identity.to_record(), Secrecy::Private)?;
        Ok(identity)
    }
}

/// A key's name in certificates: it says what it is to whoever looks, and differs from root to root.
fn key_id(key: &KeyPair) -> [u8; 16] {
    let mut id = *b"SIMULATED\0\0\0\0\0\0\0";
    let digest = Sha256::digest(key.public_key().as_ref());
    for (byte, value) in id.iter_mut().skip("SIMULATED".len()).zip(digest) {
        *byte = value;
    }
    id
}

fn sign(name: &'static str, key: &KeyPair, message: &[u8]) -> Result<Vec<u8>, SetupError> {
    let mut signature = vec![0; key.public().modulus_len()];
    let signed = key.sign(&signature::RSA_PSS_SHA384, &SystemRandom::new(), message, &mut signature);
    signed.map(|()| signature).map_err(|_| SetupError::Sign(name))
}

/// A fresh RSA-4096 key as PKCS#8, by way of a pipe: it touches no disk before it is stored.
fn generate_rsa() -> Result<Zeroizing<Vec<u8>>, SetupError> {
    let arguments = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"];
    let command = format!("openssl {}", arguments.join(" "));
    let started = Command::new("openssl").args(arguments).stdin(Stdio::null()).output();
    let output = match started {
        Ok(output) => output,
        Err(source) => return Err(SetupError::OpensslStart { command, source }),
    };
    if output.status.success() {
        let pem = Zeroizing::new(output.stdout);
        decode_pem(&pem)
            .ok_or_else(|| SetupError::Openssl { command, message: "it wrote no private key".to_owned() })
    } else {
        // The last line: those before are a picture of progress.
        let message = String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned();
        Err(SetupError::Openssl { command, message })
    }
}

/// The bytes within the armour. Only as PEM does every version of the program write PKCS#8.
fn decode_pem(pem: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let text = std::str::from_utf8(pem).ok()?.trim();
    let body = text.strip_prefix("-----BEGIN PRIVATE KEY-----")?.strip_suffix("-----END PRIVATE KEY-----")?;
    let mut digits = Zeroizing::new(String::with_capacity(body.len()));
    digits.extend(body.split_ascii_whitespace());
    STANDARD.decode(&*digits).ok().map(Zeroizing::new)
}
