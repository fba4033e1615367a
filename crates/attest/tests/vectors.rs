//! Known answers that others computed, by virtee/sev, virtee/sevctl and virtee/sev-snp-measure (see PROVENANCE.md),
//! and virtee/sev itself as an oracle.

use attest::ovmf::{Area, Firmware, SnpSectionKind};
use attest::sev::digest::{LaunchDigest, LaunchHasher};
use attest::sev::ec::PrivateKey;
use attest::sev::kernel_hashes::KernelHashes;
use attest::sev::keys::{Tek, Tik, TransportKeys};
use attest::sev::measurement::{Launch, Measurement};
use attest::sev::policy::Policy;
use attest::sev::secret::{self, DISK_PASSPHRASE, Entry, Packet};
use attest::sev::session::{Entropy, Session};
use attest::sev::vmsa::{BSP_RESET_ADDRESS, Profile, VcpuSignature, Vcpus, Vmsa};
use attest::sev::{ApiVersion, FirmwareVersion};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

const AMD_SEV: &[u8] = include_bytes!("../test_data/sev/measurement/ovmf_AmdSev_suffix.bin");
const OVMF_X64: &[u8] = include_bytes!("../test_data/sev/measurement/ovmf_OvmfX64_suffix.bin");
const TRIMMED: &[u8] = include_bytes!("../test_data/sevctl/ovmf-trimmed.bin");

const MILAN: VcpuSignature = VcpuSignature(0xa0_0f11);
const EPYC_V4: VcpuSignature = VcpuSignature(0x80_0f12);

fn digest(image: &[u8], hashes: Option<KernelHashes>, vcpus: Option<Vcpus>) -> LaunchDigest {
    let mut hasher = LaunchHasher::new();
    hasher.update(image);
    if let Some(hashes) = hashes {
        hasher.update_kernel_hashes(&hashes);
    }
    if let Some(vcpus) = vcpus {
        vcpus.states().for_each(|state| hasher.update_vmsa(&state));
    }
    hasher.finish()
}

fn vcpus(count: u32, signature: VcpuSignature, profile: Profile) -> Option<Vcpus> {
    Some(Vcpus { count, signature, ap_reset_address: 0x80_b004, sev_features: 0, profile })
}

/// virtee/sev and sev-snp-measure: `tests/measurement.rs`, `test_sev*` and `test_seves*`. Their register state has the
/// floating-point fields.
#[test]
fn launch_digests_of_virtee_sev() {
    let nothing = KernelHashes::new(b"", None, b"");
    let cmdline = KernelHashes::new(b"", Some(b""), b"console=ttyS0 loglevel=7");
    let vcpus = |count| vcpus(count, EPYC_V4, Profile::Fpu);
    for (actual, expected) in [
        (
            digest(AMD_SEV, Some(cmdline), None),
            "82a3ee5d537c3620628270c292ae30cb40c3c878666a7890ee7ef2a08fb535ff",
        ),
        (
            digest(AMD_SEV, Some(nothing), None),
            "77f613d7bbcdf12a73782ea9e88b0172aeda50d1a54201cb903594ff52846898",
        ),
        (digest(OVMF_X64, None, None), "b4c021e085fb83ceffe6571a3d357b4a98773c83c474e47f76c876708fe316da"),
        (
            digest(AMD_SEV, Some(nothing), vcpus(1)),
            "13810ae661ea11e2bb205621f582fee268f0367c8f97bc297b7fadef3e12002c",
        ),
        (
            digest(AMD_SEV, Some(nothing), vcpus(4)),
            "0dccbcaba8e90b261bd0d2e1863a2f9da714768b7b2a19363cd6ae35aa90de91",
        ),
    ] {
        assert_eq!(actual.to_string(), expected);
    }
}

/// virtee/sevctl: `tests/measurementbuild.rs`.
#[test]
fn measurements_of_sevctl() {
    let tik = Tik::from_slice(include_bytes!("../test_data/sevctl/measurement-tik.bin")).unwrap();
    let check = |api, build, policy, digest, expected: &str| {
        let measurement = Measurement::parse(&BASE64_STANDARD.decode(expected).unwrap()).unwrap();
        let firmware = FirmwareVersion { api, build };
        let policy = Policy(policy);
        let launch = Launch { firmware, policy, digest };
        assert_eq!(measurement.verify(&launch, &tik), Ok(()), "{expected}");
    };
    let api = ApiVersion { major: 1, minor: 40 };
    let given = BASE64_STANDARD.decode("xkvRAfyaSizgonxAjZIAkR8TmolUabBKQKb6KJCDDSM=").unwrap();
    check(
        api,
        40,
        3,
        LaunchDigest::new(given.try_into().unwrap()),
        "lswbxWxI9gckya16JQvdFtpYmNO4b+3inAPpqsgoBI7DE/q1EcIWsVBbGy6pkDxA",
    );
    check(
        api,
        40,
        3,
        digest(TRIMMED, None, None),
        "oMDewIouJSpbpNRHj7Mk3p08H2dPZQdsZMU14qIymBnDE/q1EcIWsVBbGy6pkDxA",
    );
    let kernel = KernelHashes::new(
        include_bytes!("../test_data/sevctl/kernel"),
        Some(include_bytes!("../test_data/sevctl/initrd")),
        b"foo bar baz fake kernel=cmdline",
    );
    check(
        api,
        40,
        3,
        digest(TRIMMED, Some(kernel), None),
        "h3auYbWQnVW7EGLWN4Hf9SN0oEYMPU2sK4bLnefWPwvDE/q1EcIWsVBbGy6pkDxA",
    );
    let reset = Firmware::parse(TRIMMED).unwrap().sev_es_reset.unwrap();
    let mut states = vcpus(4, MILAN, Profile::Legacy).unwrap();
    states.ap_reset_address = reset;
    check(
        ApiVersion { major: 1, minor: 49 },
        6,
        5,
        digest(TRIMMED, None, Some(states)),
        "/o0nzDKE5XgtVnUZWPhUea/WZYrTKLExR7KCwuMdbActvpWfXTFk21KMZIAAhQny",
    );
}

/// virtee/sevctl: `tests/vmsabuild.rs`, EPYC-Milan on QEMU.
#[test]
fn register_states_of_sevctl() {
    let reset = Firmware::parse(TRIMMED).unwrap().sev_es_reset.unwrap();
    let state = |address| Vmsa::at_reset(address, VcpuSignature::new(25, 1, 1), 0, Profile::Legacy);
    assert_eq!(state(BSP_RESET_ADDRESS).as_bytes(), include_bytes!("../test_data/sevctl/vmsa0.bin"));
    assert_eq!(state(reset).as_bytes(), include_bytes!("../test_data/sevctl/vmsa1.bin"));
}

#[test]
fn profiles_differ_in_the_floating_point_fields_alone() {
    let state = |profile| Vmsa::at_reset(BSP_RESET_ADDRESS, MILAN, 0, profile);
    let (legacy, fpu) = (state(Profile::Legacy), state(Profile::Fpu));
    let differing: Vec<_> = (0..4096).filter(|at| legacy.as_bytes()[*at] != fpu.as_bytes()[*at]).collect();
    assert_eq!(differing, [0x408, 0x409, 0x410, 0x411]);
}

/// virtee/sevctl: `tests/secretbuild.rs`.
#[test]
fn secrets_of_sevctl() {
    let keys = TransportKeys {
        tek: Tek::from_slice(include_bytes!("../test_data/sevctl/secret-tek.bin")).unwrap(),
        tik: Tik::from_slice(include_bytes!("../test_data/sevctl/secret-tik.bin")).unwrap(),
    };
    let decode = |text| BASE64_STANDARD.decode(text).unwrap();
    let blob = decode("TLeA7607lZQntLjRY1/i+sbtdSZ+75zxpz4Px9hzpBLwItF5Q2o4prA++3ZZv9ZS");
    let measurement = Measurement::parse(&blob).unwrap();
    let iv = decode("rFR07U3TLH2YnsUj2SVZ7A==").try_into().unwrap();
    let api = ApiVersion { major: 1, minor: 40 };
    let check = |entries: &[Entry], header: &str, payload: &str| {
        let table = secret::table(entries).unwrap();
        let packet = Packet::seal(&keys, api, &measurement, &iv, &table).unwrap();
        assert_eq!(BASE64_STANDARD.encode(packet.header), header);
        assert_eq!(BASE64_STANDARD.encode(packet.ciphertext), payload);
    };
    let first = || Entry {
        guid: DISK_PASSPHRASE,
        data: include_bytes!("../test_data/sevctl/secret1.txt").to_vec().into(),
    };
    let second = Entry {
        guid: "736869e5-aaaa-4973-92ec-06879ce3da0b".parse().unwrap(),
        data: include_bytes!("../test_data/sevctl/secret2.txt").to_vec().into(),
    };
    check(
        &[first()],
        "AAAAAKxUdO1N0yx9mJ7FI9klWey8FSzeYQ4X8K71VzNKLU/KQsIsQxLjtbhaPUewqshX5Q==",
        "0U3e5PcXv0UW+H4tSBFKOdCYfKE1+j38Bc2fuO16mYiyI+sWx7INfn+lgYj56GL12yyinDa+lVfCCwD/2w5cPA==",
    );
    check(
        &[first(), second],
        "AAAAAKxUdO1N0yx9mJ7FI9klWeyZ3r0dOEKHUOhIRqzGYYvTJgdMtBPL1nK6GD9aGET7Ng==",
        "0U3e5PcXv0UW+H4tSBFKObWYfKE1+j38Bc2fuO16mYiyI+sWx7INfn+lgYj56GL12yyinDa+lVfCC+WWs332lpLNUX1ZI3YK7vYgtys4X+uGxEIlkIQ90v8/w8ZFmQMe",
    );
}

/// The command line is hashed as it is: with a space at its end it is another one.
#[test]
fn command_lines_are_not_trimmed() {
    let hashes = |cmdline| KernelHashes::new(b"", None, cmdline);
    assert_ne!(hashes(b"console=ttyS0 quiet "), hashes(b"console=ttyS0 quiet"));
    // SHA-256 of one NUL byte.
    let empty = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
    assert_eq!(hex::encode(hashes(b"").cmdline), empty);
}

#[test]
fn reads_real_firmware() {
    let area = |base, size| Area::At { base, size };
    let amd_sev = Firmware::parse(AMD_SEV).unwrap();
    assert_eq!(amd_sev.sev_es_reset, Some(0x80_b004));
    assert_eq!(amd_sev.secret_area, area(0x81_0000, 0xc00));
    assert_eq!(amd_sev.hash_table, area(0x81_0c00, 0x400));
    let sections = amd_sev.snp_sections.unwrap();
    assert_eq!(sections.len(), 7);
    assert!(sections.iter().any(|section| section.kind == SnpSectionKind::KernelHashes));

    let trimmed = Firmware::parse(TRIMMED).unwrap();
    assert_eq!(trimmed.secret_area, area(0x80_c000, 0xc00));
    assert_eq!(trimmed.hash_table, area(0x80_cc00, 0x400));
    assert_eq!(trimmed.snp_sections, None);

    // Built without a hash table, like the images of distributions: the entries are there and empty.
    let stock = Firmware::parse(OVMF_X64).unwrap();
    assert_eq!((stock.hash_table, stock.secret_area), (Area::Empty, Area::Empty));
}

/// Register states with the floating-point fields, against virtee/sev's.
#[test]
fn register_states_of_virtee_sev() {
    use sev::measurement::vcpu_types::CpuType;
    use sev::measurement::vmsa::{GuestFeatures, VMMType, VMSA};

    for (model, signature) in [(CpuType::EpycV4, EPYC_V4), (CpuType::EpycMilan, MILAN)] {
        let oracle = VMSA::new(0x80_b004, model, VMMType::QEMU, None, GuestFeatures(0x21));
        let states = Vcpus { sev_features: 0x21, ..vcpus(3, signature, Profile::Fpu).unwrap() };
        let ours: Vec<_> = states.states().map(|state| state.as_bytes().to_vec()).collect();
        assert_eq!(oracle.pages(3).unwrap(), ours);
    }
}

#[test]
fn signatures_of_virtee_sev() {
    for family in [5, 6, 15, 16, 23, 25, 26] {
        for model in 0..=255 {
            let oracle = sev::measurement::vcpu_types::cpu_sig(family, model, 3);
            let ours = VcpuSignature::new(family.try_into().unwrap(), model.try_into().unwrap(), 3);
            assert_eq!(i64::from(ours.0), i64::from(oracle), "family {family} model {model}");
        }
    }
}

/// As QEMU 10.0.2 answers `query-cpu-model-expansion`.
#[test]
fn signatures_of_qemu_models() {
    for (name, family, model, stepping) in [
        ("EPYC", 23, 1, 2),
        ("EPYC-v4", 23, 1, 2),
        ("EPYC-IBPB", 23, 1, 2),
        ("EPYC-Rome-v4", 23, 49, 0),
        ("EPYC-Milan", 25, 1, 1),
        ("EPYC-Milan-v2", 25, 1, 1),
        ("EPYC-Genoa-v1", 25, 17, 0),
    ] {
        let expected = VcpuSignature::new(family, model, stepping);
        assert_eq!(VcpuSignature::of_qemu_model(name), Some(expected), "{name}");
    }
    for name in ["", "host", "max", "EPYC-", "EPYC-v", "EPYC-v4x", "qemu64"] {
        assert_eq!(VcpuSignature::of_qemu_model(name), None, "{name}");
    }
}

/// virtee/sev reads the owner's certificate as one for a Diffie-Hellman key.
#[test]
fn virtee_sev_reads_what_we_write() {
    use sev::certs::sev::Usage;
    use sev::certs::sev::sev::Certificate;
    use sev::parser::Decoder;

    let key = PrivateKey::from_bytes(&[9; 48]).unwrap();
    let entropy = Entropy::new([3; Entropy::LEN]);
    let api = ApiVersion { major: 1, minor: 55 };
    let session = Session::create(&key.public_key(), api, Policy(1), &entropy).unwrap();
    let godh = Certificate::decode(&mut session.godh.as_bytes().as_slice(), ()).unwrap();
    assert!(godh == Usage::PDH);
}
