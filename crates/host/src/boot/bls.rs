//! Boot Loader Specification entries: `/boot/loader/entries/*.conf`, as GRUB's `blscfg` and systemd-boot read them.
//!
//! An entry is lines of a key, blanks and a value; `options` may come more than once. GRUB expands `$kernelopts` and
//! its like from its environment block. The reference is the UAPI group's Boot Loader Specification, “Type #1”, and
//! Fedora's BootLoaderSpecByDefault.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::facts::Fact;
use crate::root::Root;

/// Where entries are, first found first.
const DIRECTORIES: [&str; 3] = ["/boot/loader/entries", "/boot/efi/loader/entries", "/efi/loader/entries"];

/// The directory of entries and the entries in it, newest kernel first.
pub(crate) fn entries(root: &Root) -> Option<(PathBuf, Vec<PathBuf>)> {
    DIRECTORIES.iter().find_map(|directory| {
        let names = root.names(directory).known()?.clone();
        let mut ids: Vec<&str> = names.iter().filter_map(|name| name.strip_suffix(".conf")).collect();
        ids.retain(|id| !id.starts_with('.'));
        ids.sort_by(|one, other| compare(other, one));
        let directory = Path::new(directory);
        let files = ids.iter().map(|id| directory.join(format!("{id}.conf"))).collect::<Vec<_>>();
        (!files.is_empty()).then(|| (directory.to_owned(), files))
    })
}

/// The bytes of the value of each line with that key.
#[must_use]
pub fn values(text: &[u8], key: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let indent = line.iter().take_while(|byte| blank(byte)).count();
        let rest = line.get(indent..).unwrap_or_default();
        if let Some(value) = rest.strip_prefix(key.as_bytes()).filter(|rest| rest.first().is_some_and(blank))
        {
            let gap = value.iter().take_while(|byte| blank(byte)).count();
            let used = value.trim_ascii_end().len().max(gap);
            let begin = start + indent + key.len();
            found.push(begin + gap..begin + used);
        }
        start += line.len();
    }
    found
}

/// The command line of an entry, its variables expanded; those that are not set are empty, as in GRUB.
#[must_use]
pub fn command_line(entry: &str, variables: &BTreeMap<String, String>) -> String {
    let options = values(entry.as_bytes(), "options");
    let expanded = options.into_iter().map(|span| expand(entry.get(span).unwrap_or_default(), variables));
    expanded.collect::<Vec<_>>().join(" ")
}

/// The names of variables that a text refers to, and their places.
pub(crate) fn references(text: &str) -> Vec<(&str, Range<usize>)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find('$')).map(|at| at + from) {
        let rest = text.get(at + 1..).unwrap_or_default();
        let braced = rest.strip_prefix('{');
        let name_from = braced.unwrap_or(rest);
        let length =
            name_from.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
        let name = name_from.get(..length).unwrap_or_default();
        let closed = braced.is_none() || name_from.as_bytes().get(length) == Some(&b'}');
        from = at + 1;
        if length > 0 && closed {
            let end = at + 1 + length + if braced.is_some() { 2 } else { 0 };
            found.push((name, at..end));
            from = end;
        }
    }
    found
}

fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut done = 0;
    for (name, span) in references(text) {
        out.push_str(text.get(done..span.start).unwrap_or_default());
        out.push_str(variables.get(name).map(String::as_str).unwrap_or_default());
        done = span.end;
    }
    out.push_str(text.get(done..).unwrap_or_default());
    out
}

/// The entry that boots by default: the one that `saved` names by id, title or number, or else the newest.
pub(crate) fn default_entry<'e>(
    root: &Root,
    entries: &'e [PathBuf],
    saved: Option<&str>,
) -> Option<&'e PathBuf> {
    let saved = saved?.trim();
    let named = entries.iter().find(|entry| {
        let id =
            entry.file_stem().is_some_and(|stem| stem.to_string_lossy() == saved.trim_end_matches(".conf"));
        id || matches!(root.text(&entry.to_string_lossy()), Fact::Known(text) if has_title(&text, saved))
    });
    named.or_else(|| entries.get(saved.parse::<usize>().ok()?))
}

fn has_title(text: &str, wanted: &str) -> bool {
    values(text.as_bytes(), "title").into_iter().any(|span| text.get(span) == Some(wanted))
}

/// Compares versions as rpm does: stretches of digits by number, of letters by letter, a tilde before everything.
fn compare(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    loop {
        let separators = |text: &[u8]| {
            text.iter().take_while(|byte| !byte.is_ascii_alphanumeric() && **byte != b'~').count()
        };
        one = one.get(separators(one)..).unwrap_or_default();
        other = other.get(separators(other)..).unwrap_or_default();
        match (one.first(), other.first()) {
            (Some(b'~'), Some(b'~')) => {
                one = one.get(1..).unwrap_or_default();
                other = other.get(1..).unwrap_or_default();
                continue;
            }
            (Some(b'~'), _) => return Ordering::Less,
            (_, Some(b'~')) => return Ordering::Greater,
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) if a.is_ascii_digit() != b.is_ascii_digit() => {
                return a.is_ascii_digit().cmp(&b.is_ascii_digit());
            }
            (Some(first), Some(_)) => {
                let kind = if first.is_ascii_digit() { u8::is_ascii_digit } else { u8::is_ascii_alphabetic };
                let length = |text: &[u8]| text.iter().take_while(|byte| kind(byte)).count();
                let (a, rest) = one.split_at(length(one));
                let (b, other_rest) = other.split_at(length(other));
                let zeros = |text: &[u8]| {
                    if first.is_ascii_digit() { text.iter().take_while(|b| **b == b'0').count() } else { 0 }
                };
                let a = a.get(zeros(a)..).unwrap_or_default();
                let b = b.get(zeros(b)..).unwrap_or_default();
                let order =
                    if first.is_ascii_digit() { a.len().cmp(&b.len()).then(a.cmp(b)) } else { a.cmp(b) };
                if order != Ordering::Equal {
                    return order;
                }
                (one, other) = (rest, other_rest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_rpm_compares_them() {
        for (one, other, expected) in [
            ("m-6.10.1-1.fc40", "m-6.9.9-1.fc40", Ordering::Greater),
            ("m-6.01", "m-6.1", Ordering::Equal),
            ("m-0-rescue", "m-5.14.0", Ordering::Less),
            ("m-6.1~rc1", "m-6.1", Ordering::Less),
            ("m-6.1.a", "m-6.1.1", Ordering::Less),
            ("m-6.1", "m-6.1.1", Ordering::Less),
        ] {
            assert_eq!(compare(one, other), expected, "{one} {other}");
            assert_eq!(compare(other, one), expected.reverse(), "{other} {one}");
        }
    }

    #[test]
    fn options_are_joined_and_expanded() {
        let entry =
            "title T\n# options no\noptions root=/dev/sda ${kernelopts}\r\noptions\t$unset ro $\nversion 1";
        let variables = BTreeMap::from([("kernelopts".to_owned(), "quiet a=1".to_owned())]);
        assert_eq!(command_line(entry, &variables), "root=/dev/sda quiet a=1  ro $");
        assert_eq!(values(b"options \noptionsx y", "options").first(), Some(&(8..8)));
    }
}
