//! AMD's published root and signing keys, one pair for each generation of processors.
//!
//! An owner who distrusts this copy compares it with AMD's, `ask_ark_<generation>.cert`.

use std::fmt;
use std::str::FromStr;

use super::amd::{AmdCertificate, AmdCertificateError};

/// A generation of EPYC processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Generation {
    /// First: 7xx1.
    Naples,
    /// Second: 7xx2.
    Rome,
    /// Third: 7xx3.
    Milan,
    /// Fourth: 9xx4, 8xx4.
    Genoa,
    /// Fifth: 9xx5.
    Turin,
}

/// Text names no generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the generations are naples, rome, milan, genoa and turin")]
pub struct UnknownGeneration;

impl Generation {
    /// All generations, the oldest first.
    pub const ALL: [Self; 5] = [Self::Naples, Self::Rome, Self::Milan, Self::Genoa, Self::Turin];

    /// The bytes of the generation's ARK and ASK.
    pub fn bytes(self) -> (&'static [u8], &'static [u8]) {
        macro_rules! pair {
            ($name:literal) => {
                (
                    include_bytes!(concat!("../../../roots/", $name, "-ark.cert")),
                    include_bytes!(concat!("../../../roots/", $name, "-ask.cert")),
                )
            };
        }
        match self {
            Self::Naples => pair!("naples"),
            Self::Rome => pair!("rome"),
            Self::Milan => pair!("milan"),
            Self::Genoa => pair!("genoa"),
            Self::Turin => pair!("turin"),
        }
    }

    /// The generation's ARK and ASK.
    ///
    /// # Errors
    ///
    /// None in practice: the tests parse all of them.
    pub fn certificates(self) -> Result<(AmdCertificate, AmdCertificate), AmdCertificateError> {
        let (ark, ask) = self.bytes();
        Ok((AmdCertificate::parse(ark)?, AmdCertificate::parse(ask)?))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Naples => "naples",
            Self::Rome => "rome",
            Self::Milan => "milan",
            Self::Genoa => "genoa",
            Self::Turin => "turin",
        })
    }
}

impl FromStr for Generation {
    type Err = UnknownGeneration;

    fn from_str(text: &str) -> Result<Self, UnknownGeneration> {
        Self::ALL.into_iter().find(|generation| generation.to_string() == text).ok_or(UnknownGeneration)
    }
}
