//! The error object that a failed call is answered with, and ways to make those that clients tell apart by number.
//!
//! What a client shows is `message`; scripts look at `code`. libvirt puts the message's pattern into `str1` and the
//! detail into `str2`, and so does [`RemoteError::new`].

use std::fmt;

use crate::program::{Access, Rights};
use crate::remote::object::{Domain, Network};
use crate::xdr::{Text, Uuid, records};

mod code;

pub use code::{Code, Origin};

records! {
    /// `remote_error`: what stands where results would.
    RemoteError<'a> {
        code: Code,
        /// Which part of the peer failed: `virErrorDomain`.
        domain: Origin,
        message: Option<Text<'a>>,
        level: Level,
        /// Unused by libvirt today.
        dom: Option<Domain<'a>>,
        str1: Option<Text<'a>>,
        str2: Option<Text<'a>>,
        str3: Option<Text<'a>>,
        int1: i32,
        int2: i32,
        /// Unused by libvirt today.
        net: Option<Network<'a>>,
    }
}

/// `virErrorLevel`.
pub type Level = i32;

/// The level of everything that made a call fail.
pub const LEVEL_ERROR: Level = 2;

impl RemoteError<'static> {
    /// An error with the words that libvirt has for `code`, and what it is about.
    pub fn new(code: Code, domain: Origin, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let pattern = code.pattern();
        // A detail is cut to what a string of the protocol holds, and loses what it can not.
        let detail: String = detail.chars().filter(|c| *c != '\0').take(DETAIL_MAX).collect();
        Self {
            code,
            domain,
            message: Some(words(pattern, &detail).into()),
            level: LEVEL_ERROR,
            dom: None,
            str1: Some(pattern.into()),
            str2: Some(detail.into()),
            str3: None,
            int1: -1,
            int2: -1,
            net: None,
        }
    }

    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(Code::INTERNAL_ERROR, Origin::QEMU, detail)
    }

    pub fn invalid_arg(detail: impl Into<String>) -> Self {
        Self::new(Code::INVALID_ARG, Origin::QEMU, detail)
    }

    pub fn no_domain_named(name: &str) -> Self {
        Self::new(Code::NO_DOMAIN, Origin::QEMU, format!("no domain with matching name '{name}'"))
    }

    pub fn no_domain_with_id(id: i32) -> Self {
        Self::new(Code::NO_DOMAIN, Origin::QEMU, format!("no domain with matching id {id}"))
    }

    /// For calls that name a domain by UUID; `name` is what the client believes it to be called.
    pub fn no_domain_with_uuid(uuid: Uuid, name: Option<&str>) -> Self {
        let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
        Self::new(Code::NO_DOMAIN, Origin::QEMU, format!("no domain with matching uuid '{uuid}'{name}"))
    }

    /// The domain, network or other object is in the wrong state for what is asked.
    pub fn operation_invalid(detail: impl Into<String>) -> Self {
        Self::new(Code::OPERATION_INVALID, Origin::QEMU, detail)
    }

    /// An argument that `function` does not take. libvirt words such errors whole, without its usual pattern, and names
    /// function and argument beside.
    pub fn misused(domain: Origin, function: &'static str, argument: &'static str, message: String) -> Self {
        Self {
            message: Some(message.into()),
            str1: Some(function.into()),
            str2: Some(argument.into()),
            int1: 0,
            int2: 0,
            ..Self::new(Code::INVALID_ARG, domain, "")
        }
    }

    /// Flags that `function` does not know.
    pub fn unsupported_flags(domain: Origin, flags: u32, function: &str) -> Self {
        let message = format!("unsupported flags (0x{flags:x}) in function {function}");
        Self { str1: Some(function.to_owned().into()), ..Self::misused(domain, "", "flags", message) }
    }

    /// This kind of guest can not do what is asked.
    pub fn operation_unsupported(detail: impl Into<String>) -> Self {
        Self::new(Code::OPERATION_UNSUPPORTED, Origin::QEMU, detail)
    }

    pub fn operation_failed(detail: impl Into<String>) -> Self {
        Self::new(Code::OPERATION_FAILED, Origin::QEMU, detail)
    }

    pub fn operation_timeout(detail: impl Into<String>) -> Self {
        Self::new(Code::OPERATION_TIMEOUT, Origin::QEMU, detail)
    }

    /// The document is understood and can not be honoured.
    pub fn config_unsupported(detail: impl Into<String>) -> Self {
        Self::new(Code::CONFIG_UNSUPPORTED, Origin::QEMU, detail)
    }

    /// The document is not what it should be.
    pub fn xml_error(detail: impl Into<String>) -> Self {
        Self::new(Code::XML_ERROR, Origin::DOMAIN, detail)
    }

    pub fn xml_invalid_schema(detail: impl Into<String>) -> Self {
        Self::new(Code::XML_INVALID_SCHEMA, Origin::XML, detail)
    }

    pub fn system_error(detail: impl Into<String>) -> Self {
        Self::new(Code::SYSTEM_ERROR, Origin::QEMU, detail)
    }

    pub fn agent_unresponsive(detail: impl Into<String>) -> Self {
        Self::new(Code::AGENT_UNRESPONSIVE, Origin::QEMU, detail)
    }

    /// The connection's user may not do this.
    pub fn access_denied(detail: impl Into<String>) -> Self {
        Self::new(Code::ACCESS_DENIED, Origin::ACCESS, detail)
    }

    pub fn auth_failed(detail: impl Into<String>) -> Self {
        Self::new(Code::AUTH_FAILED, Origin::AUTH, detail)
    }

    /// A call before authentication. Old clients know no code of its own for it, so libvirt sends `VIR_ERR_RPC`.
    pub fn auth_required() -> Self {
        Self::rpc("authentication required")
    }

    /// The peer does not keep to the protocol.
    pub fn rpc(detail: impl Into<String>) -> Self {
        Self::new(Code::RPC, Origin::RPC, detail)
    }

    /// A call that changes something, on a connection that may only read.
    pub fn read_only(what: impl fmt::Display) -> Self {
        Self::new(Code::OPERATION_DENIED, Origin::QEMU, format!("read only access prevents {what}"))
    }

    /// The driver has no such function. Many commands of virsh go on without it.
    pub fn no_support(what: impl fmt::Display) -> Self {
        Self::new(Code::NO_SUPPORT, Origin::QEMU, what.to_string())
    }

    /// A procedure that is not spoken here. libvirt's client turns exactly this (code, origin, level, and a message
    /// that begins with `unknown procedure`) into “not supported by the connection driver”.
    pub fn unknown_procedure(procedure: i32, name: Option<&dyn fmt::Display>) -> Self {
        let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
        Self::rpc(format!("unknown procedure: {procedure}{name}"))
    }

    /// A program, or a version of it, that is not spoken here.
    pub fn unknown_program(program: u32, version: u32) -> Self {
        Self::rpc(format!("Cannot find program {program} version {version}"))
    }

    /// Arguments that are not those of the procedure.
    pub fn bad_arguments(procedure: impl fmt::Display, why: &crate::xdr::DecodeError) -> Self {
        Self::rpc(format!("Unable to decode the arguments of {procedure}: {why}"))
    }

    /// Why a connection with these rights may not make a call that needs `access`.
    pub fn refused(rights: Rights, access: Access, what: impl fmt::Display) -> Option<Self> {
        match (rights, access) {
            (_, Access::Event) => Some(Self::no_support(what)),
            (_, Access::Anyone) | (Rights::Read, Access::Read) | (Rights::Full, _) => None,
            (Rights::None, _) => Some(Self::auth_required()),
            (Rights::Read, Access::Write) => Some(Self::read_only(what)),
        }
    }
}

impl RemoteError<'_> {
    /// The same, apart from the message that it was read from.
    pub fn into_owned(self) -> RemoteError<'static> {
        fn owned(text: Option<Text<'_>>) -> Option<Text<'static>> {
            text.map(|text| Text::from(text.into_owned()))
        }
        RemoteError {
            code: self.code,
            domain: self.domain,
            message: owned(self.message),
            level: self.level,
            dom: self.dom.map(|dom| Domain {
                name: dom.name.into_owned().into(),
                uuid: dom.uuid,
                id: dom.id,
            }),
            str1: owned(self.str1),
            str2: owned(self.str2),
            str3: owned(self.str3),
            int1: self.int1,
            int2: self.int2,
            net: self.net.map(|net| Network { name: net.name.into_owned().into(), uuid: net.uuid }),
        }
    }
}

/// A pattern with its detail: libvirt writes `%1$s` within words, and `%s` where there are none.
fn words(pattern: &str, detail: &str) -> String {
    if pattern == "%s" { detail.to_owned() } else { pattern.replacen("%1$s", detail, 1) }
}

/// The longest detail of an error, in characters.
const DETAIL_MAX: usize = 64 << 10;

impl fmt::Display for RemoteError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => f.write_str(message),
            None => f.write_str(words(self.code.pattern(), "").trim_end_matches([':', ' '])),
        }
    }
}

impl std::error::Error for RemoteError<'_> {}

#[cfg(test)]
mod tests;
