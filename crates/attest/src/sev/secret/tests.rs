//! Tables and packets from both sides. Known answers are in `tests/vectors.rs`.

use proptest::prelude::*;

use super::*;
use crate::sev::keys::{Tek, Tik};

const API: ApiVersion = ApiVersion { major: 1, minor: 55 };

fn keys() -> TransportKeys {
    TransportKeys { tek: Tek::new([1; 16]), tik: Tik::new([2; 16]) }
}

fn measurement(byte: u8) -> Measurement {
    Measurement::parse(&[byte; Measurement::LEN]).unwrap()
}

fn entry(guid: u128, data: &[u8]) -> Entry {
    Entry { guid: Guid::new(guid), data: Zeroizing::new(data.to_vec()) }
}

#[test]
fn a_processor_opens_what_an_owner_sealed_for_this_launch_only() {
    let packet = Packet::seal(&keys(), API, &measurement(3), &[4; 16], &[5; 32]).unwrap();
    let open = |keys: &TransportKeys, measured: u8, guest_len| {
        Packet::open(keys, API, &measurement(measured), &packet.header, &packet.ciphertext, guest_len)
    };
    assert_eq!(open(&keys(), 3, 32).map(|payload| payload.to_vec()), Ok(vec![5; 32]));
    assert_eq!(open(&keys(), 4, 32).err(), Some(OpenError::Mac));
    let other = TransportKeys { tik: Tik::new([9; 16]), ..keys() };
    assert_eq!(open(&other, 3, 32).err(), Some(OpenError::Mac));
    let misfit = OpenError::Length { header: 52, packet: 32, guest: 48 };
    assert_eq!(open(&keys(), 3, 48).err(), Some(misfit));
}

#[test]
fn every_flipped_bit_of_a_packet_is_noticed() {
    let packet = Packet::seal(&keys(), API, &measurement(3), &[4; 16], &[5; 16]).unwrap();
    for bit in 0..(Packet::HEADER_LEN + 16) * 8 {
        let mut bytes = [packet.header.as_slice(), &packet.ciphertext].concat();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let (header, ciphertext) = bytes.split_at(Packet::HEADER_LEN);
        assert!(Packet::open(&keys(), API, &measurement(3), header, ciphertext, 16).is_err(), "bit {bit}");
    }
}

#[test]
fn old_firmware_does_not_bind_secrets_to_a_measurement() {
    let old = ApiVersion { major: 0, minor: 16 };
    let seal =
        |api, measured| Packet::seal(&keys(), api, &measurement(measured), &[0; 16], &[0; 16]).unwrap();
    assert_eq!(seal(old, 1), seal(old, 2));
    assert_ne!(seal(API, 1), seal(API, 2));
}

#[test]
fn holds_payloads_to_the_lengths_of_the_command() {
    let seal = |len: usize| {
        Packet::seal(&keys(), API, &measurement(0), &[0; 16], &vec![0; len])
            .map(|packet| packet.ciphertext.len())
    };
    for len in [16, 32, MAX_LEN] {
        assert_eq!(seal(len), Ok(len));
    }
    for len in [0, 15, 17, MAX_LEN + 16] {
        assert_eq!(seal(len), Err(PayloadLength { len }));
        let opened = Packet::open(&keys(), API, &measurement(0), &[0; 52], &vec![0; len], len);
        assert!(matches!(opened, Err(OpenError::Length { .. })));
    }
}

#[test]
fn compressed_packets_are_refused_by_name() {
    let mut packet = Packet::seal(&keys(), API, &measurement(3), &[4; 16], &[5; 16]).unwrap();
    packet.header[0] = 1;
    let opened = Packet::open(&keys(), API, &measurement(3), &packet.header, &packet.ciphertext, 16);
    assert_eq!(opened.err(), Some(OpenError::Flags(1)));
}

#[test]
fn tables_fit_or_are_refused() {
    assert_eq!(table(&[]).err(), Some(TableError::Empty));
    let twice = [entry(1, b"a"), entry(2, b"b"), entry(1, b"c")];
    assert_eq!(table(&twice).err(), Some(TableError::Duplicate(Guid::new(1))));

    let len = |data: usize| table(&[entry(1, &vec![7; data])]).map(|table| table.len());
    assert_eq!(len(0), Ok(48));
    assert_eq!(len(8), Ok(48));
    assert_eq!(len(9), Ok(64));
    assert_eq!(len(16343), Ok(MAX_LEN));
    assert_eq!(len(16344), Ok(MAX_LEN));
    assert_eq!(len(16345), Err(TableError::TooLong { len: MAX_LEN + 16 }));
}

#[test]
fn says_where_a_table_is_broken() {
    let whole = table(&[entry(1, b"abc")]).unwrap();
    let with = |at: usize, value: u8| {
        let mut bytes = whole.to_vec();
        bytes[at] = value;
        parse_table(&bytes).err()
    };
    assert_eq!(with(0, 0), Some(ParseTableError::Header));
    assert_eq!(with(16, 19), Some(ParseTableError::Length { at: 16 }));
    assert_eq!(with(16, 49), Some(ParseTableError::Length { at: 16 }));
    assert_eq!(with(36, 19), Some(ParseTableError::Length { at: 36 }));
    assert_eq!(with(36, 24), Some(ParseTableError::Length { at: 36 }));
    assert_eq!(with(47, 1), Some(ParseTableError::Padding));
    assert_eq!(parse_table(&whole[..19]).err(), Some(ParseTableError::Header));
}

proptest! {
    #[test]
    fn tables_read_back(secrets in proptest::collection::btree_map(any::<u128>(), proptest::collection::vec(any::<u8>(), 0..99), 1..9), more in 0_usize..40) {
        let entries: Vec<_> = secrets.iter().map(|(guid, data)| entry(*guid, data)).collect();
        let mut bytes = table(&entries).unwrap().to_vec();
        prop_assert_eq!(bytes.len() % ALIGNMENT, 0);
        bytes.resize(bytes.len() + more, 0);
        let read: std::collections::BTreeMap<_, _> =
            parse_table(&bytes).unwrap().into_iter().map(|entry| (entry.guid, entry.data.to_vec())).collect();
        let expected = secrets.into_iter().map(|(guid, data)| (Guid::new(guid), data)).collect();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn hostile_tables_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), small in any::<bool>()) {
        if bytes.len() > 40 && small {
            bytes[..16].copy_from_slice(TABLE.as_bytes());
            bytes[17..20].fill(0);
            bytes[37..40].fill(0);
        }
        let _ = parse_table(&bytes);
    }
}
