//! The kinds of confidential guests that AMD processors run.

use domain::model::launch_security::LaunchSecurity;
use serde::{Deserialize, Serialize};

/// What protects a confidential guest. Each one builds upon those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Technology {
    /// Encrypted memory.
    Sev,
    /// Encrypted registers, too.
    SevEs,
    /// Memory whose integrity is protected, too.
    SevSnp,
}

impl Technology {
    pub const ALL: [Self; 3] = [Self::Sev, Self::SevEs, Self::SevSnp];

    /// What a domain asks for; `None` for what is not AMD's.
    pub fn of(security: &LaunchSecurity) -> Option<Self> {
        Some(match security {
            LaunchSecurity::Sev(sev) if sev.is_es() => Self::SevEs,
            LaunchSecurity::Sev(_) => Self::Sev,
            LaunchSecurity::SevSnp(_) => Self::SevSnp,
            LaunchSecurity::Other { .. } => return None,
        })
    }

    /// The word by which commands and `<launchSecurity>` name it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Sev => "sev",
            Self::SevEs => "sev-es",
            Self::SevSnp => "sev-snp",
        }
    }

    /// The kernel's word: a flag of the processor and a parameter of `kvm_amd`.
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Sev => "sev",
            Self::SevEs => "sev_es",
            Self::SevSnp => "sev_snp",
        }
    }

    /// The word by which firmware descriptors offer it.
    pub fn feature(self) -> &'static str {
        match self {
            Self::Sev => "amd-sev",
            Self::SevEs => "amd-sev-es",
            Self::SevSnp => "amd-sev-snp",
        }
    }
}

impl std::fmt::Display for Technology {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sev => "SEV",
            Self::SevEs => "SEV-ES",
            Self::SevSnp => "SEV-SNP",
        })
    }
}
