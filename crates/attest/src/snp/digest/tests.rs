//! Known answers of sev-snp-measure and virtee/sev (`tests/measurement.rs`), and images that are refused.

use super::*;

const AMD_SEV: &[u8] = include_bytes!("../../../test_data/sev/measurement/ovmf_AmdSev_suffix.bin");
const OVMF_X64: &[u8] = include_bytes!("../../../test_data/sev/measurement/ovmf_OvmfX64_suffix.bin");
const WITHOUT_SNP: &[u8] = include_bytes!("../../../test_data/sevctl/ovmf-trimmed.bin");

fn contents(firmware: &[u8], hashes: Option<KernelHashes>, vcpus: u32, sev_features: u64) -> Contents<'_> {
    Contents { firmware, kernel_hashes: hashes, vcpus, signature: VcpuSignature(0x80_0f12), sev_features }
}

fn hashes(cmdline: &str) -> Option<KernelHashes> {
    Some(KernelHashes::new(b"", None, cmdline.as_bytes()))
}

#[track_caller]
fn check(contents: &Contents<'_>, expected: &str) {
    assert_eq!(contents.digest().unwrap().to_string(), expected);
}

#[test]
fn digests_of_sev_snp_measure() {
    let cmdline = "console=ttyS0 loglevel=7";
    for (contents, expected) in [
        (
            contents(AMD_SEV, hashes(""), 1, 0x1),
            "ddc5224521617a536ee7ce9dd6224d1b58a8d4fda1c741f3ac99fc4bfa04ba6e9fc98646d4a07a9079397fa3852819b5",
        ),
        (
            contents(AMD_SEV, hashes(""), 1, 0x21),
            "329c8ce0972ae52343b64d34a434a86f245dfd74f5ed7aae15d22efc78fb9683632b9b50e4e1d7fa41179ef98a7ef198",
        ),
        (
            contents(AMD_SEV, hashes(cmdline), 1, 0x1),
            "6d287813eb5222d770f75005c664e34c204f385ce832cc2ce7d0d6f354454362f390ef83a92046c042e706363b4b08fa",
        ),
        (
            contents(AMD_SEV, hashes(cmdline), 1, 0x21),
            "803f691094946e42068aaa3a8f9e26a5c89f36f7b73ecfb28c653360fe4b3aba7e534442e7e1e17895dfe778d0228977",
        ),
        (
            contents(AMD_SEV, None, 1, 0x1),
            "19358ba9a7615534a9a1e2f0dfc29384dcd4dcb7062ff9c6013b26869a5fc6ecabe033c48dd6f6db5d6d76e7c5df632d",
        ),
        (
            contents(AMD_SEV, None, 1, 0x21),
            "e1e1ca029dd7973ab9513295be68198472dcd4fc834bd9af9b63f6e8a1674dbf281a9278a4a2ebe0eed9f22adbcd0e2b",
        ),
        (
            contents(AMD_SEV, hashes(""), 4, 0x1),
            "5061fffb019493a903613d56d54b94912a1a2f9e4502385f5c194616753720a92441310ba6c4933de877c36e23046ad5",
        ),
        (
            contents(AMD_SEV, hashes(""), 4, 0x21),
            "4953b1fb416fa874980e8442b3706d345926d5f38879134e00813c5d7abcbe78eafe7b422907be0b4698e2414a631942",
        ),
        (
            contents(OVMF_X64, None, 1, 0x1),
            "da0296de8193586a5512078dcd719eccecbd87e2b825ad4148c44f665dc87df21e5b49e21523a9ad993afdb6a30b4005",
        ),
        (
            contents(OVMF_X64, None, 1, 0x21),
            "28797ae0afaba4005a81e629acebfb59e6687949d6be44007cd5506823b0dd66f146aaae26ff291eed7b493d8a64c385",
        ),
    ] {
        check(&contents, expected);
    }
}

#[test]
fn refuses_what_qemu_would_not_start() {
    let digest = |firmware, hashes| contents(firmware, hashes, 1, SNP_ACTIVE).digest();
    assert_eq!(digest(WITHOUT_SNP, None), Err(ContentsError::NoMetadata));
    assert_eq!(digest(OVMF_X64, hashes("")), Err(ContentsError::NoHashTable(Area::Empty)));
    assert_eq!(digest(&[0; 4096], None), Err(ContentsError::Firmware(FirmwareError::NoTable)));
    let odd = [&[0; 16], AMD_SEV].concat();
    assert_eq!(digest(&odd, None), Err(ContentsError::Length(4112)));
    for count in [0, MAX_VCPUS + 1] {
        let refused = contents(AMD_SEV, None, count, 1).digest();
        assert_eq!(refused, Err(ContentsError::VcpuCount(count)));
    }
}

#[test]
fn hostile_sections_are_refused() {
    let metadata = AMD_SEV.windows(4).position(|window| window == b"ASEV").unwrap();
    let with = |at: usize, value: u32| {
        let mut image = AMD_SEV.to_vec();
        image[metadata + at..metadata + at + 4].copy_from_slice(&value.to_le_bytes());
        contents(&image, hashes(""), 1, 1).digest()
    };
    assert!(with(16, 0x80_0000).is_ok());
    assert!(matches!(with(16, 0x80_0001), Err(ContentsError::Section { base: 0x80_0001, .. })));
    assert!(matches!(with(20, 0x10), Err(ContentsError::Section { size: 0x10, .. })));
    assert!(matches!(with(20, 0xffff_f000), Err(ContentsError::Section { size: 0xffff_f000, .. })));
    assert_eq!(with(24, 0x77), Err(ContentsError::SectionKind(0x77)));
    assert!(with(16, 0xffff_f000).is_ok());
}
