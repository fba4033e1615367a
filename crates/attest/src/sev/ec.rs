//! Elliptic-curve keys and signatures in the form SEV structures hold them: P-384, little-endian, each number in a
//! field of 72 bytes (55766 App. C).
//!
//! The specification also allows P-256; every platform and tool seen uses P-384 only, and [`KeyError::Curve`] names
//! the others.

use p384::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
use sha2::{Digest, Sha256, Sha384};
use zeroize::Zeroizing;

use crate::bytes::{all_zero, put, reversed, u32_at};

/// Length of a P-384 number in bytes.
const NUMBER_LEN: usize = 48;
/// Length of the field that holds a number, in bytes.
const FIELD_LEN: usize = 72;
/// Length of two such fields: a signature (r, s) or a point (x, y).
pub const PAIR_LEN: usize = 2 * FIELD_LEN;
/// The code of P-384 in public keys.
pub const CURVE_P384: u32 = 2;

/// The hash that a signature covers its message with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
}

impl Hash {
    fn digest(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(message).to_vec(),
            Self::Sha384 => Sha384::digest(message).to_vec(),
        }
    }
}

/// Why bytes are not an elliptic-curve key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The curve's code is not the one of P-384.
    #[error("curve {0} is not P-384 (2)")]
    Curve(u32),
    /// A byte that has to be zero is not.
    #[error("bytes after the key are not zero")]
    Padding,
    /// The numbers are not a point of the curve.
    #[error("not a point of P-384")]
    Point,
    /// The number is zero or not below the group's order.
    #[error("not a private key of P-384")]
    Scalar,
}

/// A P-384 public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(p384::PublicKey);

impl PublicKey {
    /// Reads `curve u32 | x[72] | y[72] | zeros`, the public key area of a certificate.
    pub fn decode(area: &[u8]) -> Result<Self, KeyError> {
        if area.len() < 4 + PAIR_LEN {
            return Err(KeyError::Padding);
        }
        let curve = u32_at(area, 0);
        if curve != CURVE_P384 {
            return Err(KeyError::Curve(curve));
        }
        let (x, x_padding) = area[4..4 + FIELD_LEN].split_at(NUMBER_LEN);
        let (y, y_padding) = area[4 + FIELD_LEN..4 + PAIR_LEN].split_at(NUMBER_LEN);
        if !all_zero(x_padding) || !all_zero(y_padding) || !all_zero(&area[4 + PAIR_LEN..]) {
            return Err(KeyError::Padding);
        }
        let point = [&[4], reversed(x).as_slice(), reversed(y).as_slice()].concat();
        p384::PublicKey::from_sec1_bytes(&point).map(Self).map_err(|_| KeyError::Point)
    }

    /// `curve u32 | x[72] | y[72]`, the start of a certificate's public key area.
    pub fn encode(&self) -> [u8; 4 + PAIR_LEN] {
        let point = self.0.to_sec1_bytes();
        let mut area = [0; 4 + PAIR_LEN];
        put(&mut area, 0, &CURVE_P384.to_le_bytes());
        put(&mut area, 4, &reversed(&point[1..=NUMBER_LEN]));
        put(&mut area, 4 + FIELD_LEN, &reversed(&point[1 + NUMBER_LEN..]));
        area
    }

    /// Whether `signature` (`r[72] | s[72]`) was made over `message` with the private half of this key.
    pub fn verifies(&self, hash: Hash, message: &[u8], signature: &[u8; PAIR_LEN]) -> bool {
        let (r, s) = signature.split_at(FIELD_LEN);
        if !all_zero(&r[NUMBER_LEN..]) || !all_zero(&s[NUMBER_LEN..]) {
            return false;
        }
        let pair = [reversed(&r[..NUMBER_LEN]), reversed(&s[..NUMBER_LEN])].concat();
        let Ok(signature) = p384::ecdsa::Signature::from_slice(&pair) else {
            return false;
        };
        p384::ecdsa::VerifyingKey::from(&self.0).verify_prehash(&hash.digest(message), &signature).is_ok()
    }
}

/// A P-384 private key. It has no `Debug` and is zeroed when dropped.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "a key must not reach a log")]
pub struct PrivateKey(p384::SecretKey);

impl PrivateKey {
    /// Length of a private key in bytes.
    pub const LEN: usize = NUMBER_LEN;

    /// The key with this big-endian number. Of random bytes, fewer than one in 2¹⁹⁰ are refused.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Result<Self, KeyError> {
        p384::SecretKey::from_slice(bytes).map(Self).map_err(|_| KeyError::Scalar)
    }

    /// The key's number, big-endian.
    pub fn to_bytes(&self) -> Zeroizing<[u8; Self::LEN]> {
        let number = Zeroizing::new(self.0.to_bytes());
        let mut bytes = Zeroizing::new([0; Self::LEN]);
        bytes.copy_from_slice(&number);
        bytes
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.public_key())
    }

    /// The secret this key and `other` agree on: the x coordinate, 48 bytes, big-endian (55766 §2.2).
    pub fn agree(&self, other: &PublicKey) -> Zeroizing<[u8; NUMBER_LEN]> {
        let shared = p384::ecdh::diffie_hellman(self.0.to_nonzero_scalar(), other.0.as_affine());
        let mut secret = Zeroizing::new([0; NUMBER_LEN]);
        secret.copy_from_slice(shared.raw_secret_bytes());
        secret
    }

    /// Signs `message` deterministically (RFC 6979) as `r[72] | s[72]`.
    pub fn sign(&self, hash: Hash, message: &[u8]) -> [u8; PAIR_LEN] {
        let key = p384::ecdsa::SigningKey::from(&self.0);
        #[expect(clippy::expect_used, reason = "signing is total for a valid key and the digests of Hash")]
        let signature: p384::ecdsa::Signature =
            key.sign_prehash(&hash.digest(message)).expect("a digest of 32 or 48 bytes can be signed");
        let (r, s) = signature.split_bytes();
        let mut pair = [0; PAIR_LEN];
        put(&mut pair, 0, &reversed(&r));
        put(&mut pair, FIELD_LEN, &reversed(&s));
        pair
    }
}
