//! What the daemon does for its clients: calls of libvirt's protocol become operations on domains, networks, pools and
//! the host. It knows nothing of sockets; [`crate::server`] carries calls in and answers out.
//!
//! ```text
//!   server ── Call ──► dispatch::remote ──► connect, node, domain, network, storage …
//!                                              │
//!                                              ├── Domains   definitions and running guests
//!                                              ├── Host      facts and capabilities, kept while they hold
//!                                              └── Events ── to every client that registered
//! ```

mod agent;
mod client;
mod connect;
mod device;
mod dispatch;
pub(crate) mod domain;
pub(crate) mod domains;
mod events;
mod host;
mod lifecycle;
mod network;
mod node;
pub(crate) mod outbox;
mod params;
mod passthrough;
mod paths;
mod stats;
mod storage;
mod tune;

use std::sync::Arc;

pub use client::{Client, Peer};
pub(crate) use dispatch::{Answer, Stream, remote};
pub(crate) use domains::Domains;
pub(crate) use events::Events;
pub(crate) use host::Host;
pub(crate) use passthrough::qemu;
pub use paths::Paths;

use rpc::error::RemoteError;

use crate::vm::AskError;

use crate::config::Config;
use crate::forward::Forward;
use crate::guest_log;
use crate::isolate::Isolation;
use crate::network::Embedded;
use crate::storage::Pools;
use crate::store::Store;

/// Why a call failed, as the client is told.
pub(crate) type Failure = Box<RemoteError<'static>>;

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        Self::new(match &error {
            AskError::Gone => RemoteError::operation_failed("domain is no longer running"),
            AskError::TimedOut { .. } => RemoteError::operation_timeout(error.to_string()),
            // libvirt's words, which scripts know.
            AskError::Refused { command, refusal } => {
                RemoteError::internal(format!("unable to execute QEMU command '{command}': {}", refusal.desc))
            }
            AskError::Unreadable { .. } => RemoteError::internal(error.to_string()),
        })
    }
}

/// The state of the daemon.
#[derive(Debug)]
pub struct Service {
    pub(crate) paths: Paths,
    pub(crate) domains: Domains,
    pub(crate) events: Arc<Events>,
    pub(crate) host: Host,
    pub(crate) store: Store,
    pub(crate) forward: Forward,
    pub(crate) isolation: Isolation,
    /// The rules that hinder no start here.
    pub(crate) allowed: rules::Allowed,
    pub(crate) agents: agent::Agents,
    pub(crate) consoles: device::Consoles,
    pub(crate) networks: Embedded,
    pub(crate) pools: Pools,
}

impl Service {
    /// With the settings that hold where no file says otherwise.
    pub fn open(paths: Paths) -> Arc<Self> {
        let config = Config::default_for(paths.system);
        Self::configured(paths, &config)
    }

    pub fn configured(paths: Paths, config: &Config) -> Arc<Self> {
        let host = Host::new(Some(paths.cache.join("caps")));
        let store = Store::open(&paths.state);
        let domains = Domains::of_stored(store.load());
        let (networks, pools) = (Embedded::new(&paths), Pools::new(&paths));
        let own = [&config.socket.path, &config.socket.read_only_path].into_iter().flatten().cloned();
        let own = own.chain([paths.socket(), paths.read_only_socket()]).collect();
        let forward = Forward::new(config.forward.clone(), own);
        let isolation = Isolation::new(&config.isolation, &paths);
        Arc::new(Self {
            paths,
            domains,
            events: Arc::default(),
            host,
            store,
            forward,
            isolation,
            allowed: config.lint.clone(),
            agents: agent::Agents::default(),
            consoles: device::Consoles::default(),
            networks,
            pools,
        })
    }
}

impl Service {
    /// Takes over the guests that an earlier daemon has left, then starts those that start with the host. Clients are
    /// let in once this is done; nothing of it waits for a guest.
    pub(crate) async fn begin(self: &Arc<Self>) {
        tokio::spawn(guest_log::keep_bounded(self.paths.log.clone()));
        lifecycle::take_over(self).await;
        lifecycle::autostart(self).await;
    }
}

/// Runs what may block where that keeps nobody waiting.
pub(crate) async fn blocking<T: Send + 'static>(
    service: &Arc<Service>,
    work: impl FnOnce(&Service) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let service = Arc::clone(service);
    let ended = tokio::task::spawn_blocking(move || work(&service)).await;
    ended.unwrap_or_else(|error| Err(Box::new(RemoteError::internal(error.to_string()))))
}
