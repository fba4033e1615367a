//! The guest policy that a user asks for, in words or as a number.

use attest::{sev, snp};

use crate::Technology;

/// A policy that fits the technology it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// AMD 55766 §3.
    Sev(sev::policy::Policy),
    /// AMD 56860 §4.3.
    Snp(snp::policy::Policy),
}

/// Why words are no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("`{word}` is no word of a policy for {technology}: it knows {known}, and hexadecimal numbers")]
    UnknownWord { word: String, technology: Technology, known: String },
    #[error("the policy {value:#x} for {technology} sets bits {bits:#x}, which must be zero")]
    Reserved { value: u64, bits: u64, technology: Technology },
    #[error("the policy {0:#x} asks for encrypted registers (bit 2); that is SEV-ES")]
    AsksForEs(u64),
    #[error("the policy {0:#x} does not ask for encrypted registers (bit 2), which SEV-ES is")]
    LacksEs(u64),
    #[error("the policy {0:#x} lacks bit 17, which must be set")]
    LacksBit17(u64),
}

/// Bits by name. What forbids something that is not allowed anyway is there for symmetry and sets none.
const SEV_WORDS: &[(&str, u64)] = &[
    ("no-debug", sev::policy::Policy::NO_DEBUG as u64),
    ("no-key-sharing", sev::policy::Policy::NO_KEY_SHARING as u64),
    ("es", sev::policy::Policy::ES as u64),
    ("no-send", sev::policy::Policy::NO_SEND as u64),
    ("domain", sev::policy::Policy::DOMAIN as u64),
    ("sev", sev::policy::Policy::SEV as u64),
];

const SNP_WORDS: &[(&str, u64)] = &[
    ("no-debug", 0),
    ("smt", snp::policy::Policy::SMT),
    ("migrate", snp::policy::Policy::MIGRATE_MA),
    ("debug", snp::policy::Policy::DEBUG),
    ("single-socket", snp::policy::Policy::SINGLE_SOCKET),
    ("cxl", snp::policy::Policy::CXL_ALLOW),
    ("aes-256-xts", snp::policy::Policy::MEM_AES_256_XTS),
    ("no-power-limits", snp::policy::Policy::RAPL_DIS),
    ("ciphertext-hiding", snp::policy::Policy::CIPHERTEXT_HIDING_DRAM),
    ("no-page-swap", snp::policy::Policy::PAGE_SWAP_DISABLE),
];

impl Policy {
    /// What a careful owner asks for: nobody debugs the guest, and no other guest gets its key. SMT is allowed, since
    /// most hosts have it on and refuse to start a guest that forbids it.
    #[must_use]
    pub fn usual(technology: Technology) -> Self {
        use sev::policy::Policy as Sev;
        match technology {
            Technology::Sev => Self::Sev(Sev(Sev::NO_DEBUG | Sev::NO_KEY_SHARING)),
            Technology::SevEs => Self::Sev(Sev(Sev::NO_DEBUG | Sev::NO_KEY_SHARING | Sev::ES)),
            Technology::SevSnp => {
                Self::Snp(snp::policy::Policy(snp::policy::Policy::RESERVED_ONE | snp::policy::Policy::SMT))
            }
        }
    }

    /// Reads `no-debug,es,…` or `0x7`, or both together. Words ask for what the technology itself needs, too; a number
    /// must say it.
    ///
    /// # Errors
    /// A word is unknown, or the bits do not fit the technology.
    pub fn parse(text: &str, technology: Technology) -> Result<Self, PolicyError> {
        let words = match technology {
            Technology::Sev | Technology::SevEs => SEV_WORDS,
            Technology::SevSnp => SNP_WORDS,
        };
        let mut value = 0;
        let mut by_word = false;
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            if let Some((_, bits)) = words.iter().find(|(name, _)| *name == word) {
                value |= bits;
                by_word = true;
                continue;
            }
            let digits = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X"));
            value |= digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).ok_or_else(|| {
                let known: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
                PolicyError::UnknownWord { word: word.to_owned(), technology, known: known.join(", ") }
            })?;
        }
        if by_word {
            value |= match technology {
                Technology::Sev => 0,
                Technology::SevEs => sev::policy::Policy::ES.into(),
                Technology::SevSnp => snp::policy::Policy::RESERVED_ONE,
            };
        }
        Self::of(value, technology)
    }

    fn of(value: u64, technology: Technology) -> Result<Self, PolicyError> {
        let reserved = |bits: u64| PolicyError::Reserved { value, bits, technology };
        if technology == Technology::SevSnp {
            let policy = snp::policy::Policy(value);
            return match policy.reserved() {
                0 if value & snp::policy::Policy::RESERVED_ONE == 0 => Err(PolicyError::LacksBit17(value)),
                0 => Ok(Self::Snp(policy)),
                bits => Err(reserved(bits)),
            };
        }
        let policy = u32::try_from(value).map_err(|_| reserved(value & !u64::from(u32::MAX)))?;
        let policy = sev::policy::Policy(policy);
        match (policy.reserved(), technology, policy.es()) {
            (0, Technology::Sev, true) => Err(PolicyError::AsksForEs(value)),
            (0, Technology::SevEs, false) => Err(PolicyError::LacksEs(value)),
            (0, _, _) => Ok(Self::Sev(policy)),
            (bits, _, _) => Err(reserved(bits.into())),
        }
    }

    /// As `<policy>` has it.
    pub(crate) fn written(self) -> String {
        match self {
            Self::Sev(policy) => format!("{:#06x}", policy.0),
            Self::Snp(policy) => format!("{:#010x}", policy.0),
        }
    }
}

/// The number and what it means.
impl std::fmt::Display for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sev(policy) => policy.fmt(f),
            Self::Snp(policy) => policy.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, technology: Technology, expected: &str) {
        let got = match Policy::parse(text, technology) {
            Ok(policy) => policy.written(),
            Err(error) => error.to_string(),
        };
        assert_eq!(got, expected);
    }

    #[test]
    fn words_and_numbers_are_read() {
        check("no-debug,no-key-sharing", Technology::Sev, "0x0003");
        check("no-debug, no-key-sharing", Technology::SevEs, "0x0007");
        check("0x7", Technology::SevEs, "0x0007");
        check("no-debug,0x37010000", Technology::Sev, "0x37010001");
        check("smt,single-socket", Technology::SevSnp, "0x00130000");
        check("no-debug", Technology::SevSnp, "0x00020000");
        check(
            "0",
            Technology::SevSnp,
            "`0` is no word of a policy for SEV-SNP: it knows no-debug, smt, migrate, debug, single-socket, cxl, aes-256-xts, no-power-limits, ciphertext-hiding, no-page-swap, and hexadecimal numbers",
        );
    }

    #[test]
    fn what_does_not_fit_the_technology_is_refused() {
        check("es", Technology::Sev, "the policy 0x4 asks for encrypted registers (bit 2); that is SEV-ES");
        check(
            "0x3",
            Technology::SevEs,
            "the policy 0x3 does not ask for encrypted registers (bit 2), which SEV-ES is",
        );
        check("0x10000", Technology::SevSnp, "the policy 0x10000 lacks bit 17, which must be set");
        check("0x43", Technology::Sev, "the policy 0x43 for SEV sets bits 0x40, which must be zero");
        check(
            "0x100000003",
            Technology::Sev,
            "the policy 0x100000003 for SEV sets bits 0x100000000, which must be zero",
        );
    }

    #[test]
    fn the_usual_policy_is_well_formed() {
        for technology in Technology::ALL {
            let usual = Policy::usual(technology);
            assert_eq!(Policy::parse(&usual.written(), technology), Ok(usual));
        }
    }
}
