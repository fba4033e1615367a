//! Known answers of virtee/sev and the protocol played from both sides.

use proptest::prelude::*;

use super::*;

fn private(byte: u8) -> PrivateKey {
    PrivateKey::from_bytes(&[byte; 48]).unwrap()
}

fn zero_keys() -> TransportKeys {
    TransportKeys { tek: Tek::new([0; 16]), tik: Tik::new([0; 16]) }
}

/// The vector of virtee/sev (`src/session/mod.rs`): every input zero.
#[test]
fn seals_zeros_as_published() {
    let wrapping = WrappingKeys::derive(&[0; 16], &[0; 16]);
    let blob = LaunchBlob::seal(&wrapping, &[0; 16], &zero_keys(), Policy(0));
    assert_eq!(
        hex::encode(blob.as_bytes()),
        [
            "00000000000000000000000000000000",
            "2137bc7f9bb8bd7c3e55a576a15d3454b3856b8ba27afadf46dcfee9f02c02c4",
            "00000000000000000000000000000000",
            "3176c0752738bd9d5e86689534020f528c088f16238826b000b327dee6aeed7d",
            "aa7855e13839dd767cd5da7c1ff5036540c9264b7a803029315e55375287b4af",
        ]
        .concat()
    );
}

#[test]
fn a_platform_opens_what_an_owner_sealed() {
    let platform = private(1);
    let mut drawn = [0; Entropy::LEN];
    drawn.iter_mut().zip(1..).for_each(|(byte, value)| *byte = value);
    let api = ApiVersion { major: 1, minor: 55 };
    let session = Session::create(&platform.public_key(), api, Policy(1), &Entropy::new(drawn)).unwrap();

    assert_eq!(session.godh.usage(), Usage::Pdh);
    assert_eq!(session.godh.api(), api);
    let godh = session.godh.public_key().unwrap();
    let keys = session.blob.open(&platform, &godh, Policy(1)).unwrap();
    assert_eq!(keys.tek.as_bytes(), session.keys.tek.as_bytes());
    assert_eq!(keys.tik.as_bytes(), session.keys.tik.as_bytes());
    assert!(session.blob.is_for_policy(&keys.tik, Policy(1)));
    assert!(!session.blob.is_for_policy(&keys.tik, Policy(0)));

    let other_policy = session.blob.open(&platform, &godh, Policy(0));
    assert_eq!(other_policy.err(), Some(OpenError::PolicyMac));
    let other_platform = session.blob.open(&private(2), &godh, Policy(1));
    assert_eq!(other_platform.err(), Some(OpenError::WrapMac));
}

#[test]
fn every_flipped_bit_of_a_blob_is_noticed() {
    let (owner, platform) = (private(3), private(4));
    let wrapping = WrappingKeys::agree(&owner, &platform.public_key(), &[9; 16]);
    let blob = LaunchBlob::seal(&wrapping, &[7; 16], &zero_keys(), Policy(3));
    let shared = platform.agree(&owner.public_key());
    for bit in 0..LaunchBlob::LEN * 8 {
        let mut changed = blob.clone();
        changed.0[bit / 8] ^= 1 << (bit % 8);
        let wrapping = WrappingKeys::derive(&*shared, &changed.nonce());
        assert!(changed.unwrap_with(&wrapping, Policy(3)).is_err(), "bit {bit}");
    }
}

#[test]
fn refuses_other_lengths() {
    for len in [0, 127, 129] {
        assert_eq!(LaunchBlob::parse(&vec![0; len]), Err(BlobLength { len }));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn agrees_from_both_sides(a in any::<[u8; 47]>(), b in any::<[u8; 47]>()) {
        let key = |bytes: [u8; 47]| {
            let mut number = [1; 48];
            number[1..].copy_from_slice(&bytes);
            PrivateKey::from_bytes(&number).unwrap()
        };
        let (a, b) = (key(a), key(b));
        prop_assert_eq!(*a.agree(&b.public_key()), *b.agree(&a.public_key()));
    }
}
