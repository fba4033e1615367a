//! Values in attributes and text: numbers, units, words, and how messages quote them.

use std::str::FromStr;

use crate::model::Keyword;

/// All words of a set, for messages.
pub(super) fn words<K: Keyword>() -> String {
    let words: Vec<String> = K::ALL.iter().map(|value| format!("`{}`", value.word())).collect();
    words.join(", ")
}

/// For messages: what the word should have been.
pub(super) fn one_of<K: Keyword>() -> String {
    format!("one of {}", words::<K>())
}

/// How many characters of a name, of a value, and of a whole message a problem repeats: a document may have
/// names and values of any length.
pub(super) const NAME_LENGTH: usize = 60;
pub(super) const VALUE_LENGTH: usize = 60;
pub(super) const MESSAGE_LENGTH: usize = 500;

/// The start of a text that may be long.
pub(super) fn shorten(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned() + "…",
    }
}

/// A number in the given radix; `0x` always means hexadecimal.
pub(super) fn parse_number<N: TryFrom<i128>>(text: &str, radix: u32) -> Option<N> {
    let text = text.trim();
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let hexadecimal = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let (digits, radix) = match hexadecimal {
        Some(digits) => (digits, 16),
        None => (digits, radix),
    };
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    N::try_from(if is_negative { -value } else { value }).ok()
}

/// The bytes in one of libvirt's units: `b`, `bytes`, `KB` (1000), `k` and `KiB` (1024), up to `EiB`.
pub(super) fn unit_bytes(unit: &str) -> Option<u128> {
    let unit = unit.to_ascii_lowercase();
    if matches!(unit.as_str(), "b" | "byte" | "bytes") {
        return Some(1);
    }
    let (prefix, rest) = unit.split_at_checked(1)?;
    let power = 1 + u32::try_from("kmgtpe".find(prefix)?).ok()?;
    match rest {
        "" | "ib" => Some(1024_u128.pow(power)),
        "b" => Some(1000_u128.pow(power)),
        _ => None,
    }
}

/// A value that a standard parser must accept.
pub(super) fn from_str<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_whole_or_not_at_all() {
        for (text, radix, number) in [
            (" 7 ", 10, Some(7)),
            ("0x1F", 10, Some(31)),
            ("1f", 16, Some(31)),
            ("-2", 10, Some(-2)),
            ("-0x10", 10, Some(-16)),
            ("", 10, None),
            ("-", 10, None),
            ("+1", 10, None),
            ("--1", 10, None),
            ("0x", 10, None),
            ("1_000", 10, None),
            ("1 2", 10, None),
            ("9223372036854775808", 10, None),
            ("999999999999999999999999999999999999999999", 10, None),
        ] {
            assert_eq!(parse_number::<i64>(text, radix), number, "{text}");
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shorten("žluť", 4), "žluť");
        assert_eq!(shorten("žluťoučký", 4), "žluť…");
    }
}
