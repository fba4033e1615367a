//! Appends fields to a frame.

use super::VERSION;

/// A frame under construction.
///
/// Byte strings over 4 GiB would wrap their length; [`super::write_frame`] refuses frames far below that.
#[derive(Debug)]
pub(super) struct Writer {
    frame: Vec<u8>,
}

impl Writer {
    /// Starts with the version byte and has room for `capacity` bytes more.
    pub(super) fn new(capacity: usize) -> Self {
        let mut frame = Vec::with_capacity(capacity.saturating_add(64));
        frame.push(VERSION);
        Self { frame }
    }

    pub(super) fn array<const N: usize>(&mut self, bytes: &[u8; N]) -> &mut Self {
        self.frame.extend_from_slice(bytes);
        self
    }

    pub(super) fn u8(&mut self, value: u8) -> &mut Self {
        self.array(&[value])
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Self {
        self.array(&value.to_le_bytes())
    }

    pub(super) fn u64(&mut self, value: u64) -> &mut Self {
        self.array(&value.to_le_bytes())
    }

    pub(super) fn flag(&mut self, value: bool) -> &mut Self {
        self.u8(u8::from(value))
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.frame.extend_from_slice(bytes);
        self
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.frame
    }
}
