//! Core dumps: the memory of guests that crash and say `coredump-destroy` or `coredump-restart`, and of guests whose
//! watchdog says `dump`. As with libvirt they are ELF files of the guest's memory and registers, made by QEMU while the
//! guest stands still, and for administrators alone.
//!
//! A guest decides when it crashes. So each domain has a few dumps at most, and none is begun that the disk cannot hold.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::model::devices::WatchdogAction;
use qemu::qmp::command::Cont;
use qemu::qmp::device::{DumpGuestMemory, GetFd};

use super::end::note;
use crate::guest_log;
use crate::locked;
use crate::service::Service;
use crate::service::domains::Vm;
use crate::vm::{DUMP, Guest};

/// How many dumps of one domain are kept; who wants more takes some away.
const MOST: usize = 5;
/// What the descriptor is called in QEMU. One guest is dumped once at a time.
const DESCRIPTOR: &str = "sevirt-dump";

/// Has a crashed guest dumped, whose life goes on then as it is to.
pub(super) fn at_panic(service: &Arc<Service>, vm: &Arc<Vm>) {
    let Some(guest) = vm.guest() else { return };
    let (service, vm) = (Arc::clone(service), Arc::clone(vm));
    tokio::spawn(async move {
        dump(&service, &vm, &guest, "its kernel panicked").await;
        guest.dumped().await;
    });
}

/// Has a guest dumped whose watchdog fired, where that is what the watchdog is for, and lets it go on.
pub(super) fn at_watchdog(service: &Arc<Service>, vm: &Arc<Vm>) {
    let Some(guest) = vm.guest() else { return };
    let live = guest.live();
    if live.devices.watchdogs.first().is_none_or(|watchdog| watchdog.action != WatchdogAction::Dump) {
        return;
    }
    let (service, vm) = (Arc::clone(service), Arc::clone(vm));
    tokio::spawn(async move {
        dump(&service, &vm, &guest, "its watchdog fired").await;
        if let Err(error) = guest.ask(Cont).await {
            tracing::warn!(domain = %vm.name(), %error, "the guest does not go on after its watchdog fired");
        }
    });
}

/// Writes a dump, and says what came of it.
async fn dump(service: &Arc<Service>, vm: &Vm, guest: &Guest, why: &str) {
    let name = vm.name();
    let said = match write(service, &name, guest).await {
        Ok(path) => {
            tracing::warn!(domain = %name, path = %path.display(), why, "dumped");
            format!("{why}; its memory was written to {}", path.display())
        }
        Err(reason) => {
            tracing::error!(domain = %name, %reason, why, "not dumped");
            format!("{why}; its memory was not written to a file: {reason}")
        }
    };
    note(&mut locked(&vm.state).messages, said);
}

async fn write(service: &Service, name: &str, guest: &Guest) -> Result<PathBuf, String> {
    if let Some(technology) = guest.technology() {
        return Err(format!("{technology} guests are encrypted"));
    }
    let file_name = crate::store::file_name(name);
    let stem = file_name.strip_suffix(".xml").unwrap_or(&file_name);
    let directory = service.paths.state.join("dump").join(stem);
    let bytes = guest.live().memory.0.saturating_mul(1024);
    let made = tokio::task::spawn_blocking(move || create(&directory, bytes)).await;
    let (path, file) = made.map_err(|error| error.to_string())??;
    let written = fill(guest, &file).await;
    let synced = tokio::task::spawn_blocking(move || {
        let outcome = written.and_then(|()| file.sync_all().map_err(|error| crate::os_words(&error)));
        if outcome.is_err() {
            // Half a dump is of no use, and would be in the next one's way.
            let _ = fs::remove_file(&path);
        }
        outcome.map(|()| path)
    });
    synced.await.unwrap_or_else(|error| Err(error.to_string()))
}

/// A new file for a dump of so many bytes; where it can be foreseen that it is not to be, why.
fn create(directory: &Path, bytes: u64) -> Result<(PathBuf, File), String> {
    let at = |error: io::Error| format!("{}: {}", directory.display(), crate::os_words(&error));
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(at)?;
    let there = fs::read_dir(directory).map_err(at)?.count();
    if there >= MOST {
        return Err(format!("{} has {there} dumps already; take some away", directory.display()));
    }
    let disk = rustix::fs::statvfs(directory).map_err(|error| at(error.into()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free < bytes {
        let [needed, free] = [bytes, free].map(|bytes| bytes >> 20);
        return Err(format!("{} has {free} MiB of room, and {needed} are needed", directory.display()));
    }
    let path = directory.join(format!("{}.core", guest_log::now()));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(at)?;
    Ok((path, file))
}

/// Has QEMU write the guest's memory into a file that it could not open by itself.
async fn fill(guest: &Guest, file: &File) -> Result<(), String> {
    let fd: OwnedFd = file.try_clone().map_err(|error| crate::os_words(&error))?.into();
    let said = |error: crate::vm::AskError| error.to_string();
    guest.ask_with(GetFd { id: DESCRIPTOR.into() }, Some(fd)).await.map_err(said)?;
    let command = DumpGuestMemory { protocol: format!("fd:{DESCRIPTOR}") };
    guest.ask_within(DUMP, command, None).await.map(drop).map_err(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_that_crashes_again_and_again_does_not_fill_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let dumps = directory.path().join("dump/a");
        for _ in 0..MOST {
            let (path, file) = create(&dumps, 1).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
            assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        }
        let reason = create(&dumps, 1).unwrap_err();
        assert!(reason.ends_with("has 5 dumps already; take some away"), "{reason}");
        let reason = create(&directory.path().join("dump/b"), u64::MAX).unwrap_err();
        assert!(reason.ends_with("MiB of room, and 17592186044415 are needed"), "{reason}");
        assert_eq!(fs::read_dir(directory.path().join("dump/b")).unwrap().count(), 0);
    }
}
