//! The certificates that say a secure processor is AMD's and tie the key a session is agreed with to it.
//!
//! ```text
//!   ARK ──> ARK, ASK          AMD's root and its signing key: RSA        amd::AmdCertificate
//!   ASK ──> CEK               the chip's endorsement key: P-384          certificate::Certificate
//!   OCA ──> OCA, PEK          the platform's owner
//!   CEK ──> PEK               the platform's endorsement key
//!   PEK ──> PDH               the Diffie-Hellman key a session needs
//! ```
//!
//! A certificate is kept as the bytes that were received: encoding it gives them back, and a signature is checked
//! over them. Fields are read on demand, and what has to be zero is held to it, so that no bit of a verified chain can
//! be changed unnoticed.

pub mod amd;
pub mod certificate;
pub mod chain;
pub mod roots;

pub use amd::AmdCertificate;
pub use certificate::{Algorithm, Certificate, Slot, Usage};
pub use chain::{Chain, ChainError, Link, PlatformChain, TrustRoot};
