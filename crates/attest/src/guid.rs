//! The GUIDs that name entries in firmware tables, in the mixed byte order of UEFI.

use std::fmt;
use std::str::FromStr;

/// A GUID, as its 16 bytes lie in memory: the first three groups little-endian, the other two as written.
///
/// # Examples
///
/// ```
/// use attest::guid::Guid;
///
/// let guid: Guid = "1e74f542-71dd-4d66-963e-ef4287ff173b".parse()?;
/// assert_eq!(guid.as_bytes()[..4], [0x42, 0xf5, 0x74, 0x1e]);
/// assert_eq!(guid.to_string(), "1e74f542-71dd-4d66-963e-ef4287ff173b");
/// # Ok::<(), attest::guid::ParseGuidError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid([u8; 16]);

/// Text is not a GUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a GUID is 32 hexadecimal digits in groups of 8-4-4-4-12")]
pub struct ParseGuidError;

impl Guid {
    /// The GUID that is written as the 32 digits of `digits`.
    pub const fn new(digits: u128) -> Self {
        let [a, b, c, d, e, f, g, h, rest @ ..] = digits.to_be_bytes();
        let [i, j, k, l, m, n, o, p] = rest;
        Self([d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p])
    }

    /// The GUID with these bytes in memory.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes in memory.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for at in [3, 2, 1, 0, 16, 5, 4, 16, 7, 6, 16, 8, 9, 16, 10, 11, 12, 13, 14, 15] {
            match self.0.get(at) {
                Some(byte) => write!(f, "{byte:02x}")?,
                None => f.write_str("-")?,
            }
        }
        Ok(())
    }
}

impl FromStr for Guid {
    type Err = ParseGuidError;

    fn from_str(text: &str) -> Result<Self, ParseGuidError> {
        let groups: Vec<&str> = text.split('-').collect();
        let lengths = groups.iter().map(|group| group.len());
        let digits = groups.concat();
        if !lengths.eq([8, 4, 4, 4, 12]) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(ParseGuidError);
        }
        u128::from_str_radix(&digits, 16).map(Self::new).map_err(|_| ParseGuidError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_no_guid() {
        for text in [
            "",
            "1e74f542",
            "1e74f54271dd4d66963eef4287ff173b",
            "1e74f542-71dd-4d66-963e-ef4287ff173",
            "+e74f542-71dd-4d66-963e-ef4287ff173b",
            "1e74f542-71dd-4d66-963e-ef4287ff173b-",
        ] {
            assert_eq!(text.parse::<Guid>(), Err(ParseGuidError), "{text}");
        }
    }
}
