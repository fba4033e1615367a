//! What this daemon keeps none of. Clients list these things whether they need them or not, and go on when there is
//! nothing; a thing that is asked for by name is not found, in libvirt's words.

use rpc::error::{Code, Origin, RemoteError};
use rpc::remote::connect::{ListAllNwfilterBindingsReply, ListAllNwfiltersReply, ListAllSecretsReply};
use rpc::remote::domain::ListAllCheckpointsReply;
use rpc::xdr::{List, Uuid};

use super::super::Failure;

pub(crate) fn nwfilters() -> ListAllNwfiltersReply<'static> {
    ListAllNwfiltersReply { filters: List::default(), ret: 0 }
}

pub(crate) fn bindings() -> ListAllNwfilterBindingsReply<'static> {
    ListAllNwfilterBindingsReply { bindings: List::default(), ret: 0 }
}

pub(crate) fn checkpoints() -> ListAllCheckpointsReply<'static> {
    ListAllCheckpointsReply { checkpoints: List::default(), ret: 0 }
}

/// libvirt's daemons have no driver for the host's interfaces either, where netcf is not built in.
pub(crate) fn interfaces(function: &str) -> Failure {
    Box::new(RemoteError::no_support(function))
}

pub(crate) fn secrets() -> ListAllSecretsReply<'static> {
    ListAllSecretsReply { secrets: List::default(), ret: 0 }
}

fn none(code: Code, origin: Origin, words: String) -> Failure {
    Box::new(RemoteError::new(code, origin, words))
}

pub(crate) fn nwfilter(name: &str) -> Failure {
    none(Code::NO_NWFILTER, Origin::NWFILTER, format!("no nwfilter with matching name '{name}'"))
}

pub(crate) fn nwfilter_with(uuid: Uuid) -> Failure {
    none(Code::NO_NWFILTER, Origin::NWFILTER, format!("no nwfilter with matching uuid '{uuid}'"))
}

pub(crate) fn binding(port: &str) -> Failure {
    none(Code::NO_NWFILTER_BINDING, Origin::NWFILTER, format!("no nwfilter binding for port dev '{port}'"))
}

pub(crate) fn secret(uuid: Uuid) -> Failure {
    none(Code::NO_SECRET, Origin::SECRET, format!("no secret with matching uuid '{uuid}'"))
}

pub(crate) fn secret_for(usage: &str) -> Failure {
    none(Code::NO_SECRET, Origin::SECRET, format!("no secret with matching usage '{usage}'"))
}
