//! Which function answers which call: one `match`, in the order of the areas below.

use std::fmt;
use std::sync::Arc;

use rpc::error::RemoteError;
use rpc::remote::{Call, Reply};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Client, Failure, Service, connect};

/// What a call is answered with.
#[derive(Debug)]
pub(crate) enum Answer {
    Reply(Reply<'static>),
    /// The results, and the stream that begins under the call's serial.
    Stream(Reply<'static>, Stream),
}

impl From<Reply<'static>> for Answer {
    fn from(reply: Reply<'static>) -> Self {
        Self::Reply(reply)
    }
}

/// The daemon's end of a stream: what is read from it goes to the client, what the client sends is written to it. Which
/// of both happens is said by the procedure's [`rpc::program::Flow`]. The end of the client's data is a shutdown of
/// the writing half, whose error the client is told.
pub(crate) struct Stream(pub(crate) Box<dyn Duplex>);

/// Both halves of a stream.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

/// Answers a call. Waiting calls hold nothing that other calls need.
pub(crate) async fn remote(
    service: &Arc<Service>,
    client: &Arc<Client>,
    call: Call<'_>,
) -> Result<Answer, Failure> {
    use {Call as C, Reply as R};
    connect::needs_open(client, call.procedure())?;
    let reply = match call {
        // The connection
        C::AuthList(()) => R::AuthList(vec![connect::auth_list(client)].into()),
        C::AuthPolkit(()) => R::AuthPolkit(connect::auth_polkit(service, client)?),
        C::ConnectOpen(args) => R::ConnectOpen(connect::open(service, client, &args)?),
        C::ConnectClose(()) => R::ConnectClose(()),
        C::ConnectGetType(()) => R::ConnectGetType("QEMU".into()),
        C::ConnectGetUri(()) => R::ConnectGetUri(service.paths.uri().into()),
        C::ConnectSupportsFeature(number) => {
            R::ConnectSupportsFeature(connect::supports_feature(client, number))
        }
        C::ConnectRegisterCloseCallback(()) => {
            R::ConnectRegisterCloseCallback(connect::register_close(client)?)
        }
        C::ConnectUnregisterCloseCallback(()) => {
            R::ConnectUnregisterCloseCallback(connect::unregister_close(client)?)
        }

        // Events
        C::ConnectDomainEventCallbackRegisterAny(args) => {
            R::ConnectDomainEventCallbackRegisterAny(connect::register_domain(service, client, &args)?)
        }
        C::ConnectDomainEventCallbackDeregisterAny(callback) => {
            R::ConnectDomainEventCallbackDeregisterAny(service.events.deregister(client, callback, "domain")?)
        }
        C::ConnectNetworkEventRegisterAny(args) => {
            R::ConnectNetworkEventRegisterAny(connect::register_network(service, client, &args)?)
        }
        C::ConnectNetworkEventDeregisterAny(callback) => {
            R::ConnectNetworkEventDeregisterAny(service.events.deregister(client, callback, "network")?)
        }
        C::ConnectStoragePoolEventRegisterAny(args) => {
            R::ConnectStoragePoolEventRegisterAny(connect::register_pool(service, client, &args)?)
        }
        C::ConnectStoragePoolEventDeregisterAny(callback) => {
            let what = "storage pool";
            R::ConnectStoragePoolEventDeregisterAny(service.events.deregister(client, callback, what)?)
        }
        C::ConnectNodeDeviceEventRegisterAny(args) => {
            R::ConnectNodeDeviceEventRegisterAny(connect::register_device(service, client, &args)?)
        }
        C::ConnectNodeDeviceEventDeregisterAny(callback) => {
            let what = "node device";
            R::ConnectNodeDeviceEventDeregisterAny(service.events.deregister(client, callback, what)?)
        }
        C::ConnectSecretEventRegisterAny(args) => {
            R::ConnectSecretEventRegisterAny(connect::register_secret(service, client, &args)?)
        }
        C::ConnectSecretEventDeregisterAny(callback) => {
            R::ConnectSecretEventDeregisterAny(service.events.deregister(client, callback, "secret")?)
        }

        // The host

        // Domains: which there are, their definitions

        // Domains: their life

        // Domains: devices, tuning, figures

        // Networks

        // Storage
        other => {
            let procedure = other.procedure();
            tracing::debug!(client = client.id, %procedure, "a call that is not implemented");
            return Err(Box::new(RemoteError::unknown_procedure(procedure.number(), Some(&procedure))));
        }
    };
    Ok(reply.into())
}
