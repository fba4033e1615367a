//! The two transport keys that an owner shares with the secure processor for the life of one guest.
//!
//! Neither has a `Debug` or `Display`, and both are zeroed when dropped.

use zeroize::{Zeroize, ZeroizeOnDrop};

/// The transport integrity key: authenticates measurements, policies and secrets.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
#[expect(missing_debug_implementations, reason = "a key must not reach a log")]
pub struct Tik([u8; 16]);

/// The transport encryption key: hides secrets on their way into the guest.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
#[expect(missing_debug_implementations, reason = "a key must not reach a log")]
pub struct Tek([u8; 16]);

/// Both keys of a guest.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "keys must not reach a log")]
pub struct TransportKeys {
    /// The encryption key.
    pub tek: Tek,
    /// The integrity key.
    pub tik: Tik,
}

/// A key file does not hold 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a transport key has 16 bytes, this has {len}")]
pub struct KeyLength {
    /// The number of bytes that were given.
    pub len: usize,
}

impl Tik {
    /// The key with these bytes.
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Reads a key as it lies in its file: 16 bytes.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, KeyLength> {
        let key = bytes.try_into().map_err(|_| KeyLength { len: bytes.len() })?;
        Ok(Self(key))
    }

    /// The key's bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl Tek {
    /// The key with these bytes.
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Reads a key as it lies in its file: 16 bytes.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, KeyLength> {
        let key = bytes.try_into().map_err(|_| KeyLength { len: bytes.len() })?;
        Ok(Self(key))
    }

    /// The key's bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}
