//! What written text means: references, line ends, attribute white space, and the way back (escaping).
//!
//! XML 1.0 §2.11 (line ends), §3.3.3 (attribute values), §4.1 (references).

use super::{Fault, name, quoted};
use std::borrow::Cow;

/// Finds faulty references in `text`, which starts at byte `start` of the document.
pub(crate) fn check_references(text: &str, start: usize) -> Result<(), Fault> {
    let mut at = 0;
    while let Some(offset) = text.get(at..).and_then(|rest| rest.find('&')) {
        at += offset;
        let rest = text.get(at..).unwrap_or_default();
        match reference(rest) {
            Ok((_, len)) => at += len,
            Err((message, len)) => return Err(Fault::new(start + at, start + at + len, message)),
        }
    }
    Ok(())
}

/// The character that the reference at the start of `text` stands for, and the reference's length;
/// or what is wrong with it, and how many bytes are at fault.
fn reference(text: &str) -> Result<(char, usize), (String, usize)> {
    /// No valid reference has a longer body than `#x` and the digits of a scalar with some leading zeros.
    const LONGEST: usize = 32;
    let body = text.get(1..).unwrap_or_default();
    let end = body.bytes().take(LONGEST).position(|byte| byte == b';');
    let Some(body) = end.and_then(|end| body.get(..end)) else {
        return Err(("`&` does not start a reference: write `&amp;` for the character itself".into(), 1));
    };
    let len = body.len() + 2;
    let character = match body {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "apos" => Some('\''),
        "quot" => Some('"'),
        _ => match body.strip_prefix('#') {
            None => {
                let message = format!(
                    "entity {} is not defined: only lt, gt, amp, apos, quot and character references are",
                    quoted(body)
                );
                return Err((message, len));
            }
            Some(number) => scalar(number),
        },
    };
    character
        .map(|character| (character, len))
        .ok_or_else(|| (format!("`&{body};` does not name a character that XML allows"), len))
}

fn scalar(number: &str) -> Option<char> {
    let (digits, radix) = match number.strip_prefix('x') {
        Some(digits) => (digits, 16),
        None => (number, 10),
    };
    // from_str_radix takes a sign, XML does not.
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    u32::from_str_radix(digits, radix).ok().and_then(char::from_u32).filter(|c| name::is_char(*c))
}

/// What a piece of character data says: references replaced, line ends made line feeds.
pub(crate) fn text(raw: &str) -> Cow<'_, str> {
    expand(raw, '\n', raw.bytes().any(|byte| matches!(byte, b'&' | b'\r')))
}

/// What a CDATA section's content says: only line ends change.
pub(crate) fn cdata(raw: &str) -> Cow<'_, str> {
    if raw.contains('\r') {
        Cow::Owned(raw.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(raw)
    }
}

/// What an attribute's value says: references replaced, written white space made spaces.
pub(crate) fn attribute(raw: &str) -> Cow<'_, str> {
    expand(raw, ' ', raw.bytes().any(|byte| matches!(byte, b'&' | b'\r' | b'\n' | b'\t')))
}

fn expand(raw: &str, line_end: char, needed: bool) -> Cow<'_, str> {
    if !needed {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(character) = rest.chars().next() {
        let (decoded, len) = match character {
            '\r' if rest.starts_with("\r\n") => (line_end, 2),
            '\r' | '\n' => (line_end, 1),
            '\t' if line_end == ' ' => (' ', 1),
            // A document's references were checked when it was parsed.
            '&' => reference(rest).unwrap_or(('&', 1)),
            other => (other, other.len_utf8()),
        };
        out.push(decoded);
        rest = rest.get(len..).unwrap_or_default();
    }
    Cow::Owned(out)
}

/// `value` as it is written between quotes of the kind `quote`.
pub fn escape_attribute(value: &str, quote: char) -> String {
    let mut out = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '\'' if quote == '\'' => out.push_str("&apos;"),
            '"' if quote == '"' => out.push_str("&quot;"),
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            other => out.push(other),
        }
    }
    out
}

/// `text` as it is written between tags.
pub fn escape_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\r' => out.push_str("&#13;"),
            other => out.push(other),
        }
    }
    out
}
