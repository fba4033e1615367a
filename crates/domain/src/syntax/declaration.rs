//! The XML declaration (XML 1.0 §2.8) and the names that processing instructions may have (§2.6).

use super::{Fault, cursor::Cursor, name, quoted, tag};
use crate::span::Span;

/// Reads what follows `<?xml`, to after `?>`.
pub(crate) fn declaration(cursor: &mut Cursor<'_>) -> Result<(), Fault> {
    let mut allowed: &[&str] = &["version", "encoding", "standalone"];
    loop {
        let spaced = cursor.skip_space();
        if cursor.eat("?>") {
            return if allowed.first() == Some(&"version") {
                Err(Fault::new(cursor.at - 2, cursor.at, "the XML declaration has no version"))
            } else {
                Ok(())
            };
        }
        if !spaced {
            return Err(cursor.unexpected("expected white space or `?>`"));
        }
        let part = tag::attribute(cursor)?;
        let key = part.name.of(cursor.text);
        let skip = allowed.iter().position(|allowed| *allowed == key);
        // Only the encoding may be left out before another part.
        match skip {
            Some(skip)
                if allowed
                    .get(..skip)
                    .is_some_and(|skipped| skipped.iter().all(|part| *part == "encoding")) =>
            {
                allowed = allowed.get(skip + 1..).unwrap_or_default();
            }
            _ => {
                return Err(Fault::new(
                    part.name.start,
                    part.name.end,
                    format!("{} is not expected here in the XML declaration", quoted(key)),
                ));
            }
        }
        check_part(cursor.text, key, part.value)?;
    }
}

fn check_part(text: &str, key: &str, value: Span) -> Result<(), Fault> {
    let written = value.of(text);
    let fault = match key {
        "version" => {
            let minor = written.strip_prefix("1.").unwrap_or_default();
            (minor.is_empty() || !minor.bytes().all(|byte| byte.is_ascii_digit()))
                .then(|| format!("XML version {} is not known", quoted(written)))
        }
        "standalone" => (!matches!(written, "yes" | "no"))
            .then(|| format!("standalone is `yes` or `no`, not {}", quoted(written))),
        _ => check_encoding(text, written),
    };
    fault.map_or(Ok(()), |message| Err(Fault::new(value.start, value.end, message)))
}

/// Text reaches this crate as UTF-8. Another declared encoding is harmless only where it writes the same bytes.
fn check_encoding(text: &str, encoding: &str) -> Option<String> {
    let mut bytes = encoding.bytes();
    let well_formed = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    if !well_formed {
        return Some(format!("{} is not the name of an encoding", quoted(encoding)));
    }
    let same =
        encoding.eq_ignore_ascii_case("utf-8") || encoding.eq_ignore_ascii_case("utf8") || text.is_ascii();
    (!same)
        .then(|| format!("the declared encoding is {}, but the document is read as UTF-8", quoted(encoding)))
}

/// Reads a processing instruction; the cursor stands after its `<?`.
pub(crate) fn instruction(cursor: &mut Cursor<'_>, open: usize) -> Result<(), Fault> {
    let rest = cursor.rest();
    let len = rest.find(|c| !(name::is_continue(c) || c == ':')).unwrap_or(rest.len());
    let target = rest.get(..len).unwrap_or_default();
    if !target.chars().next().is_some_and(|c| name::is_start(c) || c == ':') {
        return Err(cursor.unexpected("expected the processing instruction's name"));
    }
    if target.eq_ignore_ascii_case("xml") {
        return Err(Fault::new(
            open,
            cursor.at + len,
            "an XML declaration is allowed only at the very start",
        ));
    }
    cursor.at += len;
    if !cursor.skip_space() && !cursor.rest().starts_with("?>") {
        return Err(cursor.unexpected("expected white space or `?>`"));
    }
    match cursor.skip_past("?>") {
        Some(_) => Ok(()),
        None => Err(Fault::new(open, cursor.at, "the processing instruction is not closed by `?>`")),
    }
}
