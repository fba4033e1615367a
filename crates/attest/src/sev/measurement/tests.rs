//! Known answers of virtee/sev and virtee/sevctl.

use super::*;

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

/// A measurement of real hardware, before its guest loaded anything (virtee/sev, `src/session/mod.rs`).
fn real() -> (Measurement, Launch, Tik) {
    let measurement = Measurement::parse(&bytes::<48>(concat!(
        "6faab2daae389bcd3405a05d6cafe33c0414f7bedd0bae19ba5f38b7fd1664ea",
        "4fbe0bedbad6c86ae8f68971d103e554",
    )));
    let api = ApiVersion { major: 0, minor: 18 };
    let launch = Launch {
        firmware: FirmwareVersion { api, build: 15 },
        policy: Policy(0),
        digest: super::super::digest::LaunchHasher::new().finish(),
    };
    let tik = Tik::new(bytes("66320db73158a35a255d051758e95ed4"));
    (measurement.unwrap(), launch, tik)
}

#[test]
fn verifies_a_measurement_of_real_hardware() {
    let (measurement, launch, tik) = real();
    assert_eq!(measurement.verify(&launch, &tik), Ok(()));
    assert_eq!(Measurement::create(&launch, &tik, *measurement.nonce()), measurement);
}

#[test]
fn every_flipped_bit_is_noticed() {
    let (measurement, launch, tik) = real();
    for bit in 0..Measurement::LEN * 8 {
        let mut bytes = measurement.to_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let changed = Measurement::parse(&bytes).unwrap();
        assert_eq!(changed.verify(&launch, &tik), Err(Mismatch), "bit {bit}");
    }
}

#[test]
fn covers_every_part_of_the_launch() {
    let (measurement, launch, tik) = real();
    let firmware = |major, minor, build| FirmwareVersion { api: ApiVersion { major, minor }, build };
    for other in [
        Launch { firmware: firmware(0, 18, 14), ..launch },
        Launch { firmware: firmware(0, 17, 15), ..launch },
        Launch { firmware: firmware(1, 18, 15), ..launch },
        Launch { policy: Policy(1), ..launch },
        Launch { digest: LaunchDigest::new([0; 32]), ..launch },
    ] {
        assert_eq!(measurement.verify(&other, &tik), Err(Mismatch), "{other:?}");
    }
    assert_eq!(measurement.verify(&launch, &Tik::new([0; 16])), Err(Mismatch));
}

#[test]
fn old_firmware_does_not_measure_its_version() {
    let (_, launch, tik) = real();
    let mac = |minor, build| {
        let api = ApiVersion { major: 0, minor };
        let firmware = FirmwareVersion { api, build };
        Launch { firmware, ..launch }.mac(&tik, &[0; 16])
    };
    assert_eq!(mac(16, 1), mac(15, 2));
    assert_ne!(mac(17, 1), mac(17, 2));
    let bare = kdf::hmac_sha256(tik.as_bytes(), &[&[0; 4], launch.digest.as_bytes(), &[0; 16]]);
    assert_eq!(mac(16, 0), bare);
}

#[test]
fn refuses_other_lengths() {
    for len in [0, 47, 49] {
        assert_eq!(Measurement::parse(&vec![0; len]), Err(MeasurementLength { len }));
    }
}
