//! The launch protocol of SEV and SEV-ES (AMD publication 55766), both sides of it.
//!
//! ```text
//! owner                                              secure processor
//! ─────                                              ────────────────
//! certs::Chain::verify      <── chain, PDH ───────   (PDH_CERT_EXPORT)
//! session::Session::create  ─── GODH, blob ──────>   session::LaunchBlob::open        (LAUNCH_START)
//!                                                    digest::LaunchHasher             (LAUNCH_UPDATE_DATA, _VMSA)
//! measurement::verify       <── 48-byte blob ─────   measurement::Measurement::create (LAUNCH_MEASURE)
//! secret::Packet::seal      ─── header, bytes ───>   secret::Packet::open             (LAUNCH_SECRET)
//! report verification       <── 208 bytes ────────   report::AttestationReport        (ATTESTATION)
//! ```

pub mod certs;
pub mod digest;
pub mod ec;
pub mod explain;
pub mod kdf;
pub mod kernel_hashes;
pub mod keys;
pub mod measurement;
pub mod policy;
pub mod report;
pub mod secret;
pub mod session;
pub mod vmsa;

use std::fmt;

/// A version of the SEV API, as platform status, certificates and policies carry it.
///
/// # Examples
///
/// ```
/// use attest::sev::ApiVersion;
///
/// assert!(ApiVersion { major: 1, minor: 55 } > ApiVersion { major: 0, minor: 24 });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion {
    /// The major version.
    pub major: u8,
    /// The minor version.
    pub minor: u8,
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The firmware of a secure processor: its API and its build number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FirmwareVersion {
    /// The API it implements.
    pub api: ApiVersion,
    /// Its build.
    pub build: u8,
}

impl fmt::Display for FirmwareVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} build {}", self.api, self.build)
    }
}
