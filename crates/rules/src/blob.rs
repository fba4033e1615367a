//! The base64 blobs of `<launchSecurity>`.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// White space between the characters means nothing and the padding may be missing, as for QEMU. It skips all else
/// that is not base64, too, and takes what is left; here that is a fault.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The bytes, or what is wrong with the text.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, String> {
    let characters: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    ENGINE.decode(characters).map_err(|error| format!("is not base64 ({})", lower(&error.to_string())))
}

fn lower(text: &str) -> String {
    let text = text.trim_end_matches('.');
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_and_padding_do_not_matter() {
        for text in ["AQID", " AQ\n  ID ", "AQIDBA==", "AQIDBA"] {
            assert!(decode(text).unwrap().starts_with(&[1, 2, 3]), "{text}");
        }
        assert!(decode("").unwrap().is_empty());
    }

    #[test]
    fn junk_is_named() {
        for text in ["AQ!D", "AQIDB", "ÄÖÜ"] {
            assert!(decode(text).unwrap_err().starts_with("is not base64 ("), "{text}");
        }
    }
}
