//! The launch measurement: the secure processor's word on what it loaded, for the owner who shares its integrity key
//! (55766 §6.5).
//!
//! Two things are easily confused. The *launch digest* is a plain SHA-256 over what was loaded ([`super::digest`]);
//! anybody can compute it. The *measurement* is
//!
//! ```text
//! HMAC-SHA256(TIK, 4 | API major | API minor | build | policy u32 | launch digest | nonce)
//! ```
//!
//! which only the owner and the secure processor can, and which says so for this launch alone: the processor draws
//! the nonce. It covers the firmware image and, when the launch has them, the kernel hash table and the initial
//! register state; never a disk.

use std::fmt;

use super::digest::LaunchDigest;
use super::keys::Tik;
use super::policy::Policy;
use super::{ApiVersion, FirmwareVersion, kdf};
use crate::bytes::{array_at, put, write_hex};

/// The first API whose measurements cover the firmware's version.
const FIRST_WITH_VERSION: ApiVersion = ApiVersion { major: 0, minor: 17 };

/// All that a measurement says besides its nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The secure processor's firmware, as platform status and QEMU's `query-sev` report it.
    pub firmware: FirmwareVersion,
    /// The guest's policy.
    pub policy: Policy,
    /// What was loaded.
    pub digest: LaunchDigest,
}

impl Launch {
    /// The authentication code of this launch with `nonce`. Firmware before API 0.17 leaves its version out.
    pub fn mac(&self, tik: &Tik, nonce: &[u8; 16]) -> [u8; 32] {
        let FirmwareVersion { api, build } = self.firmware;
        let context = [4, api.major, api.minor, build];
        let context: &[u8] = if api >= FIRST_WITH_VERSION { &context } else { &[] };
        kdf::hmac_sha256(
            tik.as_bytes(),
            &[context, &self.policy.0.to_le_bytes(), self.digest.as_bytes(), nonce],
        )
    }
}

/// What LAUNCH_MEASURE returns: an authentication code and the nonce it was made with.
///
/// # Examples
///
/// ```
/// use attest::sev::digest::LaunchHasher;
/// use attest::sev::keys::Tik;
/// use attest::sev::measurement::{Launch, Measurement};
/// use attest::sev::policy::Policy;
/// use attest::sev::{ApiVersion, FirmwareVersion};
///
/// let tik = Tik::new([1; 16]);
/// let mut hasher = LaunchHasher::new();
/// hasher.update(b"the firmware image");
/// let launch = Launch {
///     firmware: FirmwareVersion { api: ApiVersion { major: 1, minor: 55 }, build: 8 },
///     policy: Policy(1),
///     digest: hasher.finish(),
/// };
/// let measurement = Measurement::create(&launch, &tik, [2; 16]);
/// assert!(measurement.verify(&launch, &tik).is_ok());
/// assert!(measurement.verify(&launch, &Tik::new([3; 16])).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measurement {
    mac: [u8; 32],
    nonce: [u8; 16],
}

/// A measurement has the wrong length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a launch measurement has {} bytes, this has {len}", Measurement::LEN)]
pub struct MeasurementLength {
    /// How many bytes there are.
    pub len: usize,
}

/// A measurement does not prove the launch that was expected.
///
/// The code is one hash over everything, so it cannot tell which part differs: what was loaded, the policy, the
/// firmware's version, or the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the measurement does not prove the expected launch")]
pub struct Mismatch;

impl Measurement {
    /// Length of a measurement in bytes: 32 of the code, 16 of the nonce.
    pub const LEN: usize = 48;

    /// The secure processor's side; `nonce` must be drawn for this launch.
    pub fn create(launch: &Launch, tik: &Tik, nonce: [u8; 16]) -> Self {
        let mac = launch.mac(tik, &nonce);
        Self { mac, nonce }
    }

    /// Reads the 48 bytes that LAUNCH_MEASURE returned.
    pub fn parse(bytes: &[u8]) -> Result<Self, MeasurementLength> {
        if bytes.len() != Self::LEN {
            return Err(MeasurementLength { len: bytes.len() });
        }
        Ok(Self { mac: array_at(bytes, 0), nonce: array_at(bytes, 32) })
    }

    /// The 48 bytes.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        put(&mut bytes, 0, &self.mac);
        put(&mut bytes, 32, &self.nonce);
        bytes
    }

    /// The authentication code, which secrets for this launch are bound to.
    pub fn mac(&self) -> &[u8; 32] {
        &self.mac
    }

    /// The nonce.
    pub fn nonce(&self) -> &[u8; 16] {
        &self.nonce
    }

    /// The owner's side: whether a secure processor with this integrity key loaded exactly `launch`.
    /// Takes the same time wherever the codes differ.
    pub fn verify(&self, launch: &Launch, tik: &Tik) -> Result<(), Mismatch> {
        if kdf::equal(&launch.mac(tik, &self.nonce), &self.mac) { Ok(()) } else { Err(Mismatch) }
    }
}

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.to_bytes())
    }
}

#[cfg(test)]
mod tests;
