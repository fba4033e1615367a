//! For tests: a value of any type, made from bytes, so that a property can walk all values and shrink them.

use std::borrow::Cow;

use super::{CharArray, Chars, Hidden, List, Opaque, Text, Uuid};

/// Bytes that decide what a value is. When they run out it is zeros.
pub(crate) struct Entropy<'b> {
    left: &'b [u8],
}

impl<'b> Entropy<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self { left: bytes }
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, left)) = self.left.split_first() else { return 0 };
        self.left = left;
        *first
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    /// A short length: long ones would only make the tests slow.
    fn length(&mut self, limit: usize) -> usize {
        usize::from(self.byte() % 6).min(limit)
    }
}

pub(crate) trait Sample {
    fn sample(from: &mut Entropy<'_>) -> Self;
}

impl Sample for () {
    fn sample(_from: &mut Entropy<'_>) -> Self {}
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Sample for $number {
            fn sample(from: &mut Entropy<'_>) -> Self {
                // One byte says whether the number is small, as most are.
                match from.byte() {
                    0..128 => Self::from(from.byte() % 128),
                    _ => Self::from_be_bytes(from.array()),
                }
            }
        }
    )*};
}

numbers!(u8, u16, u32, i32, u64, i64);

impl Sample for i8 {
    fn sample(from: &mut Entropy<'_>) -> Self {
        from.byte().cast_signed()
    }
}

impl Sample for f64 {
    fn sample(from: &mut Entropy<'_>) -> Self {
        let number = Self::from_be_bytes(from.array());
        if number.is_nan() { 0.5 } else { number }
    }
}

impl Sample for bool {
    fn sample(from: &mut Entropy<'_>) -> Self {
        from.byte() % 2 == 1
    }
}

impl Sample for Text<'_> {
    fn sample(from: &mut Entropy<'_>) -> Self {
        let alphabet = ['a', 'Z', '0', '-', '<', '\n', 'ä', '😀'];
        Cow::Owned(
            (0..from.length(usize::MAX))
                .map(|_| alphabet[usize::from(from.byte()) % alphabet.len()])
                .collect(),
        )
    }
}

impl<T: Sample> Sample for Option<T> {
    fn sample(from: &mut Entropy<'_>) -> Self {
        bool::sample(from).then(|| T::sample(from))
    }
}

impl<T: Sample, const MAX: usize> Sample for List<T, MAX> {
    fn sample(from: &mut Entropy<'_>) -> Self {
        (0..from.length(MAX)).map(|_| T::sample(from)).collect()
    }
}

impl<const MAX: usize> Sample for Opaque<'_, MAX> {
    fn sample(from: &mut Entropy<'_>) -> Self {
        (0..from.length(MAX)).map(|_| from.byte()).collect::<Vec<_>>().into()
    }
}

impl<const MAX: usize> Sample for Chars<MAX> {
    fn sample(from: &mut Entropy<'_>) -> Self {
        Self((0..from.length(MAX)).map(|_| from.byte()).collect())
    }
}

impl<const N: usize> Sample for CharArray<N> {
    fn sample(from: &mut Entropy<'_>) -> Self {
        Self(from.array())
    }
}

impl Sample for Uuid {
    fn sample(from: &mut Entropy<'_>) -> Self {
        Self(from.array())
    }
}

impl<T: Sample> Sample for Hidden<T> {
    fn sample(from: &mut Entropy<'_>) -> Self {
        Self(T::sample(from))
    }
}
