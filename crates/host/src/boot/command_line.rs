//! The kernel's command line: words with the kernel's own quoting, and which of several parameters wins.
//!
//! The reference is `next_arg` in the kernel's lib/cmdline.c: white space separates, a double quote anywhere in a word
//! turns that off until the next one, the first `=` ends the name, and quotes round the whole word or round its value
//! are not part of it. `--` ends the kernel's parameters; what follows is for init.

use std::ops::Range;

/// One word of a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// As it is written, quotes taken off.
    pub name: String,
    /// What follows the first `=`.
    pub value: Option<String>,
    /// Its bytes, quotes included.
    pub span: Range<usize>,
}

impl Parameter {
    /// Whether it is that parameter: dashes and underscores are the same to the kernel.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        same_name(&self.name, name)
    }
}

/// Whether two names mean the same parameter (`parameq` in the kernel's kernel/params.c).
pub(crate) fn same_name(one: &str, other: &str) -> bool {
    let plain = |byte: u8| if byte == b'-' { b'_' } else { byte };
    one.len() == other.len() && one.bytes().map(plain).eq(other.bytes().map(plain))
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ')
}

/// The bytes of each word, those for init too.
pub(crate) fn words(text: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = None;
    let mut quoted = false;
    for (at, byte) in text.iter().enumerate() {
        if is_space(*byte) && !quoted {
            found.extend(start.take().map(|start| start..at));
            continue;
        }
        start = start.or(Some(at));
        quoted ^= *byte == b'"';
    }
    found.extend(start.map(|start| start..text.len()));
    found
}

/// One word as name and value.
fn parameter(text: &[u8], span: Range<usize>) -> Parameter {
    let mut word = text.get(span.clone()).unwrap_or_default();
    let unquote = |word: &mut &[u8]| {
        if let Some(rest) = word.strip_prefix(b"\"") {
            *word = rest.strip_suffix(b"\"").unwrap_or(rest);
        }
    };
    unquote(&mut word);
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    // A word that begins with `=` is a name to the kernel.
    match word.iter().skip(1).position(|byte| *byte == b'=') {
        None => Parameter { name: shown(word), value: None, span },
        Some(at) => {
            let (name, rest) = word.split_at(at + 1);
            let mut value = rest.get(1..).unwrap_or_default();
            unquote(&mut value);
            Parameter { name: shown(name), value: Some(shown(value)), span }
        }
    }
}

/// The kernel's parameters, in their order; not what follows `--`.
#[must_use]
pub fn parameters(text: &str) -> Vec<Parameter> {
    parameters_of_bytes(text.as_bytes())
}

pub(crate) fn parameters_of_bytes(text: &[u8]) -> Vec<Parameter> {
    words(text)
        .into_iter()
        .map(|span| parameter(text, span))
        .take_while(|word| !(word.name == "--" && word.value.is_none()))
        .collect()
}

/// The parameter of that name which counts: the last one.
#[must_use]
pub fn last(text: &str, name: &str) -> Option<Parameter> {
    parameters(text).into_iter().rev().find(|parameter| parameter.is(name))
}

/// What the kernel makes of a boolean parameter's value (`kstrtobool` in lib/kstrtox.c); `None` where it refuses it.
/// A boolean without a value is on.
#[must_use]
pub fn boolean(value: Option<&str>) -> Option<bool> {
    match value.map(str::as_bytes) {
        None | Some([b'y' | b'Y' | b't' | b'T' | b'1', ..] | [b'o' | b'O', b'n' | b'N', ..]) => Some(true),
        Some([b'n' | b'N' | b'f' | b'F' | b'0', ..] | [b'o' | b'O', b'f' | b'F', ..]) => Some(false),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, Option<&str>)]) {
        let found = parameters(text);
        let found: Vec<_> = found.iter().map(|word| (word.name.as_str(), word.value.as_deref())).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn words_are_split_as_the_kernel_splits_them() {
        check("", &[]);
        check(" quiet\tsplash\r\n", &[("quiet", None), ("splash", None)]);
        check("a=1 a=\"two words\" b", &[("a", Some("1")), ("a", Some("two words")), ("b", None)]);
        check("\"dyndbg=file x.c +p\" z", &[("dyndbg", Some("file x.c +p")), ("z", None)]);
        check("a=b=c =x a=", &[("a", Some("b=c")), ("=x", None), ("a", Some(""))]);
        check("open=\"never closed x", &[("open", Some("never closed x"))]);
        check("quiet -- kvm_amd.sev=1", &[("quiet", None)]);
    }

    #[test]
    fn the_last_one_wins_and_dashes_are_underscores() {
        let text = "kvm_amd.sev=1 quiet kvm-amd.sev=0";
        let found = last(text, "kvm_amd.sev").unwrap();
        assert_eq!(found.value.as_deref(), Some("0"));
        assert_eq!(text.get(found.span).unwrap(), "kvm-amd.sev=0");
        assert_eq!(last(text, "kvm_amd.sev_es"), None);
    }

    #[test]
    fn booleans_are_read_as_the_kernel_reads_them() {
        for (value, expected) in [
            ("1", Some(true)),
            ("Y", Some(true)),
            ("on", Some(true)),
            ("off", Some(false)),
            ("0", Some(false)),
        ] {
            assert_eq!(boolean(Some(value)), expected, "{value}");
        }
        assert_eq!(boolean(None), Some(true));
        assert_eq!(boolean(Some("2")), None);
        assert_eq!(boolean(Some("")), None);
    }
}
