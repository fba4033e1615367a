//! Real chains of two generations, verified, and broken in every way a bit can break them.
//! The certificates are virtee/sev's (see PROVENANCE.md).

use attest::sev::ApiVersion;
use attest::sev::certs::amd::AmdCertificateError;
use attest::sev::certs::certificate::{CertificateError, LEN};
use attest::sev::certs::chain::{PlatformChainError, TrustRootError};
use attest::sev::certs::roots::Generation;
use attest::sev::certs::{
    Algorithm, AmdCertificate, Certificate, Chain, ChainError, Link, PlatformChain, Slot, TrustRoot, Usage,
};
use attest::sev::ec::{KeyError, PrivateKey};
use proptest::prelude::*;

macro_rules! chain {
    ($directory:literal, $generation:expr) => {{
        let (ark, ask) = $generation.certificates().unwrap();
        let certificate = |bytes: &[u8]| Certificate::parse(bytes).unwrap();
        Chain {
            ark,
            ask,
            cek: certificate(include_bytes!(concat!("../test_data/sev/", $directory, "/cek.cert"))),
            oca: certificate(include_bytes!(concat!("../test_data/sev/", $directory, "/oca.cert"))),
            pek: certificate(include_bytes!(concat!("../test_data/sev/", $directory, "/pek.cert"))),
            pdh: certificate(include_bytes!(concat!("../test_data/sev/", $directory, "/pdh.cert"))),
        }
    }};
}

fn naples() -> Chain {
    chain!("naples", Generation::Naples)
}

fn rome() -> Chain {
    chain!("rome", Generation::Rome)
}

fn link(signer: Usage, subject: Usage) -> Link {
    Link { signer, subject }
}

#[test]
fn real_chains_verify_up_to_the_session_key() {
    for chain in [naples(), rome()] {
        assert_eq!(chain.verify(&chain.ark), Ok(chain.pdh.public_key().unwrap()));
    }
    assert_eq!(rome().pdh.api(), ApiVersion { major: 0, minor: 22 });
}

#[test]
fn roots_of_all_generations_sign_themselves_and_their_ask() {
    for generation in Generation::ALL {
        let (ark, ask) = generation.certificates().unwrap();
        assert_eq!((ark.usage(), ask.usage()), (Usage::Ark, Usage::Ask), "{generation}");
        assert!(ark.verifies(ark.signed_bytes(), &ark.signature()), "{generation}");
        assert!(ark.verifies(ask.signed_bytes(), &ask.signature()), "{generation}");
        assert_eq!(generation.to_string().parse(), Ok(generation));
    }
}

#[test]
fn a_chain_is_only_as_good_as_the_root_it_is_held_against() {
    let (naples, rome) = (naples(), rome());
    assert_eq!(naples.verify(&rome.ark), Err(ChainError::Root));

    let mixed = Chain { ark: rome.ark.clone(), ask: rome.ask.clone(), ..naples };
    let expected = ChainError::Algorithm { link: link(Usage::Ask, Usage::Cek) };
    assert_eq!(mixed.verify(&rome.ark), Err(expected));

    let (milan_ark, milan_ask) = Generation::Milan.certificates().unwrap();
    let mixed = Chain { ark: milan_ark.clone(), ask: milan_ask, ..rome };
    let expected = ChainError::Signature { link: link(Usage::Ask, Usage::Cek) };
    assert_eq!(mixed.verify(&milan_ark), Err(expected));
}

#[test]
fn says_which_link_is_broken() {
    let (naples, rome) = (naples(), rome());
    let root = &rome.ark;
    let foreign_ask = Chain { ask: Generation::Milan.certificates().unwrap().1, ..rome.clone() };
    let key_id = link(Usage::Ark, Usage::Ask);
    assert_eq!(foreign_ask.verify(root), Err(ChainError::KeyId { link: key_id }));

    let swapped = |change: &dyn Fn(&mut Chain)| {
        let mut chain = rome.clone();
        change(&mut chain);
        chain.verify(root)
    };
    let signature = |signer, subject| Err(ChainError::Signature { link: link(signer, subject) });
    assert_eq!(swapped(&|chain| chain.pdh = naples.pdh.clone()), signature(Usage::Pek, Usage::Pdh));
    assert_eq!(swapped(&|chain| chain.pek = naples.pek.clone()), signature(Usage::Oca, Usage::Pek));
    assert_eq!(swapped(&|chain| chain.oca = naples.oca.clone()), signature(Usage::Oca, Usage::Pek));
    assert_eq!(
        swapped(&|chain| chain.pdh = rome.pek.clone()),
        Err(ChainError::Usage { expected: Usage::Pdh, found: Usage::Pek })
    );
    // The form in which AMD's processors export it.
    assert_eq!(
        swapped(&|chain| chain.cek.clear(Slot::First)),
        Err(ChainError::Unsigned { link: link(Usage::Ask, Usage::Cek) })
    );
}

#[test]
fn no_bit_of_a_verified_chain_can_be_changed() {
    let chain = rome();
    let root = chain.ark.clone();
    let places: [fn(&mut Chain) -> &mut Certificate; 4] =
        [|chain| &mut chain.cek, |chain| &mut chain.oca, |chain| &mut chain.pek, |chain| &mut chain.pdh];
    for place in places {
        for bit in bits_to_flip(LEN) {
            let mut changed = chain.clone();
            let mut bytes = *place(&mut changed).as_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let Ok(certificate) = Certificate::parse(&bytes) else { continue };
            let usage = certificate.usage();
            *place(&mut changed) = certificate;
            assert!(changed.verify(&root).is_err(), "bit {bit} of {usage}");
        }
    }
    for bit in bits_to_flip(chain.ask.as_bytes().len()) {
        let mut bytes = chain.ask.as_bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let Ok(ask) = AmdCertificate::parse(&bytes) else { continue };
        let changed = Chain { ask, ..chain.clone() };
        assert!(changed.verify(&root).is_err(), "bit {bit} of ASK");
    }
}

/// Every bit of the short fields, and bits spread over all others: each change costs a chain's verification.
fn bits_to_flip(len: usize) -> impl Iterator<Item = usize> {
    let short_fields = [0..24, 1044..1052, 1564..1572];
    let numbers = [20..164, 1052..1196, 1572..1716];
    (0..len * 8).filter(move |bit| {
        let (byte, bit) = (bit / 8, bit % 8);
        short_fields.iter().any(|field| field.contains(&byte))
            || bit == byte % 8
                && (byte % 17 == 0 || byte % 3 == 0 && numbers.iter().any(|number| number.contains(&byte)))
    })
}

#[test]
fn ark_must_sign_itself() {
    let chain = naples();
    let mut bytes = chain.ark.as_bytes().to_vec();
    bytes[832 - 1] ^= 1;
    let ark = AmdCertificate::parse(&bytes).unwrap();
    let changed = Chain { ark: ark.clone(), ..chain };
    let link = link(Usage::Ark, Usage::Ark);
    assert_eq!(changed.verify(&ark), Err(ChainError::Signature { link }));
    assert_eq!(link.to_string(), "ARK → itself");
}

#[test]
fn parsing_keeps_the_bytes() {
    for bytes in
        [include_bytes!("../test_data/sev/naples/pek.cert"), include_bytes!("../test_data/sev/rome/cek.cert")]
    {
        assert_eq!(Certificate::parse(bytes).unwrap().as_bytes(), bytes);
    }
    let (ark, ask) = Generation::Turin.bytes();
    assert_eq!(AmdCertificate::parse(ark).unwrap().as_bytes(), ark);
    let file = [ask, ark].concat();
    let root = TrustRoot::parse(&file).unwrap();
    assert_eq!((root.ark.as_bytes(), root.ask.as_bytes()), (ark, ask));
    assert_eq!(TrustRoot::parse(&[ark, ask].concat()), Ok(root));

    let chain = rome();
    let platform = PlatformChain { pek: chain.pek.clone(), oca: chain.oca.clone(), cek: chain.cek.clone() };
    assert_eq!(PlatformChain::parse(&platform.to_bytes()), Ok(platform));
}

#[test]
fn refuses_what_is_no_certificate() {
    let rome = rome();
    assert_eq!(Certificate::parse(&[]), Err(CertificateError::Length { len: 0 }));
    let long = [rome.pek.as_bytes().as_slice(), &[0]].concat();
    assert_eq!(Certificate::parse(&long), Err(CertificateError::Length { len: 2085 }));
    assert_eq!(Certificate::parse(&[2; LEN]), Err(CertificateError::Version { version: 0x0202_0202 }));

    // The root of Naples without its signature, as it was once published.
    let cut: &[u8] = include_bytes!("../test_data/sev/naples/ark.cert.bad");
    let truncated = AmdCertificateError::Truncated { len: 576, needed: 832 };
    assert_eq!(AmdCertificate::parse(cut), Err(truncated));
    let (ark, ask) = Generation::Naples.bytes();
    let published = TrustRoot::parse(&[ask, cut].concat()).unwrap();
    assert_eq!(published.ark.as_bytes(), ark);
    let trailing = AmdCertificateError::Trailing { extra: 1 };
    assert_eq!(AmdCertificate::parse(&[ark, &[0]].concat()), Err(trailing));
    let with = |at: usize, value: u8| {
        let mut bytes = ark.to_vec();
        bytes[at] = value;
        AmdCertificate::parse(&bytes)
    };
    assert_eq!(with(0, 2), Err(AmdCertificateError::Version { version: 2 }));
    assert_eq!(with(36, 0x13).unwrap().usage(), Usage::Ask);
    assert_eq!(with(36, 1), Err(AmdCertificateError::Usage { usage: Usage::Other(1) }));
    assert_eq!(with(40, 1), Err(AmdCertificateError::Reserved));
    let size = AmdCertificateError::KeySize { exponent: 2048, modulus: 4096 };
    assert_eq!(with(61, 0x10), Err(size));

    assert_eq!(TrustRoot::parse(&[ark, ark].concat()), Err(TrustRootError::Twice(Usage::Ark)));
    let missing = AmdCertificateError::Truncated { len: 0, needed: 64 };
    assert_eq!(TrustRoot::parse(ark), Err(TrustRootError::Second(missing)));
    assert_eq!(PlatformChain::parse(&[0; LEN]), Err(PlatformChainError::Length { len: LEN }));
    assert_eq!(
        PlatformChain::parse(&[0; 3 * LEN]),
        Err(PlatformChainError::Certificate {
            place: Usage::Pek,
            source: CertificateError::Version { version: 0 }
        })
    );
}

#[test]
fn says_why_a_key_is_unusable() {
    let mut bytes = *rome().pdh.as_bytes();
    let key = |bytes: &[u8]| Certificate::parse(bytes).unwrap().public_key();
    bytes[16] = 1;
    assert_eq!(key(&bytes), Err(KeyError::Curve(1)));
    bytes[16] = 2;
    bytes[1043] = 1;
    assert_eq!(key(&bytes), Err(KeyError::Padding));
    bytes[1043] = 0;
    bytes[20] ^= 1;
    assert_eq!(key(&bytes), Err(KeyError::Point));
    assert!(matches!(PrivateKey::from_bytes(&[0; 48]), Err(KeyError::Scalar)));
    assert!(matches!(PrivateKey::from_bytes(&[0xff; 48]), Err(KeyError::Scalar)));
}

/// A platform like the simulator's below one of AMD's generations cannot exist (its ASK is AMD's), so the links that
/// need no AMD key are played here.
#[test]
fn what_we_sign_verifies_and_uses_its_own_slot() {
    let oca = PrivateKey::from_bytes(&[1; 48]).unwrap();
    let cek = PrivateKey::from_bytes(&[2; 48]).unwrap();
    let pek = PrivateKey::from_bytes(&[3; 48]).unwrap();
    let api = ApiVersion { major: 1, minor: 55 };
    for algorithm in [Algorithm::EcdsaSha256, Algorithm::EcdsaSha384] {
        let hash = algorithm.ecdsa_hash().unwrap();
        let mut certificate = Certificate::new(api, Usage::Pek, algorithm, &pek.public_key());
        assert!(Slot::ALL.iter().all(|slot| certificate.slot_is_empty(*slot)));
        certificate.sign(Slot::First, Usage::Oca, algorithm, &oca);
        certificate.sign(Slot::Second, Usage::Cek, algorithm, &cek);
        assert_eq!(certificate.slot_signed_by(Usage::Oca), Some(Slot::First));
        assert_eq!(certificate.slot_signed_by(Usage::Cek), Some(Slot::Second));
        for (slot, key) in [(Slot::First, &oca), (Slot::Second, &cek)] {
            let signature = certificate.ecdsa_signature(slot).unwrap();
            let message = certificate.signed_bytes();
            assert!(key.public_key().verifies(hash, message, &signature));
            assert!(!pek.public_key().verifies(hash, message, &signature));
            assert!(!key.public_key().verifies(hash, &message[1..], &signature));
        }
        certificate.sign(Slot::Second, Usage::Cek, Algorithm::RsaSha256, &cek);
        assert!(certificate.slot_is_empty(Slot::Second));
    }
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2200), header in any::<bool>()) {
        let mut bytes = bytes;
        if header && bytes.len() > 64 {
            bytes[..4].copy_from_slice(&[1, 0, 0, 0]);
            bytes[36..64].fill(0);
            bytes[57] = 8;
            bytes[61] = 8;
        }
        if let Ok(certificate) = AmdCertificate::parse(&bytes) {
            prop_assert!(!certificate.verifies(certificate.signed_bytes(), &certificate.signature()));
        }
        bytes.resize(LEN, 0);
        bytes[..4].copy_from_slice(&[1, 0, 0, 0]);
        let certificate = Certificate::parse(&bytes).unwrap();
        prop_assert_eq!(certificate.as_bytes().as_slice(), bytes.as_slice());
        let chain = Chain { cek: certificate.clone(), pdh: certificate, ..naples() };
        prop_assert!(chain.verify(&chain.ark).is_err());
    }
}
