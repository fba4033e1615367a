//! What is not done to guests, and why.

use qemu::Technology;
use rpc::error::{Code, Origin, RemoteError};
use rules::ops::{self, Operation};

use crate::service::Failure;
use crate::service::domains::Vm;

/// Why `operation` cannot be done to a guest of `technology`, as the rules have it; `None` where it can.
pub(in crate::service) fn refused(operation: Operation, technology: Technology) -> Option<Failure> {
    let reason = ops::refused(operation, technology)?;
    Some(Box::new(RemoteError::operation_unsupported(format!(
        "{technology} guests {}; {}",
        reason.message, reason.help
    ))))
}

/// The technology that a domain has, or would have if it were started.
fn technology(vm: &Vm) -> Option<Technology> {
    let domain = vm.current().ok()?;
    domain.launch_security.as_ref().and_then(Technology::of)
}

/// Refuses an operation: by the rules for a confidential guest, and otherwise because there is no such thing here.
fn never(vm: &Vm, operation: Operation, what: &str) -> Failure {
    technology(vm)
        .and_then(|technology| refused(operation, technology))
        .unwrap_or_else(|| Box::new(RemoteError::operation_unsupported(format!("sevirt does not {what}"))))
}

/// `DOMAIN_SAVE` and its like: only running guests have what could be saved.
pub(in crate::service) fn saved(vm: &Vm, operation: Operation) -> Failure {
    if let Err(failure) = vm.must_run() {
        return failure;
    }
    never(
        vm,
        operation,
        match operation {
            Operation::Dump => "dump the memory of guests",
            Operation::LiveMigration | Operation::OfflineMigration => "migrate guests",
            _ => "save guests: shut the guest down",
        },
    )
}

/// `DOMAIN_SNAPSHOT_CREATE_XML` and its like.
pub(in crate::service) fn snapshot(vm: &Vm) -> Failure {
    let operation = if vm.is_active() { Operation::SnapshotWithMemory } else { Operation::SnapshotOfDisks };
    never(vm, operation, "make snapshots")
}

/// A snapshot that somebody names, where there is none.
pub(in crate::service) fn unknown_snapshot(name: &str) -> Failure {
    let detail = format!("no domain snapshot with matching name '{name}'");
    Box::new(RemoteError::new(Code::NO_DOMAIN_SNAPSHOT, Origin::DOMAIN_SNAPSHOT, detail))
}

/// The snapshot that a domain is at, where it has none.
pub(in crate::service) fn no_current_snapshot() -> Failure {
    let detail = "the domain does not have a current snapshot";
    Box::new(RemoteError::new(Code::NO_DOMAIN_SNAPSHOT, Origin::QEMU, detail))
}

/// An image of a saved guest that somebody names, where none is ever made.
pub(in crate::service) fn unknown_save(path: &str) -> Failure {
    let detail =
        format!("'{path}' is not restored: sevirt saves no guests, so it cannot be one of its images");
    Box::new(RemoteError::operation_unsupported(detail))
}

/// `DOMAIN_PM_SUSPEND_FOR_DURATION`.
pub(in crate::service) fn sleep(vm: &Vm, target: u32) -> Failure {
    if let Err(failure) = vm.must_run() {
        return failure;
    }
    // VIR_NODE_SUSPEND_TARGET_MEM 0, DISK 1, HYBRID 2.
    let operation = if target == 0 { Operation::SuspendToMemory } else { Operation::SuspendToDisk };
    never(vm, operation, "put guests to sleep from outside: have the guest do it")
}

/// `DOMAIN_CREATE_WITH_FILES` and `DOMAIN_CREATE_XML_WITH_FILES`.
pub(in crate::service) fn create_with_files() -> Failure {
    let detail = "sevirt does not pass files on to a guest's init: guests boot from firmware or a kernel";
    Box::new(RemoteError::operation_unsupported(detail))
}
