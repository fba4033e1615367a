//! A place in a text, and the small steps that the grammar is made of.

use super::{Fault, name, quoted};
use crate::span::Span;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'t> {
    pub(crate) text: &'t str,
    /// Always on a character boundary.
    pub(crate) at: usize,
}

impl<'t> Cursor<'t> {
    pub(crate) fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Steps over `token` if it is next.
    pub(crate) fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    /// Steps over white space; true if there was any.
    pub(crate) fn skip_space(&mut self) -> bool {
        let start = self.at;
        while self.peek().is_some_and(name::is_space) {
            self.at += 1;
        }
        self.at > start
    }

    /// Steps to just after the next `token`; None leaves the cursor where it is.
    pub(crate) fn skip_past(&mut self, token: &str) -> Option<Span> {
        let offset = self.rest().find(token)?;
        let found = Span::new(self.at, self.at + offset);
        self.at += offset + token.len();
        Some(found)
    }

    /// A qualified name (Namespaces in XML 1.0 §4); `what` says whose.
    pub(crate) fn qualified_name(&mut self, what: &str) -> Result<Span, Fault> {
        let start = self.at;
        let rest = self.rest();
        // Nearly every name: letters of ASCII, and an end that no name goes on with.
        let plain = rest.bytes().take_while(|byte| name::is_plain(*byte)).count();
        let next = rest.as_bytes().get(plain).copied().unwrap_or(b' ');
        let begins = rest.as_bytes().first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
        if begins && next.is_ascii() && next != b':' {
            self.at += plain;
            return Ok(Span::new(start, self.at));
        }
        let len = rest.find(|c| !(name::is_continue(c) || c == ':')).unwrap_or(rest.len());
        let text = rest.get(..len).unwrap_or_default();
        if text.is_empty() {
            return Err(self.unexpected(&format!("expected {what}")));
        }
        self.at += len;
        let well_formed = text.split(':').count() <= 2
            && text.split(':').all(|part| part.chars().next().is_some_and(name::is_start));
        if well_formed {
            Ok(Span::new(start, self.at))
        } else {
            Err(Fault::new(start, self.at, format!("{} is not a valid name", quoted(text))))
        }
    }

    /// A fault at the next character, or at the end of the text.
    pub(crate) fn unexpected(&self, expected: &str) -> Fault {
        match self.rest().chars().next() {
            Some(character) => Fault::new(
                self.at,
                self.at + character.len_utf8(),
                format!("{expected}, found `{}`", character.escape_debug()),
            ),
            None => Fault::new(self.at, self.at, format!("{expected}, found the end of the document")),
        }
    }
}
