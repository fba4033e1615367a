//! The forms of RFC 4506 by hand, and what must not decode.

#![expect(unreachable_pub, reason = "`records!` declares what is public elsewhere")]

use std::borrow::Cow;
use std::fmt::Debug;

use super::sample::{Entropy, Sample};
use super::{
    CharArray, Chars, DecodeError, EncodeError, List, Opaque, STRING_MAX, Text, Uuid, Writer, Xdr, decode,
    encode, records,
};

records! {
    /// One field of each kind.
    Everything<'a> {
        unsigned: u32,
        signed: i32,
        wide: u64,
        wide_signed: i64,
        real: f64,
        flag: bool,
        small: u8,
        small_signed: i8,
        short: u16,
        name: Text<'a>,
        maybe: Option<Text<'a>>,
        uuid: Uuid,
        model: CharArray<4>,
        label: Chars<8>,
        names: List<Text<'a>, 4>,
        map: Opaque<'a, 8>,
        inner: Inner,
    }

    Inner { number: i32 }
}

#[track_caller]
fn both_ways<'a, T: Xdr<'a> + PartialEq + Debug>(value: &T, bytes: &'a [u8]) {
    assert_eq!(encode(value).unwrap(), bytes);
    assert_eq!(&decode::<T>(bytes).unwrap(), value);
    assert!(T::LEAST <= bytes.len(), "LEAST is {} for {} bytes", T::LEAST, bytes.len());
}

#[test]
fn numbers_are_big_endian_words() {
    both_ways(&0x0102_0304_u32, &[1, 2, 3, 4]);
    both_ways(&-2_i32, &[0xff, 0xff, 0xff, 0xfe]);
    both_ways(&0x0102_0304_0506_0708_u64, &[1, 2, 3, 4, 5, 6, 7, 8]);
    both_ways(&-1_i64, &[0xff; 8]);
    both_ways(&1.5_f64, &[0x3f, 0xf8, 0, 0, 0, 0, 0, 0]);
    both_ways(&true, &[0, 0, 0, 1]);
    both_ways(&200_u8, &[0, 0, 0, 200]);
    both_ways(&-1_i8, &[0xff; 4]);
    both_ways(&0xffff_u16, &[0, 0, 0xff, 0xff]);
}

#[test]
fn text_and_bytes_are_padded() {
    both_ways(&Text::from(""), &[0, 0, 0, 0]);
    both_ways(&Text::from("abc"), b"\0\0\0\x03abc\0");
    both_ways(&Text::from("abcd"), b"\0\0\0\x04abcd");
    both_ways(&Opaque::<4>::from(&[1_u8, 2][..]), &[0, 0, 0, 2, 1, 2, 0, 0]);
    both_ways(&Uuid([7; 16]), &[7; 16]);
    both_ways(&None::<Text<'_>>, &[0, 0, 0, 0]);
    both_ways(&Some(Text::from("a")), b"\0\0\0\x01\0\0\0\x01a\0\0\0");
}

#[test]
fn characters_take_a_word_each() {
    both_ways(&CharArray::<3>(*b"ab\0"), b"\0\0\0a\0\0\0b\0\0\0\0");
    both_ways(&Chars::<4>::new("x"), b"\0\0\0\x02\0\0\0x\0\0\0\0");
    assert_eq!(CharArray::<4>::new("long name").text(), "lon");
    assert_eq!(Chars::<9>::new("label").text(), "label");
}

#[test]
fn lists_are_counted() {
    both_ways(&List::<u32, 2>(vec![1, 2]), &[0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
    assert_eq!(
        decode::<List<u32, 2>>(&[0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]),
        Err(DecodeError::TooMany { what: "elements", count: 3, limit: 2 })
    );
    assert_eq!(
        encode(&List::<u32, 2>(vec![1, 2, 3])),
        Err(EncodeError::TooMany { what: "elements", count: 3, limit: 2 })
    );
}

#[test]
fn a_count_is_believed_only_as_far_as_the_bytes_reach() {
    let bytes = [0x00, 0x00, 0x40, 0x00, 0, 0, 0, 0];
    assert_eq!(
        decode::<List<Text<'_>, 16384>>(&bytes),
        Err(DecodeError::Short { wanted: 4 * 16384, left: 4 })
    );
    assert_eq!(decode::<Text<'_>>(&bytes), Err(DecodeError::Short { wanted: 16384, left: 4 }));
    assert_eq!(
        decode::<Text<'_>>(&[0xff; 8]),
        Err(DecodeError::TooMany { what: "bytes of text", count: 0xffff_ffff, limit: STRING_MAX })
    );
}

#[test]
fn only_the_one_form_of_a_value_decodes() {
    assert_eq!(decode::<Text<'_>>(b"\0\0\0\x03abc\x01"), Err(DecodeError::Padding));
    assert_eq!(decode::<Text<'_>>(b"\0\0\0\x03abc"), Err(DecodeError::Short { wanted: 1, left: 0 }));
    assert_eq!(decode::<Text<'_>>(b"\0\0\0\x03a\0c\0"), Err(DecodeError::NotText));
    assert_eq!(decode::<Text<'_>>(b"\0\0\0\x01\xff\0\0\0"), Err(DecodeError::NotText));
    assert_eq!(decode::<bool>(&[0, 0, 0, 2]), Err(DecodeError::NotFlag { value: 2 }));
    assert_eq!(decode::<Option<u32>>(&[1, 0, 0, 0]), Err(DecodeError::NotFlag { value: 0x0100_0000 }));
    assert_eq!(decode::<u8>(&[0, 0, 1, 0]), Err(DecodeError::OutOfRange { what: "u8", value: 256 }));
    assert_eq!(decode::<u32>(&[0, 0, 0, 0, 0]), Err(DecodeError::Trailing { count: 1 }));
    assert_eq!(decode::<()>(&[0, 0, 0, 0]), Err(DecodeError::Trailing { count: 4 }));
    assert_eq!(encode(&Text::from("a\0")), Err(EncodeError::Nul));
}

#[test]
fn text_is_borrowed_from_the_message() {
    let bytes = encode(&Text::from("a name")).unwrap();
    assert!(matches!(decode::<Text<'_>>(&bytes).unwrap(), Cow::Borrowed("a name")));
}

#[test]
fn marks_name_the_fields() {
    let value = List::<Inner, 4>(vec![Inner { number: 1 }, Inner { number: 2 }]);
    let mut writer = Writer::marking();
    value.write(&mut writer).unwrap();
    let (bytes, marks) = writer.into_marked_bytes();
    assert_eq!(bytes.len(), 12);
    let marks: Vec<_> = marks.iter().map(|mark| (mark.at, mark.name)).collect();
    assert_eq!(marks, [(4, "[]"), (4, "number"), (8, "[]"), (8, "number")]);
}

#[test]
fn a_uuid_is_shown_as_everywhere() {
    let uuid = Uuid(std::array::from_fn(|index| u8::try_from(index).unwrap()));
    assert_eq!(uuid.to_string(), "00010203-0405-0607-0809-0a0b0c0d0e0f");
}

proptest::proptest! {
    #[test]
    fn what_is_encoded_decodes(entropy in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        let value = Everything::sample(&mut Entropy::new(&entropy));
        let bytes = encode(&value).unwrap();
        proptest::prop_assert_eq!(decode::<Everything<'_>>(&bytes).unwrap(), value);
    }

    #[test]
    fn what_decodes_encodes_to_the_same_bytes(bytes in proptest::collection::vec(0_u8..3, 0..200)) {
        if let Ok(value) = decode::<Everything<'_>>(&bytes) {
            proptest::prop_assert_eq!(encode(&value).unwrap(), bytes);
        }
    }
}
