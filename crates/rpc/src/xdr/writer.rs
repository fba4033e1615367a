//! What XDR is written to. On demand it notes where each field begins, so that a packet can be shown field by field.

use super::{EncodeError, STRING_MAX};

/// Collects the bytes of a message.
#[derive(Debug, Clone, Default)]
pub struct Writer {
    bytes: Vec<u8>,
    marks: Option<Vec<Mark>>,
}

/// The place where a field begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Offset from the first byte written.
    pub at: usize,
    /// The field's name; `[]` for an element of a list.
    pub name: &'static str,
}

impl Writer {
    pub fn new() -> Self {
        Self::default()
    }

    /// A writer that notes where fields begin.
    pub fn marking() -> Self {
        Self { bytes: Vec::new(), marks: Some(Vec::new()) }
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The bytes and the fields' places, in order; nested fields follow the one that holds them at the same offset.
    pub fn into_marked_bytes(self) -> (Vec<u8>, Vec<Mark>) {
        (self.bytes, self.marks.unwrap_or_default())
    }

    pub(crate) fn mark(&mut self, name: &'static str) {
        if let Some(marks) = &mut self.marks {
            marks.push(Mark { at: self.bytes.len(), name });
        }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn word(&mut self, word: u32) {
        self.bytes(&word.to_be_bytes());
    }

    pub(crate) fn count(
        &mut self,
        what: &'static str,
        count: usize,
        limit: usize,
    ) -> Result<(), EncodeError> {
        match u32::try_from(count) {
            Ok(word) if count <= limit => {
                self.word(word);
                Ok(())
            }
            _ => Err(EncodeError::TooMany { what, count, limit }),
        }
    }

    pub(crate) fn opaque(
        &mut self,
        what: &'static str,
        bytes: &[u8],
        limit: usize,
    ) -> Result<(), EncodeError> {
        self.count(what, bytes.len(), limit)?;
        self.bytes(bytes);
        let padding = bytes.len().next_multiple_of(4) - bytes.len();
        self.bytes(&[0; 3][..padding]);
        Ok(())
    }

    pub(crate) fn text(&mut self, text: &str) -> Result<(), EncodeError> {
        if text.as_bytes().contains(&0) {
            return Err(EncodeError::Nul);
        }
        self.opaque("bytes of text", text.as_bytes(), STRING_MAX)
    }
}
