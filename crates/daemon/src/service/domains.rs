//! The domains that the daemon knows: by name, by UUID, by the number of a running one.
//!
//! A domain is in the table while it is defined, while it runs, and while somebody is about to make one of both true
//! ([`Domains::admit`]); only the first two are shown to clients. Who changes a domain holds its `job`; the table and
//! the state are locked for moments, never over an await.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rpc::error::{Code, Origin, RemoteError};
use rpc::remote::domain::{State, state};
use rpc::remote::object;
use rpc::xdr::Uuid;

use super::Failure;
use super::events::About;
use crate::locked;
use crate::store::Stored;
use crate::vm::Guest;

/// All domains. A name and a UUID belong to one domain at most.
#[derive(Debug, Default)]
pub(crate) struct Domains {
    tables: RwLock<Tables>,
    /// The number that the guest had that was started last.
    last_id: AtomicU32,
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
    pub(crate) job: Arc<tokio::sync::Mutex<()>>,
    pub(crate) state: Mutex<VmState>,
}

/// What is known of a domain now.
#[derive(Debug)]
pub(crate) struct VmState {
    pub(crate) name: String,
    /// The definition that it will start from next; none where it is transient.
    pub(crate) definition: Option<Arc<str>>,
    pub(crate) autostart: bool,
    pub(crate) autostart_once: bool,
    /// Its number while it runs.
    pub(crate) id: Option<u32>,
    /// Its QEMU, from the moment at which one is being started until that one is gone.
    pub(crate) guest: Option<Arc<Guest>>,
    /// Why it does not run, while it does not.
    pub(crate) stopped: State,
    /// The definition was changed while the domain ran.
    pub(crate) updated: bool,
    /// What is to be said of its last life: why it died, what lint thinks of that.
    pub(crate) messages: Vec<String>,
}

impl Domains {
    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that were found in the store.
    pub(crate) fn of_stored(stored: Vec<Stored>) -> Self {
        let mut tables = Tables::default();
        for Stored { name, uuid, text, autostart, autostart_once } in stored {
            let vm = Vm::new(name.clone(), uuid);
            {
                let mut state = locked(&vm.state);
                state.definition = Some(text);
                state.autostart = autostart;
                state.autostart_once = autostart_once;
            }
            tables.by_name.insert(name, uuid);
            tables.by_uuid.insert(uuid, Arc::new(vm));
        }
        Self { tables: RwLock::new(tables), last_id: AtomicU32::default() }
    }

    /// Every domain that is defined or runs, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Vm>> {
        let tables = self.read();
        let all = tables.by_name.iter().filter_map(|(name, uuid)| Some((name, tables.by_uuid.get(uuid)?)));
        all.filter(|(name, vm)| vm.exists_as(name)).map(|(_, vm)| vm.clone()).collect()
    }

    pub(crate) fn by_name(&self, name: &str) -> Result<Arc<Vm>, Failure> {
        let tables = self.read();
        let found = tables.by_name.get(name).and_then(|uuid| tables.by_uuid.get(uuid));
        let found = found.filter(|vm| vm.exists_as(name)).cloned();
        found.ok_or_else(|| Box::new(RemoteError::no_domain_named(name)))
    }

    pub(crate) fn by_uuid(&self, uuid: Uuid) -> Result<Arc<Vm>, Failure> {
        let found = self.read().by_uuid.get(&uuid).cloned();
        found.filter(|vm| vm.exists()).ok_or_else(|| Box::new(RemoteError::no_domain_with_uuid(uuid, None)))
    }

    pub(crate) fn by_id(&self, id: i32) -> Result<Arc<Vm>, Failure> {
        let tables = self.read();
        let has_it = |vm: &&Arc<Vm>| u32::try_from(id).is_ok_and(|id| locked(&vm.state).id == Some(id));
        let found = tables.by_uuid.values().find(has_it).cloned();
        found.ok_or_else(|| Box::new(RemoteError::no_domain_with_id(id)))
    }

    /// The domain that a call is about.
    pub(crate) fn of(&self, dom: &object::Domain<'_>) -> Result<Arc<Vm>, Failure> {
        let found = self.read().by_uuid.get(&dom.uuid).cloned();
        found
            .filter(|vm| vm.exists())
            .ok_or_else(|| Box::new(RemoteError::no_domain_with_uuid(dom.uuid, Some(&dom.name))))
    }

    /// The domain of that name and UUID, new if there is none; refused where only one of both is this domain's. Whoever
    /// asks takes the domain's `job` next, looks whether it is still the one in the table ([`Domains::holds`]), makes it
    /// defined or running, and calls [`Domains::settle`].
    pub(crate) fn admit(&self, name: &str, uuid: Uuid) -> Result<Arc<Vm>, Failure> {
        let failed = |detail| Err(Box::new(RemoteError::new(Code::OPERATION_FAILED, Origin::QEMU, detail)));
        let mut tables = self.write();
        if let Some(vm) = tables.by_uuid.get(&uuid) {
            let known = vm.name();
            if known != name {
                return failed(format!("domain '{known}' is already defined with uuid {uuid}"));
            }
            return Ok(vm.clone());
        }
        if let Some(other) = tables.by_name.get(name) {
            return failed(format!("domain '{name}' already exists with uuid {other}"));
        }
        let vm = Arc::new(Vm::new(name.to_owned(), uuid));
        tables.by_name.insert(name.to_owned(), uuid);
        tables.by_uuid.insert(uuid, vm.clone());
        Ok(vm)
    }

    /// Whether the domain is still in the table.
    pub(crate) fn holds(&self, vm: &Arc<Vm>) -> bool {
        self.read().by_uuid.get(&vm.uuid).is_some_and(|known| Arc::ptr_eq(known, vm))
    }

    /// Takes a domain that is neither defined nor running out of the table.
    pub(crate) fn settle(&self, vm: &Arc<Vm>) {
        let mut tables = self.write();
        let is_this = tables.by_uuid.get(&vm.uuid).is_some_and(|known| Arc::ptr_eq(known, vm));
        if is_this && !vm.exists() {
            tables.by_uuid.remove(&vm.uuid);
            tables.by_name.remove(&vm.name());
        }
    }

    /// Sets the name `new` aside for a domain, which keeps the one that it has; refused where somebody has it.
    pub(super) fn reserve_name(&self, vm: &Arc<Vm>, new: &str) -> Result<(), Failure> {
        let mut tables = self.write();
        if tables.by_name.contains_key(new) {
            let detail = format!("domain with name '{new}' already exists");
            return Err(Box::new(RemoteError::operation_invalid(detail)));
        }
        tables.by_name.insert(new.to_owned(), vm.uuid);
        Ok(())
    }

    /// Gives a name free that a domain does not have, or no longer.
    pub(super) fn release_name(&self, vm: &Arc<Vm>, name: &str) {
        let mut tables = self.write();
        if vm.name() != name && tables.by_name.get(name) == Some(&vm.uuid) {
            tables.by_name.remove(name);
        }
    }

    /// A number for a guest that is about to start.
    pub(crate) fn next_id(&self) -> u32 {
        self.last_id.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// Makes numbers up to this one taken: a guest has it that was started by an earlier daemon.
    pub(crate) fn take_id(&self, id: u32) {
        self.last_id.fetch_max(id, Ordering::Relaxed);
    }
}

impl Vm {
    fn new(name: String, uuid: Uuid) -> Self {
        let state = VmState {
            name,
            definition: None,
            autostart: false,
            autostart_once: false,
            id: None,
            guest: None,
            stopped: state::SHUTOFF_UNKNOWN,
            updated: false,
            messages: Vec::new(),
        };
        Self { uuid, job: Arc::default(), state: Mutex::new(state) }
    }

    pub(crate) fn name(&self) -> String {
        locked(&self.state).name.clone()
    }

    /// The definition that it will start from next; none where it is transient.
    pub(crate) fn definition(&self) -> Option<Arc<str>> {
        locked(&self.state).definition.clone()
    }

    pub(crate) fn is_active(&self) -> bool {
        locked(&self.state).id.is_some()
    }

    pub(crate) fn is_persistent(&self) -> bool {
        locked(&self.state).definition.is_some()
    }

    pub(crate) fn is_updated(&self) -> bool {
        locked(&self.state).updated
    }

    /// Whether it is there for clients, who know only domains that are defined or running.
    fn exists(&self) -> bool {
        let state = locked(&self.state);
        state.definition.is_some() || state.id.is_some()
    }

    /// The same, under this name: one that is set aside for a new name has none of it yet.
    fn exists_as(&self, name: &str) -> bool {
        let state = locked(&self.state);
        state.name == name && (state.definition.is_some() || state.id.is_some())
    }

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

    /// Its QEMU, while there is one.
    pub(crate) fn guest(&self) -> Option<Arc<Guest>> {
        locked(&self.state).guest.clone()
    }

    /// Its QEMU, or libvirt's words for that there is none.
    pub(crate) fn running(&self) -> Result<Arc<Guest>, Failure> {
        self.guest().ok_or_else(not_running)
    }

    /// The running domain, with everything that was chosen at its start.
    pub(crate) fn live(&self) -> Option<Arc<domain::Domain>> {
        self.guest().map(|guest| guest.live())
    }

    /// Changes what is known of the running domain.
    pub(crate) fn change_live<T>(
        &self,
        change: impl FnOnce(&mut domain::Domain) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.running()?.change_live(change)
    }

    /// Whether it runs, and why or why not.
    pub(crate) fn run_state(&self) -> State {
        let state = locked(&self.state);
        match &state.guest {
            Some(guest) => guest.state().into(),
            None => state.stopped.clone(),
        }
    }

    /// What the balloon leaves a running guest, in KiB.
    pub(crate) fn balloon(&self) -> Option<u64> {
        self.live()?.current_memory.map(|current| current.0)
    }

    /// Processor time that a running guest has taken, in nanoseconds.
    pub(crate) fn cpu_time(&self) -> u64 {
        self.guest().map_or(0, |guest| cpu_time_of(guest.pid()).unwrap_or(0))
    }

    /// Fails with libvirt's words where the domain does not run.
    pub(crate) fn must_run(&self) -> Result<(), Failure> {
        if self.is_active() { Ok(()) } else { Err(not_running()) }
    }
}

/// Processor time that a process has taken, its threads' together, in nanoseconds: `/proc/PID/stat`, fields 14 and 15 of
/// proc(5), of which the second can have any bytes between its brackets.
fn cpu_time_of(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let ticks = ticks()?.checked_add(ticks()?)?;
    ticks.checked_mul(1_000_000_000 / rustix::param::clock_ticks_per_second().max(1))
}

/// What a call is told that needs a running domain.
pub(crate) fn not_running() -> Failure {
    Box::new(RemoteError::operation_invalid("domain is not running"))
}
