//! The embedded network `default`, for hosts on which no libvirt daemon serves networks: QEMU's user-mode networking,
//! which needs neither a bridge nor rights. And what `<interface type='network'>` means when a guest starts.

mod embedded;
mod meaning;

pub(crate) use embedded::{Embedded, State};
pub(crate) use meaning::{meanings, meanings_of};

use rpc::error::{Code, Origin, RemoteError};

use crate::service::Failure;

/// The only network there is.
pub(crate) const DEFAULT: &str = "default";

pub(crate) fn fault(code: Code, detail: impl Into<String>) -> Failure {
    Box::new(RemoteError::new(code, Origin::NETWORK, detail))
}

/// There is no such network; `what` names it: `name 'x'`, `uuid '…'`.
pub(crate) fn none_with(what: &str) -> Failure {
    fault(Code::NO_NETWORK, format!("no network with matching {what}"))
}

/// What only libvirt's daemon can do.
pub(crate) fn only_default(what: &str) -> Failure {
    let words = format!(
        "{what}: without libvirt's network daemon (virtnetworkd, or libvirtd) there is only the network `default`, \
         which is user-mode networking"
    );
    fault(Code::OPERATION_UNSUPPORTED, words)
}
