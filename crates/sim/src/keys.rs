//! The keys a secure processor holds: what is fused into the chip, and what its owner may renew.
//!
//! ```text
//!   ARK ──> ASK ──> CEK ──┐
//!                         ├──> PEK ──> PDH
//!   OCA (owner) ──────────┘
//!   └ root, made at set-up ┘└ Chip ┘└ Identity ┘
//! ```

#![warn(clippy::disallowed_methods, clippy::disallowed_types)]

mod chip;
mod identity;
mod record;

use attest::sev::certs::Algorithm;
use attest::sev::ec::PrivateKey;

pub use chip::Chip;
pub use identity::{Identity, Owner};
pub use record::RecordError;

/// How all keys that sign are used, as every platform seen has it.
pub(crate) const SIGNING: Algorithm = Algorithm::EcdsaSha256;
/// How Diffie-Hellman keys are used.
pub(crate) const AGREEMENT: Algorithm = Algorithm::EcdhSha256;

/// Where the model takes randomness from; the shell gives it the operating system's.
pub trait Random: Send {
    /// Fills `bytes`.
    ///
    /// # Errors
    /// When there is no randomness; the command that asked then fails with `HWERROR_PLATFORM`.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoRandomness>;
}

/// The source of randomness gives none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no randomness to be had")]
pub struct NoRandomness;

/// A fresh key. A source that gives numbers outside the group again and again is as bad as none.
pub(crate) fn generate(random: &mut dyn Random) -> Result<PrivateKey, NoRandomness> {
    let mut seed = zeroize::Zeroizing::new([0; PrivateKey::LEN]);
    for _attempt in 0..4 {
        random.fill(seed.as_mut())?;
        if let Ok(key) = PrivateKey::from_bytes(&seed) {
            return Ok(key);
        }
    }
    Err(NoRandomness)
}
