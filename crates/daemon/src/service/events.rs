//! What happens to domains, networks and pools, told to everybody who registered for it.

use std::sync::{Arc, Mutex, Weak};

use rpc::Program;
use rpc::error::RemoteError;
use rpc::packet::{Header, Kind, Status};
use rpc::remote::typed_param::Value;
use rpc::remote::{self, object};
use rpc::xdr::Uuid;

use super::{Client, Failure};
use crate::locked;

mod encode;

/// The domain that something happened to, as it is at that moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) name: String,
    pub(crate) uuid: Uuid,
    /// -1 while it does not run.
    pub(crate) id: i32,
}

/// What happened. Numbers are those of libvirt's event enumerations.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Happening {
    /// `virDomainEventType` and its detail: [`rpc::remote::event::lifecycle`].
    Lifecycle((i32, i32)),
    Reboot,
    /// Seconds that the guest's clock is off UTC.
    RtcChange(i64),
    /// `virDomainEventWatchdogAction`.
    Watchdog(i32),
    /// `reason` is `enospc` or empty.
    IoError {
        path: String,
        alias: String,
        action: i32,
        reason: String,
    },
    /// KiB.
    BalloonChange(u64),
    TrayChange {
        alias: String,
        reason: i32,
    },
    DeviceAdded(String),
    DeviceRemoved(String),
    DeviceRemovalFailed(String),
    /// State and reason of the guest's agent.
    AgentLifecycle {
        state: i32,
        reason: i32,
    },
    MetadataChange {
        kind: i32,
        uri: Option<String>,
    },
    /// A disk is written to beyond what was asked to be told of; `device` is its target, or that with a node's number.
    BlockThreshold {
        device: String,
        path: Option<String>,
        threshold: u64,
        excess: u64,
    },
    /// What was tuned of the running guest, and to what.
    Tunable(Vec<(String, Value<'static>)>),
    /// Suspended to memory by the guest.
    PmSuspend,
    PmWakeup,
}

/// What can be registered for. Numbers are libvirt's: `virDomainEventID`, `virNetworkEventID`, …
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Topic {
    Domain(i32),
    Network(i32),
    Pool(i32),
    NodeDevice(i32),
    Secret(i32),
}

/// What a registration is limited to: one domain, network or pool by UUID, or a device by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Only {
    All,
    Uuid(Uuid),
    Name(String),
}

/// Who registered for what.
#[derive(Debug, Default)]
pub(crate) struct Events {
    registered: Mutex<Vec<Registration>>,
}

#[derive(Debug)]
struct Registration {
    client: Weak<Client>,
    client_id: u64,
    callback: i32,
    topic: Topic,
    only: Only,
}

/// The most registrations of one client: virsh makes one for each event, virt-manager a few for each object.
const MOST: usize = 4096;

impl Events {
    /// Registers a client. Returns the number under which events are sent to it.
    pub(crate) fn register(&self, client: &Arc<Client>, topic: Topic, only: Only) -> Result<i32, Failure> {
        let known = match &topic {
            Topic::Domain(id) => usize::try_from(*id).is_ok_and(|id| id < remote::event::BY_ID.len()),
            Topic::Network(id) | Topic::Pool(id) | Topic::NodeDevice(id) | Topic::Secret(id) => {
                (0..2).contains(id)
            }
        };
        if let (false, Topic::Domain(id) | Topic::Network(id) | Topic::Pool(id)) = (known, &topic) {
            return Err(Box::new(RemoteError::internal(format!("unsupported event ID {id}"))));
        } else if !known {
            return Err(Box::new(RemoteError::internal("unsupported event ID")));
        }
        let mut registered = locked(&self.registered);
        registered.retain(|registration| registration.client.strong_count() > 0);
        let (mut count, mut callback) = (0, 0);
        for registration in registered.iter().filter(|registration| registration.client_id == client.id) {
            count += 1;
            callback = callback.max(registration.callback.saturating_add(1));
        }
        if count >= MOST {
            return Err(Box::new(RemoteError::operation_failed(format!(
                "this connection has registered for {MOST} events, which is the most; deregister some first"
            ))));
        }
        registered.push(Registration {
            client: Arc::downgrade(client),
            client_id: client.id,
            callback,
            topic,
            only,
        });
        Ok(callback)
    }

    /// Takes a registration back. `what` names the kind in the error: libvirt says “domain event callback”.
    pub(crate) fn deregister(&self, client: &Client, callback: i32, what: &str) -> Result<(), Failure> {
        let mut registered = locked(&self.registered);
        let before = registered.len();
        registered
            .retain(|registration| registration.client_id != client.id || registration.callback != callback);
        if registered.len() == before {
            let why = format!("{what} event callback {callback} not registered");
            return Err(Box::new(RemoteError::internal(why)));
        }
        Ok(())
    }

    /// A client has gone.
    pub(crate) fn drop_client(&self, client: &Client) {
        locked(&self.registered).retain(|registration| registration.client_id != client.id);
    }

    /// Something happened to a domain.
    pub(crate) fn publish(&self, about: &About, happening: &Happening) {
        tracing::debug!(domain = %about.name, ?happening, "event");
        self.tell(&Only::Uuid(about.uuid), |registration| match registration.topic {
            Topic::Domain(id) => {
                let event = encode::domain(id, registration.callback, about, happening)?;
                packet(remote::PROGRAM, event.procedure().number(), |header| event.encode(header))
            }
            _ => None,
        });
    }

    /// Something happened to a network: `virNetworkEventLifecycleType`.
    pub(crate) fn publish_network(&self, net: &object::Network<'_>, event: i32) {
        self.tell(&Only::Uuid(net.uuid), |registration| {
            let net = net.clone();
            let callback_id = registration.callback;
            let told = remote::network::Lifecycle { callback_id, net, event, detail: 0 };
            let event = remote::Event::NetworkEventLifecycle(told);
            (registration.topic == Topic::Network(0)).then_some(())?;
            packet(remote::PROGRAM, event.procedure().number(), |header| event.encode(header))
        });
    }

    /// Something happened to a pool: `virStoragePoolEventLifecycleType`; `None` for a refresh.
    pub(crate) fn publish_pool(&self, pool: &object::StoragePool<'_>, event: Option<i32>) {
        self.tell(&Only::Uuid(pool.uuid), |registration| {
            let pool = pool.clone();
            let callback_id = registration.callback;
            let event = match (event, &registration.topic) {
                (Some(event), Topic::Pool(0)) => {
                    let told = remote::storage::PoolLifecycle { callback_id, pool, event, detail: 0 };
                    remote::Event::StoragePoolEventLifecycle(told)
                }
                (None, Topic::Pool(1)) => {
                    remote::Event::StoragePoolEventRefresh(remote::storage::PoolRefresh { callback_id, pool })
                }
                _ => return None,
            };
            packet(remote::PROGRAM, event.procedure().number(), |header| event.encode(header))
        });
    }

    fn tell(&self, what: &Only, packet: impl Fn(&Registration) -> Option<Vec<u8>>) {
        for registration in locked(&self.registered).iter() {
            if registration.only != Only::All && registration.only != *what {
                continue;
            }
            let Some(client) = registration.client.upgrade() else { continue };
            if let Some(packet) = packet(registration) {
                client.outbox.push_event(packet);
            }
        }
    }
}

/// An event's packet. libvirt numbers them 1, whatever its documentation says.
fn packet(
    program: Program,
    procedure: i32,
    encode: impl FnOnce(Header) -> Result<Vec<u8>, rpc::packet::PacketError>,
) -> Option<Vec<u8>> {
    let header = Header {
        program: program.number,
        version: program.version,
        procedure,
        kind: Kind::Message,
        serial: 1,
        status: Status::Ok,
    };
    encode(header).inspect_err(|error| tracing::warn!(%error, procedure, "an event cannot be sent")).ok()
}

#[cfg(test)]
mod tests;
