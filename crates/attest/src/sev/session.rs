//! The session between a guest's owner and one platform: both sides of LAUNCH_START (55766 §2.2, §6.2).
//!
//! The owner draws a Diffie-Hellman key of its own (GODH), agrees with the platform's (PDH) on a secret, and wraps the
//! guest's transport keys with it:
//!
//! ```text
//! z      = ECDH(GODH, PDH)
//! master = KDF(z, "sev-master-secret", nonce)
//! KEK    = KDF(master, "sev-kek", "")           KIK = KDF(master, "sev-kik", "")
//!
//! offset  bytes   launch blob
//!      0     16   nonce
//!     16     32   wrapped keys: AES-128-CTR(KEK, iv, TEK | TIK)
//!     48     16   iv
//!     64     32   wrap MAC:   HMAC-SHA256(KIK, wrapped keys)
//!     96     32   policy MAC: HMAC-SHA256(TIK, policy)
//! ```
//!
//! Who receives the blob learns nothing from it, and can neither change the policy nor start another guest with it on
//! another platform.

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::ApiVersion;
use super::certs::{Algorithm, Certificate, Usage};
use super::ec::{KeyError, PrivateKey, PublicKey};
use super::kdf;
use super::keys::{Tek, Tik, TransportKeys};
use super::policy::Policy;
use crate::bytes::{array_at, put};

/// The randomness of one session, which the caller draws. It must not be used twice.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
#[expect(missing_debug_implementations, reason = "keys must not reach a log")]
pub struct Entropy([u8; Self::LEN]);

impl Entropy {
    /// How many random bytes a session needs.
    pub const LEN: usize = 48 + 4 * 16;

    /// Takes the bytes of a cryptographic random generator. Zero the original afterwards.
    pub fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }
}

/// What starts a guest, and what its owner keeps.
#[expect(missing_debug_implementations, reason = "keys must not reach a log")]
pub struct Session {
    /// The guest owner's Diffie-Hellman certificate, for the host (`dhCert`).
    pub godh: Certificate,
    /// The launch blob, for the host (`session`).
    pub blob: LaunchBlob,
    /// The transport keys, for the owner alone.
    pub keys: TransportKeys,
}

impl Session {
    /// Makes a session with the platform that `pdh` belongs to, for guests of one policy.
    ///
    /// Verify the platform's chain first: [`super::certs::Chain::verify`] returns its key. The GODH certificate
    /// carries the API version of the `pdh` certificate's firmware, as platforms expect one they know.
    ///
    /// # Errors
    ///
    /// Fewer than one in 2¹⁹⁰ draws of [`Entropy`] are not a key.
    pub fn create(
        pdh: &PublicKey,
        api: ApiVersion,
        policy: Policy,
        entropy: &Entropy,
    ) -> Result<Self, KeyError> {
        let drawn: &[u8] = &entropy.0;
        let secret_number = Zeroizing::new(array_at(drawn, 0));
        let private = PrivateKey::from_bytes(&secret_number)?;
        let keys = TransportKeys { tek: Tek::new(array_at(drawn, 48)), tik: Tik::new(array_at(drawn, 64)) };
        let wrapping = WrappingKeys::agree(&private, pdh, &array_at(drawn, 80));
        let blob = LaunchBlob::seal(&wrapping, &array_at(drawn, 96), &keys, policy);
        let godh = Certificate::new(api, Usage::Pdh, Algorithm::EcdhSha256, &private.public_key());
        Ok(Self { godh, blob, keys })
    }
}

/// The keys that protect a launch blob, and the nonce they were derived with.
#[derive(Zeroize, ZeroizeOnDrop)]
#[expect(missing_debug_implementations, reason = "keys must not reach a log")]
pub struct WrappingKeys {
    kek: [u8; 16],
    kik: [u8; 16],
    nonce: [u8; 16],
}

impl WrappingKeys {
    /// Agrees on the keys: the same from (GODH private, PDH public) and from (PDH private, GODH public).
    pub fn agree(private: &PrivateKey, public: &PublicKey, nonce: &[u8; 16]) -> Self {
        Self::derive(&*private.agree(public), nonce)
    }

    fn derive(shared_secret: &[u8], nonce: &[u8; 16]) -> Self {
        let master = kdf::derive(shared_secret, "sev-master-secret", nonce);
        Self {
            kek: *kdf::derive(&*master, "sev-kek", &[]),
            kik: *kdf::derive(&*master, "sev-kik", &[]),
            nonce: *nonce,
        }
    }
}

/// The launch blob, as LAUNCH_START receives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchBlob([u8; Self::LEN]);

/// A launch blob has the wrong length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a launch blob has {} bytes, this has {len}", LaunchBlob::LEN)]
pub struct BlobLength {
    /// How many bytes there are.
    pub len: usize,
}

/// Why a platform refuses a launch blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The wrapped keys were made for another platform key or were changed (BAD_MEASUREMENT).
    #[error("the wrapped keys do not authenticate: the blob is for another platform key, or was changed")]
    WrapMac,
    /// The guest's policy is not the one the blob was made for (BAD_MEASUREMENT).
    #[error("the policy does not authenticate: the blob was made for another policy")]
    PolicyMac,
}

impl LaunchBlob {
    /// Length of a launch blob in bytes.
    pub const LEN: usize = 128;

    /// The owner's side: wraps the keys and binds them to the policy.
    pub fn seal(wrapping: &WrappingKeys, iv: &[u8; 16], keys: &TransportKeys, policy: Policy) -> Self {
        let mut wrapped = Zeroizing::new([0; 32]);
        put(&mut *wrapped, 0, keys.tek.as_bytes());
        put(&mut *wrapped, 16, keys.tik.as_bytes());
        kdf::aes128_ctr(&wrapping.kek, iv, &mut *wrapped);

        let mut blob = [0; Self::LEN];
        put(&mut blob, 0, &wrapping.nonce);
        put(&mut blob, 16, &*wrapped);
        put(&mut blob, 48, iv);
        put(&mut blob, 64, &kdf::hmac_sha256(&wrapping.kik, &[&*wrapped]));
        put(&mut blob, 96, &policy_mac(&keys.tik, policy));
        Self(blob)
    }

    /// The platform's side: unwraps the keys with the private half of the PDH and the owner's certified key, and checks
    /// that the blob was made for `policy`.
    pub fn open(
        &self,
        pdh: &PrivateKey,
        godh: &PublicKey,
        policy: Policy,
    ) -> Result<TransportKeys, OpenError> {
        self.unwrap_with(&WrappingKeys::agree(pdh, godh, &self.nonce()), policy)
    }

    fn unwrap_with(&self, wrapping: &WrappingKeys, policy: Policy) -> Result<TransportKeys, OpenError> {
        let mut wrapped: Zeroizing<[u8; 32]> = Zeroizing::new(array_at(&self.0, 16));
        let wrap_mac = kdf::hmac_sha256(&wrapping.kik, &[&*wrapped]);
        if !kdf::equal(&wrap_mac, &array_at(&self.0, 64)) {
            return Err(OpenError::WrapMac);
        }
        kdf::aes128_ctr(&wrapping.kek, &array_at(&self.0, 48), &mut *wrapped);
        let keys =
            TransportKeys { tek: Tek::new(array_at(&*wrapped, 0)), tik: Tik::new(array_at(&*wrapped, 16)) };
        if !kdf::equal(&policy_mac(&keys.tik, policy), &array_at(&self.0, 96)) {
            return Err(OpenError::PolicyMac);
        }
        Ok(keys)
    }

    /// Reads a blob of 128 bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, BlobLength> {
        let blob = bytes.try_into().map_err(|_| BlobLength { len: bytes.len() })?;
        Ok(Self(blob))
    }

    /// The blob's bytes.
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The nonce the wrapping keys are derived with.
    pub fn nonce(&self) -> [u8; 16] {
        array_at(&self.0, 0)
    }

    /// Whether an owner who knows the integrity key made this blob for `policy`.
    pub fn is_for_policy(&self, tik: &Tik, policy: Policy) -> bool {
        kdf::equal(&policy_mac(tik, policy), &array_at(&self.0, 96))
    }
}

fn policy_mac(tik: &Tik, policy: Policy) -> [u8; 32] {
    kdf::hmac_sha256(tik.as_bytes(), &[&policy.0.to_le_bytes()])
}

#[cfg(test)]
mod tests;
