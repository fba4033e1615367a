//! A cursor over the bytes of one message: each step checks what is left before it takes.

use std::str;

use super::{DecodeError, STRING_MAX};

/// Reads XDR from bytes that somebody else sent.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    /// How many bytes have not been read.
    pub fn left(&self) -> usize {
        self.left.len()
    }

    /// Says that nothing more is expected.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.left.len() {
            0 => Ok(()),
            count => Err(DecodeError::Trailing { count }),
        }
    }

    fn take(&mut self, wanted: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, left) =
            self.left.split_at_checked(wanted).ok_or(DecodeError::Short { wanted, left: self.left.len() })?;
        self.left = left;
        Ok(taken)
    }

    /// `N` bytes that need no padding, as they come: words, and fixed opaque bytes such as a UUID.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, left) =
            self.left.split_first_chunk().ok_or(DecodeError::Short { wanted: N, left: self.left.len() })?;
        self.left = left;
        Ok(*taken)
    }

    pub(crate) fn word(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn flag(&mut self) -> Result<bool, DecodeError> {
        match self.word()? {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(DecodeError::NotFlag { value }),
        }
    }

    /// The count of what follows: at most `limit`, and no more than fits when each element takes `least` bytes.
    pub(crate) fn count(
        &mut self,
        what: &'static str,
        limit: usize,
        least: usize,
    ) -> Result<usize, DecodeError> {
        let count = usize::try_from(self.word()?).unwrap_or(usize::MAX);
        if count > limit {
            return Err(DecodeError::TooMany { what, count, limit });
        }
        let wanted = count.saturating_mul(least);
        if wanted > self.left.len() {
            return Err(DecodeError::Short { wanted, left: self.left.len() });
        }
        Ok(count)
    }

    /// Counted bytes with their padding.
    pub(crate) fn opaque(&mut self, what: &'static str, limit: usize) -> Result<&'a [u8], DecodeError> {
        let count = self.count(what, limit, 1)?;
        let bytes = self.take(count)?;
        let padding = self.take(count.next_multiple_of(4) - count)?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(DecodeError::Padding);
        }
        Ok(bytes)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, DecodeError> {
        let bytes = self.opaque("bytes of text", STRING_MAX)?;
        match str::from_utf8(bytes) {
            Ok(text) if !bytes.contains(&0) => Ok(text),
            _ => Err(DecodeError::NotText),
        }
    }
}
