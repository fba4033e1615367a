//! Typed parameters: names with values of one of seven types, by which libvirt's calls grow without new structures.

use crate::xdr::{DecodeError, EncodeError, List, Reader, Text, Writer, Xdr, records};

/// As many parameters as the call allows.
pub type Params<'a, const MAX: usize> = List<TypedParam<'a>, MAX>;

records! {
    /// One parameter.
    TypedParam<'a> { field: Text<'a>, value: Value<'a> }
}

impl<'a> TypedParam<'a> {
    pub fn new(field: impl Into<Text<'a>>, value: impl Into<Value<'a>>) -> Self {
        Self { field: field.into(), value: value.into() }
    }
}

/// A parameter's value, and by it its type: `virTypedParameterType`.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    Int(i32),
    Uint(u32),
    Llong(i64),
    Ullong(u64),
    Double(f64),
    Boolean(bool),
    String(Text<'a>),
}

impl Value<'_> {
    /// The number of its type.
    fn kind(&self) -> u32 {
        match self {
            Self::Int(_) => 1,
            Self::Uint(_) => 2,
            Self::Llong(_) => 3,
            Self::Ullong(_) => 4,
            Self::Double(_) => 5,
            Self::Boolean(_) => 6,
            Self::String(_) => 7,
        }
    }
}

impl<'a> Xdr<'a> for Value<'a> {
    const LEAST: usize = 8;

    fn read(from: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(match from.word()? {
            1 => Self::Int(Xdr::read(from)?),
            2 => Self::Uint(Xdr::read(from)?),
            3 => Self::Llong(Xdr::read(from)?),
            4 => Self::Ullong(Xdr::read(from)?),
            5 => Self::Double(Xdr::read(from)?),
            6 => Self::Boolean(Xdr::read(from)?),
            7 => Self::String(Xdr::read(from)?),
            value => return Err(DecodeError::OutOfRange { what: "typed parameter types", value }),
        })
    }

    fn write(&self, to: &mut Writer) -> Result<(), EncodeError> {
        to.word(self.kind());
        match self {
            Self::Int(value) => value.write(to),
            Self::Uint(value) => value.write(to),
            Self::Llong(value) => value.write(to),
            Self::Ullong(value) => value.write(to),
            Self::Double(value) => value.write(to),
            Self::Boolean(value) => value.write(to),
            Self::String(value) => value.write(to),
        }
    }
}

macro_rules! values {
    ($($kind:ty => $variant:ident),* $(,)?) => {$(
        impl<'a> From<$kind> for Value<'a> {
            fn from(value: $kind) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}

values! {
    i32 => Int,
    u32 => Uint,
    i64 => Llong,
    u64 => Ullong,
    f64 => Double,
    bool => Boolean,
    &'a str => String,
    String => String,
    Text<'a> => String,
}

#[cfg(test)]
impl crate::xdr::sample::Sample for Value<'_> {
    fn sample(from: &mut crate::xdr::sample::Entropy<'_>) -> Self {
        use crate::xdr::sample::Sample;
        match from.byte() % 7 {
            0 => Self::Int(Sample::sample(from)),
            1 => Self::Uint(Sample::sample(from)),
            2 => Self::Llong(Sample::sample(from)),
            3 => Self::Ullong(Sample::sample(from)),
            4 => Self::Double(Sample::sample(from)),
            5 => Self::Boolean(Sample::sample(from)),
            _ => Self::String(Sample::sample(from)),
        }
    }
}
