//! The numbers and words by which clients tell errors apart.

use proptest::prelude::*;

use crate::xdr::sample::{Entropy, Sample};
use crate::xdr::{decode, encode};

use super::*;

#[test]
fn an_error_says_what_libvirts_says() {
    let uuid = Uuid([0xab; 16]);
    for (error, code, message) in [
        (RemoteError::no_domain_named("x"), 42, "Domain not found: no domain with matching name 'x'"),
        (RemoteError::no_domain_with_id(7), 42, "Domain not found: no domain with matching id 7"),
        (
            RemoteError::no_domain_with_uuid(uuid, Some("x")),
            42,
            "Domain not found: no domain with matching uuid 'abababab-abab-abab-abab-abababababab' (x)",
        ),
        (
            RemoteError::operation_invalid("domain is not running"),
            55,
            "Requested operation is not valid: domain is not running",
        ),
        (RemoteError::config_unsupported("c"), 67, "unsupported configuration: c"),
        (RemoteError::xml_error("x"), 27, "XML error: x"),
        (RemoteError::operation_unsupported("u"), 84, "Operation not supported: u"),
        (RemoteError::access_denied("a"), 88, "access denied: a"),
        (RemoteError::auth_failed("a"), 45, "authentication failed: a"),
        (RemoteError::internal("i"), 1, "internal error: i"),
        (RemoteError::invalid_arg("i"), 8, "invalid argument: i"),
        (RemoteError::system_error("open: no such file"), 38, "open: no such file"),
        (
            RemoteError::no_support("virDomainBlockCopy"),
            3,
            "this function is not supported by the connection driver: virDomainBlockCopy",
        ),
    ] {
        assert_eq!((error.code.0, error.to_string().as_str()), (code, message));
        assert_eq!((error.level, error.int1, error.int2), (2, -1, -1));
        assert!(error.code.name().is_some());
    }
}

#[test]
fn pattern_and_detail_travel_apart() {
    let error = RemoteError::no_domain_named("x");
    assert_eq!(error.domain, Origin::QEMU);
    assert_eq!(error.str1.as_deref(), Some("Domain not found: %1$s"));
    assert_eq!(error.str2.as_deref(), Some("no domain with matching name 'x'"));
}

#[test]
fn an_error_can_always_be_sent() {
    let error = RemoteError::internal("a\0b".repeat(1 << 20));
    let bytes = encode(&error).unwrap();
    assert!(bytes.len() < 256 << 10);
    assert_eq!(decode::<RemoteError<'_>>(&bytes).unwrap(), error);
    assert!(error.to_string().starts_with("internal error: abab"));
}

#[test]
fn rights_and_access() {
    let allowed =
        |rights, access| RemoteError::refused(rights, access, "DOMAIN_CREATE").map(|error| error.code);
    for (rights, expected) in [
        (Rights::None, [None, Some(Code::RPC), Some(Code::RPC), Some(Code::NO_SUPPORT)]),
        (Rights::Read, [None, None, Some(Code::OPERATION_DENIED), Some(Code::NO_SUPPORT)]),
        (Rights::Full, [None, None, None, Some(Code::NO_SUPPORT)]),
    ] {
        let all = [Access::Anyone, Access::Read, Access::Write, Access::Event];
        assert_eq!(all.map(|access| allowed(rights, access)), expected, "{rights:?}");
    }
}

proptest! {
    #[test]
    fn any_error_survives_the_wire(entropy in proptest::collection::vec(any::<u8>(), 0..200)) {
        let error = RemoteError::sample(&mut Entropy::new(&entropy));
        let bytes = encode(&error).unwrap();
        prop_assert_eq!(decode::<RemoteError<'_>>(&bytes).unwrap(), error);
    }
}
