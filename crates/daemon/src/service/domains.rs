//! The domains that the daemon knows: by name, by UUID, by the number of a running one.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, RwLock};

use rpc::error::RemoteError;
use rpc::remote::object;
use rpc::xdr::Uuid;

use super::Failure;
use super::events::About;
use crate::locked;

/// All domains. A name and a UUID belong to one domain at most.
#[derive(Debug, Default)]
pub(crate) struct Domains {
    tables: RwLock<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    by_uuid: HashMap<Uuid, Arc<Vm>>,
    by_name: BTreeMap<String, Uuid>,
}

/// One domain: defined, running, or both.
#[derive(Debug)]
pub(crate) struct Vm {
    pub(crate) uuid: Uuid,
    /// Held by whoever changes the domain, so that changes come one after the other; readers never wait for it.
    pub(crate) job: tokio::sync::Mutex<()>,
    pub(crate) state: Mutex<VmState>,
}

/// What is known of a domain now.
#[derive(Debug)]
pub(crate) struct VmState {
    pub(crate) name: String,
    /// The definition that it will start from next; none where it is transient.
    pub(crate) definition: Option<Arc<str>>,
    pub(crate) autostart: bool,
    /// Its number while it runs.
    pub(crate) id: Option<u32>,
}

impl Domains {
    pub(crate) fn all(&self) -> Vec<Arc<Vm>> {
        let tables = self.tables.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        tables.by_name.values().filter_map(|uuid| tables.by_uuid.get(uuid).cloned()).collect()
    }

    pub(crate) fn by_name(&self, name: &str) -> Result<Arc<Vm>, Failure> {
        let tables = self.tables.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let found = tables.by_name.get(name).and_then(|uuid| tables.by_uuid.get(uuid));
        found.cloned().ok_or_else(|| Box::new(RemoteError::no_domain_named(name)))
    }

    /// The domain that a call is about.
    pub(crate) fn of(&self, dom: &object::Domain<'_>) -> Result<Arc<Vm>, Failure> {
        let tables = self.tables.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        tables
            .by_uuid
            .get(&dom.uuid)
            .cloned()
            .ok_or_else(|| Box::new(RemoteError::no_domain_with_uuid(dom.uuid, Some(&dom.name))))
    }
}

impl Vm {
    pub(crate) fn about(&self) -> About {
        let state = locked(&self.state);
        let id = state.id.and_then(|id| i32::try_from(id).ok()).unwrap_or(-1);
        About { name: state.name.clone(), uuid: self.uuid, id }
    }

    /// As the protocol names it.
    pub(crate) fn object(&self) -> object::Domain<'static> {
        let About { name, uuid, id } = self.about();
        object::Domain { name: name.into(), uuid, id }
    }
}
