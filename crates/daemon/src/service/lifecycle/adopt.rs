//! Guests that an earlier daemon has left are taken over.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rpc::error::RemoteError;
use rpc::remote::domain::state;
use rpc::xdr::Uuid;

use super::start::{How as Start, as_it_ran};
use super::{dump, end, watch};
use crate::cgroup::Group;
use crate::locked;
use crate::service::domains::Vm;
use crate::service::{Failure, Service, tune};
use crate::vm::{AdoptError, Guest, How, Record, RunDir, Standing, Still, boot, last_words, read_live};

/// How many are looked at at a time.
const AT_ONCE: usize = 8;

/// Takes over every guest that lives, and tidies up after those that do not. When this returns each one is known by
/// what was written down of it; its QEMU is asked meanwhile, so that one that hangs keeps nobody waiting.
pub(in crate::service) async fn take_over(service: &Arc<Service>) {
    let guests = service.paths.run.join("guests");
    let there: Vec<PathBuf> =
        std::fs::read_dir(&guests).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    // Nothing is in the way of what a killed daemon has left of control groups.
    tokio::task::spawn_blocking(crate::cgroup::sweep_all);
    let gate = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
    let mut tasks = tokio::task::JoinSet::new();
    for path in there {
        let (service, gate) = (Arc::clone(service), Arc::clone(&gate));
        tasks.spawn(async move {
            let _turn = gate.acquire().await;
            let taken = tokio::task::spawn_blocking(move || take_one(&service, &path)).await;
            taken.unwrap_or_else(|error| {
                tracing::error!(%error, "a guest could not be taken over");
                None
            })
        });
    }
    let found = tasks.join_all().await;
    let paths = service.paths.clone();
    if let Err(error) = tokio::task::spawn_blocking(move || crate::isolate::restore(&paths)).await {
        tracing::error!(%error, "owners of lost guests' files are not restored");
    }
    // Only when all are known that run: a new guest may have been started before the record of the old one went.
    for relaunch in found.into_iter().flatten() {
        relaunch.carry_out(service);
    }
}

/// A guest that was to be launched anew when its daemon ended.
struct Relaunch {
    vm: Arc<Vm>,
    run_dir: PathBuf,
    how: Start,
}

impl Relaunch {
    fn of(service: &Service, run_dir: &Path, record: &Record) -> Option<Self> {
        // What it was bound to is gone with the daemon; and what starts with the host is not decided here.
        if !record.relaunch || record.bound || record.boot != boot() {
            return None;
        }
        let (vm, live) = (domain_of(service, record).ok()?, read_live(run_dir));
        let live = live.inspect_err(|error| {
            tracing::error!(domain = %record.name, %error, "what it was launched from cannot be read");
        });
        let text = Some(as_it_ran(&live.ok()?));
        let how = Start { paused: record.paused, text, ..Start::default() };
        Some(Self { vm, run_dir: run_dir.to_owned(), how })
    }

    fn carry_out(self, service: &Arc<Service>) {
        let Self { vm, run_dir, how } = self;
        if vm.guest().is_some() {
            // It was done, and only this was not removed any more.
            if let Err(error) = std::fs::remove_dir_all(&run_dir) {
                tracing::warn!(path = %run_dir.display(), %error, "a run directory stays behind");
            }
            return;
        }
        tracing::info!(domain = %vm.name(), "launched anew, as the daemon before this one was about to");
        tokio::spawn(end::launch_anew(Arc::clone(service), vm, how, run_dir));
    }
}

fn take_one(service: &Arc<Service>, path: &Path) -> Option<Relaunch> {
    let run_dir = match RunDir::adopt(path.to_owned()) {
        Ok(Some(run_dir)) => run_dir,
        // A guest in the foreground, whose supervisor lives.
        Ok(None) => return None,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "cannot be looked at");
            return None;
        }
    };
    if !run_dir.has_record() {
        // Whoever made it was killed before there could be a guest.
        run_dir.remove();
        return None;
    }
    let adopted = Guest::adopt(
        run_dir,
        |record| {
            let vm = domain_of(service, record).inspect_err(|error| {
                tracing::error!(domain = %record.name, %error, "no domain for a guest that runs");
            });
            let vm = vm.ok()?;
            Some((watch::observer(service, &vm), end::afterwards(service, &vm, None)))
        },
        |guest| {
            let record = guest.record();
            service.domains.take_id(record.id);
            let Ok(vm) = domain_of(service, &record) else { return };
            let mut state = locked(&vm.state);
            state.id = Some(record.id);
            state.guest = Some(Arc::clone(guest));
        },
    );
    match adopted {
        Ok(guest) => {
            let record = guest.record();
            tracing::info!(domain = %record.name, id = record.id, pid = guest.pid(), "taken over");
            let its = Arc::clone(&guest);
            tokio::spawn(async move { tune::at_adoption(&its).await });
            if record.standing == Standing::Still(Still::Watchdog)
                && let Ok(vm) = domain_of(service, &record)
            {
                dump::at_watchdog(service, &vm);
            }
            if record.bound {
                tracing::info!(domain = %record.name, "ends: the client that it was bound to is gone");
                tokio::spawn(async move { guest.stop(How::Terminate).await });
            }
        }
        Err((run_dir, AdoptError::Gone(record))) => {
            if let Some(relaunch) = Relaunch::of(service, run_dir.path(), &record) {
                clear(&record);
                run_dir.leave_record();
                return Some(relaunch);
            }
            let why = "the guest's QEMU ended while no daemon ran".to_owned();
            let why = end::with_words(why, &last_words(&record), &record.warned);
            tracing::warn!(domain = %record.name, "{why}");
            // A transient domain is gone with it.
            if let Some(vm) = uuid_of(&record).and_then(|uuid| service.domains.by_uuid(uuid).ok()) {
                let mut known = locked(&vm.state);
                known.stopped = state::SHUTOFF_DAEMON;
                known.messages = vec![why];
            }
            tidy(run_dir, &record);
        }
        Err((run_dir, AdoptError::Unfinished(record))) => {
            tracing::warn!(domain = %record.name, "a start that was not finished is undone");
            tidy(run_dir, &record);
        }
        // Whoever can read it one day finds it where it is.
        Err((_, error)) => tracing::error!(error = crate::chain(&error), "a guest is not taken over"),
    }
    None
}

fn uuid_of(record: &Record) -> Option<Uuid> {
    uuid::Uuid::parse_str(&record.uuid).ok().map(|uuid| Uuid(uuid.into_bytes()))
}

/// The domain that the guest is; a transient one is known by its guest alone.
fn domain_of(service: &Service, record: &Record) -> Result<Arc<Vm>, Failure> {
    let uuid = uuid_of(record).ok_or_else(|| Box::new(RemoteError::internal("its record has no UUID")))?;
    service.domains.by_uuid(uuid).or_else(|_| service.domains.admit(&record.name, uuid))
}

/// Takes away what belonged to a guest that is no more.
fn tidy(run_dir: RunDir, record: &Record) {
    clear(record);
    run_dir.remove();
}

/// Ends what QEMU has left in its control group, and removes that. None of an earlier boot is there any more.
fn clear(record: &Record) {
    if let Some(group) = record.group.clone().filter(|_| record.boot == boot()) {
        Group::adopt(group).clear();
    }
}
