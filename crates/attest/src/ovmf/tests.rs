//! Images made here; real ones are read in `tests/vectors.rs`.

use proptest::prelude::*;

use super::*;

/// An image of 4 KiB whose table has these entries, in this order.
fn image(entries: &[(Guid, Vec<u8>)]) -> Vec<u8> {
    let mut table = Vec::new();
    for (guid, data) in entries {
        table.extend_from_slice(data);
        trailer(&mut table, *guid, data.len());
    }
    let len = table.len();
    trailer(&mut table, TABLE, len);
    let mut image = vec![0; 4096 - RESET_VECTOR_LEN - table.len()];
    image.extend_from_slice(&table);
    image.resize(4096, 0);
    image
}

fn trailer(bytes: &mut Vec<u8>, guid: Guid, data: usize) {
    let len = u16::try_from(data + TRAILER_LEN).unwrap();
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.extend_from_slice(guid.as_bytes());
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[test]
fn tells_absent_from_empty_from_there() {
    let read = |entries: &[(Guid, Vec<u8>)]| Firmware::parse(&image(entries)).unwrap();
    assert_eq!(read(&[]).hash_table, Area::Absent);
    for empty in [[0, 0], [0, 0x400], [0x810c00, 0]] {
        assert_eq!(read(&[(HASH_TABLE, words(&empty))]).hash_table, Area::Empty);
    }
    let firmware = read(&[
        (SECRET_AREA, words(&[0x81_0000, 0xc00])),
        (HASH_TABLE, words(&[0x81_0c00, 0x400])),
        (Guid::new(7), vec![1; 100]),
        (SEV_ES_RESET, words(&[0x80_b004])),
    ]);
    let area = |base, size| Area::At { base, size };
    assert_eq!(firmware.secret_area, area(0x81_0000, 0xc00));
    assert_eq!(firmware.hash_table, area(0x81_0c00, 0x400));
    assert_eq!(firmware.sev_es_reset, Some(0x80_b004));
    assert_eq!(firmware.snp_sections, None);
    assert_eq!(firmware.hash_table.to_string(), "0x400 bytes at 0x810c00");
}

#[test]
fn the_last_of_two_entries_counts() {
    let entries = [(SEV_ES_RESET, words(&[1])), (SEV_ES_RESET, words(&[2]))];
    assert_eq!(Firmware::parse(&image(&entries)).unwrap().sev_es_reset, Some(2));
}

#[test]
fn reads_snp_sections() {
    let mut bytes = image(&[(SNP_METADATA, words(&[4096]))]);
    let metadata =
        [b"ASEV".to_vec(), words(&[40, 1, 2, 0x80_0000, 0x9000, 1, 0x80_d000, 0x1000, 9])].concat();
    bytes[..metadata.len()].copy_from_slice(&metadata);
    let section = |base, size, kind| SnpSection { base, size, kind };
    assert_eq!(
        Firmware::parse(&bytes).unwrap().snp_sections.unwrap(),
        [
            section(0x80_0000, 0x9000, SnpSectionKind::Memory),
            section(0x80_d000, 0x1000, SnpSectionKind::Other(9)),
        ]
    );
    let with = |at: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = value;
        Firmware::parse(&bytes)
    };
    let fault = FirmwareError::Metadata { offset: 4096 };
    assert_eq!(with(0, 0), Err(fault));
    assert_eq!(with(8, 2), Err(FirmwareError::MetadataVersion { version: 2 }));
    assert_eq!(with(13, 2), Err(fault));
    assert_eq!(with(15, 0xff), Err(fault));
    for offset in [0, 15, 4097, u32::MAX] {
        let parsed = Firmware::parse(&image(&[(SNP_METADATA, words(&[offset]))]));
        assert_eq!(parsed, Err(FirmwareError::Metadata { offset }));
    }
}

#[test]
fn refuses_broken_tables() {
    for len in [0, 31, 49, 50, 4096] {
        assert_eq!(Firmware::parse(&vec![0; len]), Err(FirmwareError::NoTable));
    }
    let mut bytes = image(&[(SEV_ES_RESET, words(&[1]))]);
    let table_len = 4096 - RESET_VECTOR_LEN - TRAILER_LEN;
    for (len, fault) in [
        (0, FirmwareError::TableLength { len: 0 }),
        (17, FirmwareError::TableLength { len: 17 }),
        (0xffff, FirmwareError::TableLength { len: 0xffff }),
        (18 + 21, FirmwareError::EntryLength { guid: SEV_ES_RESET, len: 22 }),
        (18 + 30, FirmwareError::Remainder { len: 8 }),
    ] {
        bytes[table_len..table_len + 2].copy_from_slice(&u16::to_le_bytes(len));
        assert_eq!(Firmware::parse(&bytes), Err(fault), "{len}");
    }
    for (guid, len) in [(SEV_ES_RESET, 3), (HASH_TABLE, 7), (SECRET_AREA, 0), (SNP_METADATA, 2)] {
        let parsed = Firmware::parse(&image(&[(guid, vec![0; len])]));
        assert_eq!(parsed, Err(FirmwareError::EntryData { guid, len }));
    }
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(noise in proptest::collection::vec((0_usize..4096, any::<u8>()), 0..60), cut in 0_usize..4096) {
        let mut bytes = image(&[
            (SNP_METADATA, words(&[4096])),
            (SECRET_AREA, words(&[1, 2])),
            (SEV_ES_RESET, words(&[3])),
        ]);
        bytes[..16].copy_from_slice(&[b"ASEV".to_vec(), words(&[40, 1, 2])].concat());
        for (at, byte) in noise {
            // Most of the noise hits the table and the metadata.
            let at = if at % 2 == 0 { 3900 + at % 196 } else { at % 4096 };
            bytes[at] = byte;
        }
        let _ = Firmware::parse(&bytes);
        let _ = Firmware::parse(&bytes[cut..]);
        let _ = Firmware::parse(&bytes[..cut]);
    }
}
