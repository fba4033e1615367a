//! XML's grammar: bytes to tokens, and what makes a text ill-formed.
//!
//! XML 1.0 (fifth edition) with namespaces, without document type declarations: those are refused, because
//! a domain needs none and their entities can exhaust memory. Nothing here recurses on its input.

pub(crate) mod cursor;
pub(crate) mod declaration;
pub(crate) mod decode;
pub(crate) mod lexer;
pub(crate) mod name;
pub(crate) mod tag;

use crate::span::{Position, Span, position};

/// The largest document that is read, in bytes.
pub const MAX_SIZE: usize = 16 * 1024 * 1024;
/// How deep elements may nest.
pub const MAX_DEPTH: usize = 256;
/// How many attributes one element may have.
pub const MAX_ATTRIBUTES: usize = 256;
/// How many elements, attributes and pieces of character data one document may have together.
pub const MAX_NODES: usize = 1_000_000;

/// Why a text is not a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {}, column {}: {message}", position.line, position.column)]
pub struct SyntaxError {
    /// The bytes at fault.
    pub span: Span,
    /// Where the fault starts.
    pub position: Position,
    pub message: String,
    /// Other places that explain the fault, such as the start of an element that is never closed.
    pub labels: Vec<(Span, String)>,
}

/// A fault before its line is known.
#[derive(Debug)]
pub(crate) struct Fault {
    span: Span,
    message: String,
    labels: Vec<(Span, String)>,
}

impl Fault {
    pub(crate) fn new(start: usize, end: usize, message: impl Into<String>) -> Self {
        Self { span: Span::new(start, end), message: message.into(), labels: Vec::new() }
    }

    pub(crate) fn label(mut self, span: Span, message: impl Into<String>) -> Self {
        self.labels.push((span, message.into()));
        self
    }

    pub(crate) fn locate(self, text: &str) -> SyntaxError {
        let Self { span, message, labels } = self;
        SyntaxError { span, position: position(text, span.start), message, labels }
    }
}

/// A name or value as messages show it: in backticks, and cut when it is very long.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        None => format!("`{text}`"),
        Some((cut, _)) => format!("`{}…`", text.get(..cut).unwrap_or_default()),
    }
}

/// Refuses what no part of a document may hold: too many bytes, and characters outside XML's `Char`.
pub(crate) fn check_text(text: &str) -> Result<(), Fault> {
    if text.len() > MAX_SIZE {
        let limit = MAX_SIZE / (1024 * 1024);
        return Err(Fault::new(0, 0, format!("the document is larger than the limit of {limit} MiB")));
    }
    // Nearly every text: no look at single characters is needed then.
    let is_plain = |byte: u8| matches!(byte, b' '..=b'\x7f' | b'\t' | b'\n' | b'\r');
    if text.bytes().fold(true, |plain, byte| plain & is_plain(byte)) {
        return Ok(());
    }
    match text.char_indices().find(|(_, character)| !name::is_char(*character)) {
        None => Ok(()),
        Some((at, character)) => Err(Fault::new(
            at,
            at + character.len_utf8(),
            format!("character U+{:04X} is not allowed in XML", u32::from(character)),
        )),
    }
}

#[cfg(test)]
mod tests;
