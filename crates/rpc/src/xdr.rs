//! XDR (RFC 4506), as libvirt uses it: big-endian words of four bytes, strings and opaque bytes padded with zeros to
//! the next word, counted arrays, and a flag word before what may be absent.
//!
//! Everything is bounded twice: by the limit that the protocol gives a string, an array or opaque bytes, and by the
//! bytes that are really there. Text and opaque bytes are borrowed from the message; only lists allocate, and only as
//! many elements as the rest of the message can hold. What decodes encodes to the very same bytes: padding must be
//! zero, flags are 0 or 1, text is UTF-8 without NUL, and nothing may follow the last field.

use std::borrow::Cow;

mod reader;
mod record;
mod scalar;
mod sequence;
mod writer;

pub use reader::Reader;
pub(crate) use record::{record, records};
pub use scalar::{CharArray, Hidden, Uuid};
pub use sequence::{Chars, List, Opaque};
pub use writer::{Mark, Writer};

/// The longest string that libvirt's protocol carries, in bytes: `REMOTE_STRING_MAX`.
pub const STRING_MAX: usize = 4 << 20;

/// A string of the protocol, borrowed from the message where it was decoded from one.
pub type Text<'a> = Cow<'a, str>;

/// A value that has an XDR form. `'a` is the life of the message that it is read from.
pub trait Xdr<'a>: Sized {
    /// The fewest bytes that a value takes: what bounds the number of elements of a list before it is allocated.
    const LEAST: usize;

    fn read(from: &mut Reader<'a>) -> Result<Self, DecodeError>;

    fn write(&self, to: &mut Writer) -> Result<(), EncodeError>;
}

/// Reads one value that must take up all of `bytes`.
pub fn decode<'a, T: Xdr<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    let mut reader = Reader::new(bytes);
    let value = T::read(&mut reader)?;
    reader.finish()?;
    Ok(value)
}

/// The bytes of one value.
pub fn encode<'a, T: Xdr<'a>>(value: &T) -> Result<Vec<u8>, EncodeError> {
    let mut writer = Writer::new();
    value.write(&mut writer)?;
    Ok(writer.into_bytes())
}

/// Why bytes are not the value that they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("{wanted} bytes wanted, {left} left")]
    Short { wanted: usize, left: usize },
    #[error("{count} {what}, {limit} are the limit")]
    TooMany { what: &'static str, count: usize, limit: usize },
    #[error("padding that is not zero")]
    Padding,
    #[error("text that is not UTF-8 or holds a NUL")]
    NotText,
    #[error("{value} where only 0 and 1 stand")]
    NotFlag { value: u32 },
    #[error("{value} is out of the range of {what}")]
    OutOfRange { what: &'static str, value: u32 },
    #[error("{count} bytes after the last field")]
    Trailing { count: usize },
}

/// Why a value has no form on the wire.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    #[error("{count} {what}, {limit} are the limit")]
    TooMany { what: &'static str, count: usize, limit: usize },
    #[error("text that holds a NUL")]
    Nul,
}

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
