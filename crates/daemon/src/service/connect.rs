//! Calls about the connection itself: authentication, opening, features, and what it registers for.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rpc::Rights;
use rpc::error::{Code, Origin, RemoteError};
use rpc::remote::connect::{OpenArgs, auth, feature};
use rpc::remote::{Procedure, domain, network, node, storage};

use super::events::{Only, Topic};
use super::{Client, Failure, Service};

/// `VIR_CONNECT_RO`; the other flags are the client's notes to itself. libvirt's client sends those too: that it looks
/// for the socket of a user (2), and would start a user's daemon (4).
const READ_ONLY: u32 = 1;

/// How the client is to authenticate. Who may call is already known: the kernel has said who it is. Who may not is
/// sent to polkit, whose answer says why.
pub(super) fn auth_list(client: &Client) -> i32 {
    if client.rights() == Rights::None { auth::POLKIT } else { auth::NONE }
}

/// Done, or why this user may not.
pub(super) fn auth_polkit(service: &Service, client: &Client) -> Result<i32, Failure> {
    if client.rights() != Rights::None {
        return Ok(1);
    }
    let config = service.paths.config.display();
    Err(Box::new(RemoteError::auth_failed(format!(
        "user {} may not connect: it is not in the allow list of {config}",
        client.peer.uid
    ))))
}

pub(super) fn open(service: &Service, client: &Client, args: &OpenArgs<'_>) -> Result<(), Failure> {
    if let Some(name) = args.name.as_deref().filter(|name| !name.is_empty()) {
        served(service.paths.uri(), name)?;
    }
    if args.flags & READ_ONLY != 0 {
        client.only_reads();
    }
    if client.opened.swap(true, Ordering::AcqRel) {
        return Err(Box::new(RemoteError::internal("connection already open")));
    }
    Ok(())
}

/// Whether a client means this daemon, whose URI is `own`. Its words are libvirt's.
fn served(own: &str, name: &str) -> Result<(), Failure> {
    let name = name.split('?').next().unwrap_or(name);
    let Some(path) = name.strip_prefix("qemu://") else {
        return Err(Box::new(RemoteError::new(Code::NO_CONNECT, Origin::NONE, name)));
    };
    if name == own {
        return Ok(());
    }
    Err(Box::new(RemoteError::internal(format!("unexpected qemu URI path '{path}', try {own}"))))
}

/// Refuses what cannot come before the connection is opened.
pub(super) fn needs_open(client: &Client, procedure: Procedure) -> Result<(), Failure> {
    let before = matches!(
        procedure,
        Procedure::AuthList
            | Procedure::AuthPolkit
            | Procedure::ConnectOpen
            | Procedure::ConnectClose
            | Procedure::ConnectSupportsFeature
    );
    if before || client.is_open() {
        return Ok(());
    }
    Err(Box::new(RemoteError::internal("connection not open")))
}

/// What is answered to `CONNECT_SUPPORTS_FEATURE`. Who asks for keepalive is sent some from then on.
pub(super) fn supports_feature(client: &Client, number: i32) -> i32 {
    if number == feature::PROGRAM_KEEPALIVE {
        client.keepalive.store(true, Ordering::Release);
        client.outbox.ready.notify_one();
    }
    i32::from(matches!(
        number,
        feature::TYPED_PARAM_STRING
            | feature::PROGRAM_KEEPALIVE
            | feature::REMOTE_EVENT_CALLBACK
            | feature::REMOTE_CLOSE_CALLBACK
            | feature::NETWORK_UPDATE_HAS_CORRECT_ORDER
    ))
}

/// The client wants to be told why its connection to the hypervisor ends. It never does while the daemon runs.
pub(super) fn register_close(client: &Client) -> Result<(), Failure> {
    if client.close_callback.swap(true, Ordering::AcqRel) {
        return Err(Box::new(RemoteError::internal("A close callback is already registered")));
    }
    Ok(())
}

pub(super) fn unregister_close(client: &Client) -> Result<(), Failure> {
    if client.close_callback.swap(false, Ordering::AcqRel) {
        return Ok(());
    }
    Err(Box::new(RemoteError::internal("A close callback is not registered")))
}

pub(super) fn register_domain(
    service: &Service,
    client: &Arc<Client>,
    args: &domain::EventArgs<'_>,
) -> Result<i32, Failure> {
    let only = args.dom.as_ref().map_or(Only::All, |dom| Only::Uuid(dom.uuid));
    service.events.register(client, Topic::Domain(args.event_id), only)
}

pub(super) fn register_network(
    service: &Service,
    client: &Arc<Client>,
    args: &network::EventArgs<'_>,
) -> Result<i32, Failure> {
    let only = args.net.as_ref().map_or(Only::All, |net| Only::Uuid(net.uuid));
    service.events.register(client, Topic::Network(args.event_id), only)
}

pub(super) fn register_pool(
    service: &Service,
    client: &Arc<Client>,
    args: &storage::PoolEventArgs<'_>,
) -> Result<i32, Failure> {
    let only = args.pool.as_ref().map_or(Only::All, |pool| Only::Uuid(pool.uuid));
    service.events.register(client, Topic::Pool(args.event_id), only)
}

pub(super) fn register_device(
    service: &Service,
    client: &Arc<Client>,
    args: &node::DeviceEventArgs<'_>,
) -> Result<i32, Failure> {
    let only = args.dev.as_ref().map_or(Only::All, |dev| Only::Name(dev.name.to_string()));
    service.events.register(client, Topic::NodeDevice(args.event_id), only)
}

pub(super) fn register_secret(
    service: &Service,
    client: &Arc<Client>,
    args: &storage::SecretEventArgs<'_>,
) -> Result<i32, Failure> {
    let only = args.secret.as_ref().map_or(Only::All, |secret| Only::Uuid(secret.uuid));
    service.events.register(client, Topic::Secret(args.event_id), only)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expect: Option<&str>) {
        let said = served("qemu:///system", name).err().map(|error| error.to_string());
        assert_eq!(said.as_deref(), expect);
    }

    #[test]
    fn a_client_must_mean_this_daemon() {
        check("qemu:///system", None);
        check("qemu:///system?socket=/run/x", None);
        check(
            "qemu:///nowhere",
            Some("internal error: unexpected qemu URI path '/nowhere', try qemu:///system"),
        );
        check(
            "qemu:///session",
            Some("internal error: unexpected qemu URI path '/session', try qemu:///system"),
        );
        check("xen:///system", Some("no connection driver available for xen:///system"));
    }
}
