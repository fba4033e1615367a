//! `<launchSecurity>`: what makes a guest confidential.

use super::Switch;

/// `<launchSecurity type=…>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaunchSecurity {
    Sev(Sev),
    SevSnp(Box<SevSnp>),
    /// A kind that sevirt cannot run (`tdx`, `s390-pv`, …): kept in the document, refused by name at start.
    Other {
        kind: String,
    },
}

impl LaunchSecurity {
    /// `cbitpos`, where it is said.
    pub fn cbitpos(&self) -> Option<u32> {
        match self {
            Self::Sev(sev) => sev.cbitpos,
            Self::SevSnp(snp) => snp.cbitpos,
            Self::Other { .. } => None,
        }
    }

    /// `reducedPhysBits`, where it is said.
    pub fn reduced_phys_bits(&self) -> Option<u32> {
        match self {
            Self::Sev(sev) => sev.reduced_phys_bits,
            Self::SevSnp(snp) => snp.reduced_phys_bits,
            Self::Other { .. } => None,
        }
    }

    /// `kernelHashes`, where it is said.
    pub fn kernel_hashes(&self) -> Option<Switch> {
        match self {
            Self::Sev(sev) => sev.kernel_hashes,
            Self::SevSnp(snp) => snp.kernel_hashes,
            Self::Other { .. } => None,
        }
    }
}

/// `type='sev'`: SEV, or SEV-ES where the policy asks for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sev {
    pub kernel_hashes: Option<Switch>,
    /// Position of the C-bit in a page table entry.
    pub cbitpos: Option<u32>,
    /// Physical address bits lost to encryption.
    pub reduced_phys_bits: Option<u32>,
    /// The guest policy of AMD 55766 §2; `None` where it is missing or unreadable, which is a problem.
    pub policy: Option<u32>,
    /// The guest owner's Diffie-Hellman certificate, base64.
    pub dh_cert: Option<String>,
    /// The guest owner's session blob, base64.
    pub session: Option<String>,
}

impl Sev {
    /// Bit 2 of the policy: encrypted register state.
    pub fn is_es(&self) -> bool {
        self.policy.is_some_and(|policy| policy & 4 != 0)
    }
}

/// `type='sev-snp'`. The blobs are base64, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SevSnp {
    pub kernel_hashes: Option<Switch>,
    pub author_key: Option<Switch>,
    pub vcek: Option<Switch>,
    pub cbitpos: Option<u32>,
    pub reduced_phys_bits: Option<u32>,
    /// The guest policy of AMD 56860 §4.3; `None` where it is missing or unreadable, which is a problem.
    pub policy: Option<u64>,
    /// 16 bytes.
    pub guest_visible_workarounds: Option<String>,
    /// 96 bytes.
    pub id_block: Option<String>,
    /// 4096 bytes.
    pub id_auth: Option<String>,
    /// 32 bytes.
    pub host_data: Option<String>,
}
