//! The protocol between the preload library and `sevsim`: one command a frame, one answer a frame, in turn.
//!
//! A frame is a `u32` length and that many bytes; all numbers are little-endian. A request is `version`, a tag and the
//! command's fields in order; an answer is `version`, a `u32` firmware status and, when that is 0, a tag and the reply's
//! fields. Byte strings carry a `u32` length. Decoding takes nothing on trust: lengths are checked against what is there and
//! against [`MAX_FRAME`], and bytes left over are an error, so that a value has exactly one encoding.

#![warn(clippy::disallowed_methods, clippy::disallowed_types)]

mod read;
mod reply;
mod request;
mod write;

use std::io;

pub use reply::{decode_answer, encode_answer};
pub use request::{decode_command, encode_command};

/// The most guest memory that one command carries, in bytes. More is sent as several commands, which measure the same.
pub const MAX_DATA: usize = 4 * 1024 * 1024;

/// The longest frame, in bytes, without its length.
pub const MAX_FRAME: usize = MAX_DATA + 16 * 1024;

/// The first byte of every frame.
const VERSION: u8 = 1;

/// Why a frame is not a command or an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("the frame ends within a field")]
    Truncated,
    #[error("the frame has bytes beyond its last field")]
    Trailing,
    #[error("the frame of {0} bytes is longer than {MAX_FRAME}")]
    TooLong(usize),
    #[error("the frame has protocol version {0}, not {VERSION}")]
    Version(u8),
    #[error("there is no {what} with the number {value}")]
    Unknown { what: &'static str, value: u32 },
}

impl From<WireError> for io::Error {
    fn from(error: WireError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// Reads one frame; nothing at a clean end of the stream.
///
/// Memory grows with the bytes that arrive, not with the length that the peer claims.
///
/// # Errors
/// What the stream says, `UnexpectedEof` within a frame, `InvalidData` for a frame over [`MAX_FRAME`].
pub fn read_frame(stream: &mut impl io::Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    let mut have = 0;
    while have < length.len() {
        match stream.read(&mut length[have..]) {
            Ok(0) if have == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => have += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_FRAME {
        return Err(WireError::TooLong(length).into());
    }
    let mut frame = Vec::new();
    let limit = u64::try_from(length).unwrap_or(u64::MAX);
    io::Read::read_to_end(&mut io::Read::take(stream, limit), &mut frame)?;
    if frame.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(frame))
}

/// Writes one frame.
///
/// # Errors
/// What the stream says, `InvalidData` for a frame over [`MAX_FRAME`].
pub fn write_frame(stream: &mut impl io::Write, frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).ok().filter(|_| frame.len() <= MAX_FRAME);
    let length = length.ok_or(WireError::TooLong(frame.len()))?;
    stream.write_all(&length.to_le_bytes())?;
    stream.write_all(frame)?;
    stream.flush()
}

#[cfg(test)]
pub(crate) mod tests;
