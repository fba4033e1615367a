//! Which domains there are.

use std::sync::Arc;

use rpc::error::RemoteError;
use rpc::remote::connect::ListAllDomainsReply;
use rpc::remote::domain::ListAllSnapshotsReply;
use rpc::remote::object;
use rpc::xdr::{List, Text, Uuid};

use super::only_flags;
use crate::service::domains::Vm;
use crate::service::{Failure, Service};

/// `virConnectListAllDomainsFlags`. Flags of one group are alternatives; groups narrow each other down.
pub(crate) mod filter {
    pub(crate) const ACTIVE: u32 = 1;
    pub(crate) const INACTIVE: u32 = 1 << 1;
    pub(crate) const PERSISTENT: u32 = 1 << 2;
    pub(crate) const TRANSIENT: u32 = 1 << 3;
    pub(crate) const RUNNING: u32 = 1 << 4;
    pub(crate) const PAUSED: u32 = 1 << 5;
    pub(crate) const SHUTOFF: u32 = 1 << 6;
    pub(crate) const OTHER: u32 = 1 << 7;
    pub(crate) const MANAGED_SAVE: u32 = 1 << 8;
    pub(crate) const NO_MANAGED_SAVE: u32 = 1 << 9;
    pub(crate) const AUTOSTART: u32 = 1 << 10;
    pub(crate) const NO_AUTOSTART: u32 = 1 << 11;
    pub(crate) const HAS_SNAPSHOT: u32 = 1 << 12;
    pub(crate) const NO_SNAPSHOT: u32 = 1 << 13;
    pub(crate) const HAS_CHECKPOINT: u32 = 1 << 14;
    pub(crate) const NO_CHECKPOINT: u32 = 1 << 15;
    pub(crate) const ALL: u32 = (1 << 16) - 1;
}

/// `virDomainState`.
const RUNNING: i32 = 1;
const PAUSED: i32 = 3;
const SHUTOFF: i32 = 5;

/// The domains that `flags` of [`filter`] select, by name.
pub(crate) fn selected(service: &Service, flags: u32) -> Vec<Arc<Vm>> {
    let mut all = service.domains.all();
    if flags & filter::ALL != 0 {
        all.retain(|vm| is_selected(vm, flags));
    }
    all
}

fn is_selected(vm: &Vm, flags: u32) -> bool {
    let state = vm.run_state().state;
    let (is_active, is_persistent, autostart) = {
        let known = crate::locked(&vm.state);
        (known.id.is_some(), known.definition.is_some(), known.autostart)
    };
    let is_other = !matches!(state, RUNNING | PAUSED | SHUTOFF);
    let groups: [&[(u32, bool)]; 7] = [
        &[(filter::ACTIVE, is_active), (filter::INACTIVE, !is_active)],
        &[(filter::PERSISTENT, is_persistent), (filter::TRANSIENT, !is_persistent)],
        &[
            (filter::RUNNING, state == RUNNING),
            (filter::PAUSED, state == PAUSED),
            (filter::SHUTOFF, state == SHUTOFF),
            (filter::OTHER, is_other),
        ],
        // There is nothing of these three kinds here.
        &[(filter::MANAGED_SAVE, false), (filter::NO_MANAGED_SAVE, true)],
        &[(filter::AUTOSTART, autostart), (filter::NO_AUTOSTART, !autostart)],
        &[(filter::HAS_SNAPSHOT, false), (filter::NO_SNAPSHOT, true)],
        &[(filter::HAS_CHECKPOINT, false), (filter::NO_CHECKPOINT, true)],
    ];
    groups.iter().all(|group| {
        let mut asked = group.iter().filter(|(flag, _)| flags & flag != 0).peekable();
        asked.peek().is_none() || asked.any(|(_, holds)| *holds)
    })
}

pub(in crate::service) fn all(
    service: &Service,
    need_results: i32,
    flags: u32,
) -> Result<ListAllDomainsReply<'static>, Failure> {
    only_flags(flags, filter::ALL, "virConnectListAllDomains")?;
    let selected = selected(service, flags);
    let ret = u32::try_from(selected.len()).unwrap_or(u32::MAX);
    let wanted = if need_results == 0 { &[][..] } else { &selected[..] };
    Ok(ListAllDomainsReply { domains: list(wanted.iter().map(|vm| vm.object()))?, ret })
}

/// A list, if it is not longer than the protocol allows.
fn list<T, const MOST: usize>(items: impl Iterator<Item = T>) -> Result<List<T, MOST>, Failure> {
    let items: Vec<T> = items.collect();
    if items.len() > MOST {
        let detail = format!("Too many domains '{}' for limit '{MOST}'", items.len());
        return Err(Box::new(RemoteError::rpc(detail)));
    }
    Ok(items.into())
}

fn active(service: &Service) -> Vec<Arc<Vm>> {
    selected(service, filter::ACTIVE)
}

fn inactive(service: &Service) -> Vec<Arc<Vm>> {
    selected(service, filter::INACTIVE)
}

pub(in crate::service) fn count_active(service: &Service) -> i32 {
    i32::try_from(active(service).len()).unwrap_or(i32::MAX)
}

pub(in crate::service) fn count_inactive(service: &Service) -> i32 {
    i32::try_from(inactive(service).len()).unwrap_or(i32::MAX)
}

/// The numbers of the running ones, at most `most`.
pub(in crate::service) fn ids(service: &Service, most: i32) -> Result<List<i32, 16384>, Failure> {
    let ids = active(service).into_iter().map(|vm| vm.about().id).filter(|id| *id >= 0);
    list(ids.take(usize::try_from(most).unwrap_or(0)))
}

/// The names of those that do not run, at most `most`.
pub(in crate::service) fn defined(
    service: &Service,
    most: i32,
) -> Result<List<Text<'static>, 16384>, Failure> {
    let names = inactive(service).into_iter().map(|vm| Text::from(vm.name()));
    list(names.take(usize::try_from(most).unwrap_or(0)))
}

pub(in crate::service) fn by_id(service: &Service, id: i32) -> Result<object::Domain<'static>, Failure> {
    service.domains.by_id(id).map(|vm| vm.object())
}

pub(in crate::service) fn by_name(service: &Service, name: &str) -> Result<object::Domain<'static>, Failure> {
    service.domains.by_name(name).map(|vm| vm.object())
}

pub(in crate::service) fn by_uuid(service: &Service, uuid: Uuid) -> Result<object::Domain<'static>, Failure> {
    service.domains.by_uuid(uuid).map(|vm| vm.object())
}

/// Snapshots are not made here.
pub(in crate::service) fn no_snapshots() -> ListAllSnapshotsReply<'static> {
    ListAllSnapshotsReply { snapshots: List::default(), ret: 0 }
}
