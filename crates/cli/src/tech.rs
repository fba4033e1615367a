//! The technologies as a command line names them.

use clap::ValueEnum;

/// `--tech`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tech {
    /// Encrypted memory
    Sev,
    /// Encrypted registers, too
    SevEs,
    /// Memory whose integrity is protected, too
    SevSnp,
}

impl From<Tech> for qemu::Technology {
    fn from(tech: Tech) -> Self {
        match tech {
            Tech::Sev => Self::Sev,
            Tech::SevEs => Self::SevEs,
            Tech::SevSnp => Self::SevSnp,
        }
    }
}
