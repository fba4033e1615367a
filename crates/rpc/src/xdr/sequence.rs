//! What comes with a count: lists, opaque bytes, and the protocol's arrays of `char`. The limit is part of the type.

use std::borrow::Cow;
use std::ops::Deref;

use super::{DecodeError, EncodeError, Reader, Text, Writer, Xdr};

/// At most `MAX` elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List<T, const MAX: usize>(pub Vec<T>);

impl<'a, T: Xdr<'a>, const MAX: usize> Xdr<'a> for List<T, MAX> {
    const LEAST: usize = 4;

    fn read(from: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let count = from.count("elements", MAX, T::LEAST)?;
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(T::read(from)?);
        }
        Ok(Self(elements))
    }

    fn write(&self, to: &mut Writer) -> Result<(), EncodeError> {
        to.count("elements", self.0.len(), MAX)?;
        for element in &self.0 {
            to.mark("[]");
            element.write(to)?;
        }
        Ok(())
    }
}

impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> From<Vec<T>> for List<T, MAX> {
    fn from(elements: Vec<T>) -> Self {
        Self(elements)
    }
}

impl<T, const MAX: usize> FromIterator<T> for List<T, MAX> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        Self(elements.into_iter().collect())
    }
}

impl<T, const MAX: usize> Deref for List<T, MAX> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

/// At most `MAX` bytes of any kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Opaque<'a, const MAX: usize>(pub Cow<'a, [u8]>);

impl<'a, const MAX: usize> Xdr<'a> for Opaque<'a, MAX> {
    const LEAST: usize = 4;

    fn read(from: &mut Reader<'a>) -> Result<Self, DecodeError> {
        from.opaque("bytes", MAX).map(|bytes| Self(Cow::Borrowed(bytes)))
    }

    fn write(&self, to: &mut Writer) -> Result<(), EncodeError> {
        to.opaque("bytes", &self.0, MAX)
    }
}

impl<'a, const MAX: usize> From<Cow<'a, [u8]>> for Opaque<'a, MAX> {
    fn from(bytes: Cow<'a, [u8]>) -> Self {
        Self(bytes)
    }
}

impl<'a, const MAX: usize> From<&'a [u8]> for Opaque<'a, MAX> {
    fn from(bytes: &'a [u8]) -> Self {
        Self(Cow::Borrowed(bytes))
    }
}

impl<const MAX: usize> From<Vec<u8>> for Opaque<'_, MAX> {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Cow::Owned(bytes))
    }
}

/// `char name<MAX>` of libvirt's protocol: each character takes a word of its own. libvirt sends C strings this way,
/// with their final NUL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chars<const MAX: usize>(pub Vec<u8>);

impl<const MAX: usize> Chars<MAX> {
    /// `text` and a NUL.
    pub fn new(text: &str) -> Self {
        Self(text.bytes().chain([0]).collect())
    }

    /// Up to the first NUL.
    pub fn text(&self) -> Text<'_> {
        String::from_utf8_lossy(self.0.split(|byte| *byte == 0).next().unwrap_or_default())
    }
}

impl<const MAX: usize> Xdr<'_> for Chars<MAX> {
    const LEAST: usize = 4;

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = from.count("characters", MAX, 4)?;
        let mut bytes = Vec::with_capacity(count);
        for _ in 0..count {
            bytes.push(i8::read(from)?.cast_unsigned());
        }
        Ok(Self(bytes))
    }

    fn write(&self, to: &mut Writer) -> Result<(), EncodeError> {
        to.count("characters", self.0.len(), MAX)?;
        self.0.iter().try_for_each(|byte| byte.cast_signed().write(to))
    }
}
