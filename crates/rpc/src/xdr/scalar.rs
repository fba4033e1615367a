//! Values of fixed size, text, and what may be absent.

use std::borrow::Cow;
use std::fmt;

use super::{DecodeError, EncodeError, Reader, Text, Writer, Xdr};

impl Xdr<'_> for () {
    const LEAST: usize = 0;

    fn read(_from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(())
    }

    fn write(&self, _to: &mut Writer) -> Result<(), EncodeError> {
        Ok(())
    }
}

/// Numbers that travel as they are.
macro_rules! whole {
    ($($number:ty),*) => {$(
        impl Xdr<'_> for $number {
            const LEAST: usize = size_of::<$number>();

            fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(Self::from_be_bytes(from.array()?))
            }

            fn write(&self, to: &mut Writer) -> Result<(), EncodeError> {
                to.bytes(&self.to_be_bytes());
                Ok(())
            }
        }
    )*};
}

whole!(u32, i32, u64, i64, f64);

/// Numbers that are smaller than the word that they travel in.
macro_rules! narrow {
    ($($number:ty),*) => {$(
        impl Xdr<'_> for $number {
            const LEAST: usize = 4;

            fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
                let word = i32::read(from)?;
                Self::try_from(word).map_err(|_| DecodeError::OutOfRange {
                    what: stringify!($number),
                    value: word.cast_unsigned(),
                })
            }

            fn write(&self, to: &mut Writer) -> Result<(), EncodeError> {
                i32::from(*self).write(to)
            }
        }
    )*};
}

narrow!(u8, i8, u16);

impl Xdr<'_> for bool {
    const LEAST: usize = 4;

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        from.flag()
    }

    fn write(&self, to: &mut Writer) -> Result<(), EncodeError> {
        to.word(u32::from(*self));
        Ok(())
    }
}

impl<'a> Xdr<'a> for Text<'a> {
    const LEAST: usize = 4;

    fn read(from: &mut Reader<'a>) -> Result<Self, DecodeError> {
        from.text().map(Cow::Borrowed)
    }

    fn write(&self, to: &mut Writer) -> Result<(), EncodeError> {
        to.text(self)
    }
}

impl<'a, T: Xdr<'a>> Xdr<'a> for Option<T> {
    const LEAST: usize = 4;

    fn read(from: &mut Reader<'a>) -> Result<Self, DecodeError> {
        from.flag()?.then(|| T::read(from)).transpose()
    }

    fn write(&self, to: &mut Writer) -> Result<(), EncodeError> {
        to.word(u32::from(self.is_some()));
        self.as_ref().map_or(Ok(()), |value| value.write(to))
    }
}

/// A UUID: 16 bytes without a count, most significant first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid(pub [u8; 16]);

impl Xdr<'_> for Uuid {
    const LEAST: usize = 16;

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        from.array().map(Self)
    }

    fn write(&self, to: &mut Writer) -> Result<(), EncodeError> {
        to.bytes(&self.0);
        Ok(())
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `char name[N]` of libvirt's protocol: each character takes a word of its own. Ends with NULs where it is shorter.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CharArray<const N: usize>(pub [u8; N]);

impl<const N: usize> CharArray<N> {
    /// The first `N - 1` bytes of `text`, and NULs.
    pub fn new(text: &str) -> Self {
        let mut bytes = [0; N];
        for (place, byte) in bytes.iter_mut().zip(text.bytes()).take(N.saturating_sub(1)) {
            *place = byte;
        }
        Self(bytes)
    }

    /// Up to the first NUL.
    pub fn text(&self) -> Text<'_> {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(N);
        String::from_utf8_lossy(&self.0[..end])
    }
}

impl<const N: usize> Xdr<'_> for CharArray<N> {
    const LEAST: usize = 4 * N;

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut bytes = [0; N];
        for byte in &mut bytes {
            *byte = i8::read(from)?.cast_unsigned();
        }
        Ok(Self(bytes))
    }

    fn write(&self, to: &mut Writer) -> Result<(), EncodeError> {
        self.0.iter().try_for_each(|byte| byte.cast_signed().write(to))
    }
}

impl<const N: usize> fmt::Debug for CharArray<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text(), f)
    }
}

/// A secret: travels like what it wraps, and is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden<T>(pub T);

impl<'a, T: Xdr<'a>> Xdr<'a> for Hidden<T> {
    const LEAST: usize = T::LEAST;

    fn read(from: &mut Reader<'a>) -> Result<Self, DecodeError> {
        T::read(from).map(Self)
    }

    fn write(&self, to: &mut Writer) -> Result<(), EncodeError> {
        self.0.write(to)
    }
}

impl<T> fmt::Debug for Hidden<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}
