//! What this daemon keeps none of. Clients list these things whether they need them or not, and go on when there is
//! nothing; a thing that is asked for by name is not found, in libvirt's words.

use rpc::error::{Code, Origin, RemoteError};
use rpc::remote::connect::{
    ListAllNodeDevicesReply, ListAllNwfilterBindingsReply, ListAllNwfiltersReply, ListAllSecretsReply,
};
use rpc::xdr::{List, Text, Uuid};

use super::super::Failure;

pub(crate) fn nwfilters() -> ListAllNwfiltersReply<'static> {
    ListAllNwfiltersReply { filters: List::default(), ret: 0 }
}

pub(crate) fn bindings() -> ListAllNwfilterBindingsReply<'static> {
    ListAllNwfilterBindingsReply { bindings: List::default(), ret: 0 }
}

pub(crate) fn devices() -> ListAllNodeDevicesReply<'static> {
    ListAllNodeDevicesReply { devices: List::default(), ret: 0 }
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

pub(crate) fn device(name: &Text<'_>) -> Failure {
    none(Code::NO_NODE_DEVICE, Origin::NODEDEV, format!("no node device with matching name '{name}'"))
}

pub(crate) fn secret(uuid: Uuid) -> Failure {
    none(Code::NO_SECRET, Origin::SECRET, format!("no secret with matching uuid '{uuid}'"))
}

pub(crate) fn secret_for(usage: &str) -> Failure {
    none(Code::NO_SECRET, Origin::SECRET, format!("no secret with matching usage '{usage}'"))
}
