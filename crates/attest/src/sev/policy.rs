//! The guest policy of SEV and SEV-ES (55766 §3): what the platform may do to the guest.

use std::fmt;

use super::ApiVersion;

/// A guest policy. It holds any 32 bits; [`Policy::reserved`] tells those the specification does not define.
///
/// # Examples
///
/// ```
/// use attest::sev::policy::Policy;
///
/// let policy = Policy(0x5);
/// assert!(policy.es() && policy.no_debug() && !policy.no_key_sharing());
/// assert_eq!(policy.to_string(), "0x5 (no debugging, encrypted register state)");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Policy(pub u32);

impl Policy {
    /// Debugging of the guest is disallowed.
    pub const NO_DEBUG: u32 = 1 << 0;
    /// Sharing keys with other guests is disallowed.
    pub const NO_KEY_SHARING: u32 = 1 << 1;
    /// SEV-ES is required.
    pub const ES: u32 = 1 << 2;
    /// Sending the guest to another platform is disallowed.
    pub const NO_SEND: u32 = 1 << 3;
    /// The guest must not leave its owner's domain of platforms.
    pub const DOMAIN: u32 = 1 << 4;
    /// The guest must not be sent to a platform that is not SEV capable.
    pub const SEV: u32 = 1 << 5;
    /// Bits 6 to 15, which must be zero.
    pub const RESERVED: u32 = 0xffc0;

    /// Whether debugging (DBG_DECRYPT, DBG_ENCRYPT) is disallowed.
    pub fn no_debug(self) -> bool {
        self.0 & Self::NO_DEBUG != 0
    }

    /// Whether sharing keys with other guests is disallowed.
    pub fn no_key_sharing(self) -> bool {
        self.0 & Self::NO_KEY_SHARING != 0
    }

    /// Whether SEV-ES is required.
    pub fn es(self) -> bool {
        self.0 & Self::ES != 0
    }

    /// Whether sending the guest to another platform is disallowed.
    pub fn no_send(self) -> bool {
        self.0 & Self::NO_SEND != 0
    }

    /// Whether the guest is bound to the platforms of its owner's domain.
    pub fn domain(self) -> bool {
        self.0 & Self::DOMAIN != 0
    }

    /// Whether the guest may only be sent to SEV capable platforms.
    pub fn sev(self) -> bool {
        self.0 & Self::SEV != 0
    }

    /// The bits that are set and must be zero.
    pub fn reserved(self) -> u32 {
        self.0 & Self::RESERVED
    }

    /// The oldest API the owner accepts; 0.0 accepts all.
    pub fn minimum_api(self) -> ApiVersion {
        let [_, _, major, minor] = self.0.to_le_bytes();
        ApiVersion { major, minor }
    }

    /// What the policy grants to an attacker that a careful owner would not, in words.
    pub fn weaknesses(self) -> Vec<&'static str> {
        let mut weak = Vec::new();
        if !self.no_debug() {
            weak.push(
                "the host may read and write the guest's memory by its debug commands (bit 0 is clear)",
            );
        }
        if !self.no_key_sharing() {
            weak.push("the guest's key may be shared with other guests (bit 1 is clear)");
        }
        if !self.es() {
            weak.push("the host sees and sets the guest's registers (bit 2, SEV-ES, is clear)");
        }
        weak
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x} (", self.0)?;
        f.write_str(if self.no_debug() { "no debugging" } else { "debugging allowed" })?;
        for (set, words) in [
            (self.no_key_sharing(), "no key sharing"),
            (self.es(), "encrypted register state"),
            (self.no_send(), "no sending"),
            (self.domain(), "within the owner's domain"),
            (self.sev(), "only to SEV platforms"),
        ] {
            if set {
                write!(f, ", {words}")?;
            }
        }
        if self.minimum_api() != ApiVersion::default() {
            write!(f, ", API {} or newer", self.minimum_api())?;
        }
        if self.reserved() != 0 {
            write!(f, ", reserved bits {:#x}", self.reserved())?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(policy: u32, expected: &str) {
        assert_eq!(Policy(policy).to_string(), expected);
    }

    #[test]
    fn prints_in_words() {
        check(0, "0x0 (debugging allowed)");
        check(0x3, "0x3 (no debugging, no key sharing)");
        check(
            0x3701_0027,
            "0x37010027 (no debugging, no key sharing, encrypted register state, only to SEV platforms, API 1.55 or newer)",
        );
        check(0x19, "0x19 (no debugging, no sending, within the owner's domain)");
        check(0x41, "0x41 (no debugging, reserved bits 0x40)");
    }

    #[test]
    fn names_weaknesses_only_where_they_are() {
        assert_eq!(Policy(0x7).weaknesses(), Vec::<&str>::new());
        assert_eq!(Policy(0).weaknesses().len(), 3);
    }
}
