//! The kinds of files that are changed: where each keeps its words, and how they are taken out again.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::boot::shell::{self, Piece as ShellPiece, StatementKind};
use crate::boot::value::{Origin, Value};
use crate::boot::{bls, command_line, grub, modprobe};

use super::text::{self, Piece, take_back, written};

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// `/etc/default/grub`, sourced by a shell.
    GrubDefaults,
    /// A Boot Loader Specification entry.
    Entry,
    /// GRUB's environment block.
    Environment,
    /// `/etc/kernel/cmdline`.
    CommandLine,
    Modprobe,
}

/// All stretches of a file in which words can stand.
fn views(kind: Kind, text: &[u8]) -> Vec<Value> {
    match kind {
        Kind::GrubDefaults => assigned(text),
        Kind::Entry => vec![written(text, 0, bls::values(text, "options"))],
        Kind::Environment => {
            grub::environment(text).into_values().map(|span| written(text, 0, [span])).collect()
        }
        Kind::CommandLine => vec![written(text, 0, command_lines(text))],
        Kind::Modprobe => {
            modprobe::options(text).into_iter().map(|line| written(text, 0, line.options)).collect()
        }
    }
}

/// The words that a shell script assigns, each assignment by itself.
fn assigned(text: &[u8]) -> Vec<Value> {
    let Ok(statements) = shell::parse(text) else { return Vec::new() };
    let words = statements.into_iter().filter_map(|statement| match statement.kind {
        StatementKind::Assignment { word, .. } => Some(word),
        StatementKind::Unset(_) | StatementKind::Anything => None,
    });
    let value = |word: shell::Word| {
        let mut value = Value::default();
        for piece in word.pieces {
            let (byte, origin) = match piece {
                ShellPiece::Byte(byte, span) => (byte, Some(Origin { source: 0, span })),
                // What stands here is none of this file's own words.
                ShellPiece::Variable(_) | ShellPiece::Unknown => (0, None),
            };
            value.bytes.push(byte);
            value.origins.push(origin);
        }
        value
    };
    words.map(value).collect()
}

/// The lines of `/etc/kernel/cmdline` that are no comments (kernel-install(8)).
pub(crate) fn command_lines(text: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let used = line.trim_ascii_end().len();
        if used > 0 && !line.trim_ascii_start().starts_with(b"#") {
            found.push(start..start + used);
        }
        start += line.len();
    }
    found
}

/// The file without the pieces that were written into it; `None` where nothing is left of a file that was not there.
pub(crate) fn without(kind: Kind, content: &[u8], pieces: &[Piece], was_there: bool) -> Option<Vec<u8>> {
    let size = content.len();
    let mut content = content.to_vec();
    for piece in pieces.iter().rev() {
        match piece {
            Piece::Word { before, after } => take_word(kind, &mut content, before.as_deref(), after),
            Piece::Line(line) => match without_line(&content, line.as_bytes()) {
                Some(rest) => content = rest,
                // Somebody has added to the line: only its words are ours.
                None => {
                    for view in views(kind, line.as_bytes()) {
                        for span in command_line::words(&view.bytes) {
                            let word = String::from_utf8_lossy(view.bytes.get(span).unwrap_or_default());
                            take_word(kind, &mut content, None, &word);
                        }
                    }
                }
            },
        }
    }
    if kind == Kind::Environment {
        content = padded(&content, size).unwrap_or(content);
    }
    (was_there || !content.trim_ascii().is_empty()).then_some(content)
}

fn without_line(text: &[u8], wanted: &[u8]) -> Option<Vec<u8>> {
    let mut start = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if line.trim_ascii_end() == wanted {
            let (before, rest) = text.split_at_checked(start)?;
            return Some([before, rest.get(line.len()..)?].concat());
        }
        start += line.len();
    }
    None
}

fn take_word(kind: Kind, content: &mut Vec<u8>, before: Option<&str>, after: &str) {
    let edits = take_back(&views(kind, content), before, after);
    if let Some(rest) = edits.and_then(|edits| text::splice(content, 0, &edits)) {
        *content = rest;
    }
}

/// An environment block of that size again, by the `#` at its end; `None` where its variables need more. GRUB writes
/// the block in place and never changes its size.
pub(crate) fn padded(block: &[u8], size: usize) -> Option<Vec<u8>> {
    let used = block.iter().rposition(|byte| *byte != b'#').map_or(0, |last| last + 1);
    let mut block = block.get(..used)?.to_vec();
    if block.len() > size {
        return None;
    }
    block.resize(size, b'#');
    Some(block)
}
