//! The guest policy of SEV-SNP (56860 §4.3).

use std::fmt;

use crate::sev::ApiVersion;

/// A guest policy. It holds any 64 bits; [`Policy::reserved`] tells those the specification does not define.
///
/// # Examples
///
/// ```
/// use attest::snp::policy::Policy;
///
/// assert_eq!(Policy(0x30000).to_string(), "0x30000 (SMT allowed)");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Policy(pub u64);

impl Policy {
    /// Simultaneous multithreading is allowed.
    pub const SMT: u64 = 1 << 16;
    /// Must be one.
    pub const RESERVED_ONE: u64 = 1 << 17;
    /// A migration agent may be associated with the guest.
    pub const MIGRATE_MA: u64 = 1 << 18;
    /// Debugging is allowed.
    pub const DEBUG: u64 = 1 << 19;
    /// The guest runs on one socket only.
    pub const SINGLE_SOCKET: u64 = 1 << 20;
    /// CXL devices and memory may be present.
    pub const CXL_ALLOW: u64 = 1 << 21;
    /// Memory is encrypted with AES-256-XTS.
    pub const MEM_AES_256_XTS: u64 = 1 << 22;
    /// Running average power limits must be off.
    pub const RAPL_DIS: u64 = 1 << 23;
    /// Ciphertext hiding must be on.
    pub const CIPHERTEXT_HIDING_DRAM: u64 = 1 << 24;
    /// Page swap commands are disabled.
    pub const PAGE_SWAP_DISABLE: u64 = 1 << 25;

    /// Whether the host may debug the guest.
    pub fn debug(self) -> bool {
        self.0 & Self::DEBUG != 0
    }

    /// The oldest ABI the owner accepts; 0.0 accepts all.
    pub fn minimum_abi(self) -> ApiVersion {
        let [minor, major, ..] = self.0.to_le_bytes();
        ApiVersion { major, minor }
    }

    /// Whether bit 17, which must be one, is.
    pub fn is_well_formed(self) -> bool {
        self.0 & Self::RESERVED_ONE != 0 && self.reserved() == 0
    }

    /// The bits that are set and must be zero.
    pub fn reserved(self) -> u64 {
        self.0 & !0x3ff_ffff
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words: Vec<String> = [
            (Self::SMT, "SMT allowed"),
            (Self::MIGRATE_MA, "migration agent allowed"),
            (Self::DEBUG, "debugging allowed"),
            (Self::SINGLE_SOCKET, "one socket only"),
            (Self::CXL_ALLOW, "CXL allowed"),
            (Self::MEM_AES_256_XTS, "AES-256-XTS"),
            (Self::RAPL_DIS, "no power limits"),
            (Self::CIPHERTEXT_HIDING_DRAM, "ciphertext hiding"),
            (Self::PAGE_SWAP_DISABLE, "no page swapping"),
        ]
        .into_iter()
        .filter(|(bit, _)| self.0 & bit != 0)
        .map(|(_, words)| words.to_owned())
        .collect();
        if self.0 & Self::RESERVED_ONE == 0 {
            words.push("bit 17, which must be set, is clear".to_owned());
        }
        if self.minimum_abi() != ApiVersion::default() {
            words.push(format!("ABI {} or newer", self.minimum_abi()));
        }
        if self.reserved() != 0 {
            words.push(format!("reserved bits {:#x}", self.reserved()));
        }
        if words.is_empty() {
            words.push("nothing allowed".to_owned());
        }
        write!(f, "{:#x} ({})", self.0, words.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(policy: u64, well_formed: bool, expected: &str) {
        assert_eq!(Policy(policy).to_string(), expected);
        assert_eq!(Policy(policy).is_well_formed(), well_formed);
    }

    #[test]
    fn prints_in_words() {
        check(0x20000, true, "0x20000 (nothing allowed)");
        check(0xb0137, true, "0xb0137 (SMT allowed, debugging allowed, ABI 1.55 or newer)");
        check(0, false, "0x0 (bit 17, which must be set, is clear)");
        check(0x4002_0000, false, "0x40020000 (reserved bits 0x40000000)");
    }
}
