//! Whose a guest's files are while it runs.
//!
//! QEMU's user gets what the guest writes to, and may read what the guest reads; what was changed is on record in the
//! guest's run directory before it is changed, and is changed back when the guest is gone, by whoever finds that it is.
//! A file that several guests use is changed back by the last.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FlockOperation, flock};
use rustix::process::{Gid, Uid};
use serde::{Deserialize, Serialize};

use super::account::Account;
use super::needs::{Access, Need};
use super::path::{self, Opened, PathError};

/// The record's name in a guest's run directory.
const RECORD: &str = "owners.json";

/// Why a file cannot be had for QEMU.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    #[error("open `{}` for QEMU's user", path.display())]
    Open {
        path: PathBuf,
        #[source]
        source: PathError,
    },
    #[error("keep the record of owners `{}`", path.display())]
    Record {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// A file whose owner, group or mode was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    path: PathBuf,
    device: u64,
    inode: u64,
    before: Marks,
    during: Marks,
    /// Another guest may need it when this one is gone.
    shared: bool,
}

/// Owner, group and permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Marks {
    uid: u32,
    gid: u32,
    mode: u32,
}

impl Entry {
    fn is_of(&self, opened: &Opened) -> bool {
        (self.device, self.inode) == (opened.stat.st_dev, opened.stat.st_ino)
    }
}

impl Marks {
    fn of(opened: &Opened) -> Self {
        let stat = &opened.stat;
        Self { uid: stat.st_uid, gid: stat.st_gid, mode: stat.st_mode & 0o7777 }
    }

    /// Which of read (4) and write (2) the account has, and whether it is everybody's.
    fn open_to(self, account: &Account, wanted: u32) -> (bool, bool) {
        let everybodys = self.mode & wanted == wanted;
        let class = if self.uid == account.uid.as_raw() {
            self.mode >> 6
        } else if self.gid == account.gid.as_raw() {
            self.mode >> 3
        } else {
            self.mode
        };
        (class & wanted == wanted, everybodys)
    }

    /// As they have to be for the account.
    fn opened_to(self, account: &Account, access: Access) -> Self {
        match access {
            // The group reads, and only that: what is shared is not to be written by one of those who share it.
            Access::Read => Self { gid: account.gid.as_raw(), mode: self.mode & !0o020 | 0o040, ..self },
            Access::Write | Access::Create => {
                Self { uid: account.uid.as_raw(), mode: self.mode | 0o600, ..self }
            }
        }
    }

    fn apply(self, fd: &OwnedFd, now: Self) -> io::Result<()> {
        if (self.uid, self.gid) != (now.uid, now.gid) {
            let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
            rustix::fs::chownat(fd, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
        }
        if self.mode != now.mode {
            // A descriptor that was opened by path only has no other way.
            fs::set_permissions(
                format!("/proc/self/fd/{}", fd.as_raw_fd()),
                Permissions::from_mode(self.mode),
            )?;
        }
        Ok(())
    }
}

/// Gives the files to `account` until [`release`]. What the file system does not let be changed stays as it is: whether
/// QEMU can open it is seen when it is tried as QEMU's user.
pub(super) fn take(run_dir: &Path, account: &Account, needs: &[Need]) -> Result<(), OwnerError> {
    let _lock = lock(run_dir)?;
    let mut entries = read(run_dir);
    let mut pending = Vec::new();
    for need in needs {
        let failed = |source| OwnerError::Open { path: need.path.clone(), source };
        if need.access == Access::Create {
            create(&need.path, account).map_err(|source| failed(source.into()))?;
        }
        let opened = match path::open(&need.path) {
            Ok(opened) => opened,
            // QEMU asks for no leave to use what is open to all.
            Err(_) if !need.named => continue,
            Err(source) => return Err(failed(source)),
        };
        if entries.iter().any(|entry: &Entry| entry.is_of(&opened)) {
            continue;
        }
        let now = Marks::of(&opened);
        let wanted = if need.access == Access::Read { 0o4 } else { 0o6 };
        let entry = |before, during, shared| Entry {
            path: opened.path.clone(),
            device: opened.stat.st_dev,
            inode: opened.stat.st_ino,
            before,
            during,
            shared,
        };
        match now.open_to(account, wanted) {
            (true, true) => {}
            // Another guest may have it.
            (true, false) => {
                if let Some(theirs) = others(run_dir).into_iter().find(|entry| entry.is_of(&opened)) {
                    entries.push(entry(theirs.before, now, true));
                }
            }
            (false, _) if !need.named => {}
            (false, _) => {
                let during = now.opened_to(account, need.access);
                // Where another guest has it for another use, what it was before is known there.
                let theirs = others(run_dir).into_iter().find(|entry| entry.is_of(&opened));
                let before = theirs.as_ref().map_or(now, |entry| entry.before);
                entries.push(entry(before, during, need.shared || theirs.is_some()));
                pending.push((opened, now, during));
            }
        }
    }
    write(run_dir, &entries)?;
    for (opened, now, during) in pending {
        if let Err(error) = during.apply(&opened.fd, now) {
            tracing::debug!(path = %opened.path.display(), %error, "its owner cannot be changed");
        }
    }
    Ok(())
}

/// Gives the files of a guest that is gone back to those whose they were.
pub(super) fn release(run_dir: &Path) {
    if !run_dir.join(RECORD).exists() {
        return;
    }
    let Ok(_lock) = lock(run_dir) else { return };
    give_back(run_dir, &read(run_dir));
    // Nothing is left to be done by a later reader.
    let _ = fs::remove_file(run_dir.join(RECORD));
}

/// Gives some files of a running guest back.
pub(super) fn release_some(run_dir: &Path, needs: &[Need]) -> Result<(), OwnerError> {
    let _lock = lock(run_dir)?;
    let opened: Vec<Opened> = needs.iter().filter_map(|need| path::open(&need.path).ok()).collect();
    let (gone, kept): (Vec<_>, Vec<_>) =
        read(run_dir).into_iter().partition(|entry| opened.iter().any(|opened| entry.is_of(opened)));
    give_back(run_dir, &gone);
    write(run_dir, &kept)
}

fn give_back(run_dir: &Path, entries: &[Entry]) {
    let theirs = if entries.iter().any(|entry| entry.shared) { others(run_dir) } else { Vec::new() };
    for entry in entries {
        let in_use = theirs.iter().any(|other| (other.device, other.inode) == (entry.device, entry.inode));
        if in_use {
            continue;
        }
        let path = entry.path.display();
        match path::open(&entry.path) {
            Ok(opened) if entry.is_of(&opened) => {
                let now = Marks::of(&opened);
                if now != entry.during {
                    tracing::debug!(%path, "somebody else has changed its owner meanwhile");
                } else if let Err(error) = entry.before.apply(&opened.fd, now) {
                    tracing::warn!(%path, %error, uid = entry.before.uid, "cannot give a file back to its owner");
                }
            }
            Ok(_) => tracing::debug!(%path, "another file has its name now"),
            Err(error) => tracing::debug!(%path, %error, "a file of the guest is not there any more"),
        }
    }
}

/// Makes a file that QEMU will write to, where it is missing.
fn create(path: &Path, account: &Account) -> io::Result<()> {
    let made = fs::OpenOptions::new().append(true).create_new(true).mode(0o600).open(path);
    match made {
        Ok(file) => Ok(rustix::fs::fchown(&file, Some(account.uid), Some(account.gid))?),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// What the other guests have on record.
fn others(run_dir: &Path) -> Vec<Entry> {
    let base = run_dir.parent().map(fs::read_dir);
    let directories = base.into_iter().flatten().flatten().flatten().map(|entry| entry.path());
    directories.filter(|directory| directory != run_dir).flat_map(|directory| read(&directory)).collect()
}

/// The record; one that is not there, or was cut off with the host's power, is empty.
fn read(run_dir: &Path) -> Vec<Entry> {
    let text = fs::read(run_dir.join(RECORD)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Writes the record so that it is there whole or not at all. The run directory does not outlive the kernel, so nothing
/// is forced to a disk.
fn write(run_dir: &Path, entries: &[Entry]) -> Result<(), OwnerError> {
    let path = run_dir.join(RECORD);
    let write = || -> io::Result<()> {
        if entries.is_empty() {
            return match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        let mut file = tempfile::NamedTempFile::new_in(run_dir)?;
        file.write_all(&serde_json::to_vec(entries)?)?;
        file.persist(&path)?;
        Ok(())
    };
    write().map_err(|source| OwnerError::Record { path: path.clone(), source })
}

/// Held while owners are changed: the directory of the guests' run directories.
fn lock(run_dir: &Path) -> Result<File, OwnerError> {
    let path = run_dir.parent().unwrap_or(run_dir);
    let lock = || -> io::Result<File> {
        let directory = File::open(path)?;
        flock(&directory, FlockOperation::LockExclusive)?;
        Ok(directory)
    };
    lock().map_err(|source| OwnerError::Record { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, chown};

    use super::*;

    struct Host {
        directory: tempfile::TempDir,
    }

    const GUEST: u32 = 54_321;

    impl Host {
        fn new() -> Self {
            Self { directory: tempfile::tempdir().unwrap() }
        }

        fn guest(&self, name: &str) -> PathBuf {
            let path = self.directory.path().join("guests").join(name);
            fs::create_dir_all(&path).unwrap();
            path
        }

        fn file(&self, name: &str, mode: u32) -> PathBuf {
            let path = self.directory.path().join(name);
            fs::write(&path, name).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            path
        }
    }

    fn account() -> Account {
        Account { name: "test".into(), uid: Uid::from_raw(GUEST), gid: Gid::from_raw(GUEST) }
    }

    fn need(path: &Path, access: Access, shared: bool) -> Need {
        Need { path: path.into(), access, shared, named: true }
    }

    fn marks(path: &Path) -> (u32, u32, u32) {
        let found = fs::metadata(path).unwrap();
        (found.uid(), found.gid(), found.mode() & 0o7777)
    }

    /// Who is not root cannot give files away.
    fn is_root() -> bool {
        rustix::process::geteuid().is_root()
    }

    #[test]
    fn files_are_given_and_given_back() {
        let host = Host::new();
        let guest = host.guest("a");
        let (disk, iso, public) =
            (host.file("disk", 0o640), host.file("iso", 0o600), host.file("public", 0o644));
        let before = [&disk, &iso, &public].map(|path| marks(path));
        let needs = [
            need(&disk, Access::Write, false),
            need(&iso, Access::Read, true),
            need(&public, Access::Read, true),
            need(&host.directory.path().join("log"), Access::Create, false),
        ];
        if !is_root() {
            return assert!(take(&guest, &account(), &needs).is_err());
        }
        take(&guest, &account(), &needs).unwrap();
        let (own, group) = (before[0].0, before[0].1);
        assert_eq!(marks(&disk), (GUEST, group, 0o640));
        assert_eq!(marks(&iso), (own, GUEST, 0o640));
        assert_eq!(marks(&public), before[2]);
        assert_eq!(marks(&needs[3].path), (GUEST, GUEST, 0o600));
        release(&guest);
        assert_eq!([&disk, &iso, &public].map(|path| marks(path)), before);
        assert!(!guest.join(RECORD).exists());
        // A second time there is nothing to do.
        release(&guest);
    }

    #[test]
    fn the_last_guest_gives_a_shared_file_back() {
        let host = Host::new();
        let disk = host.file("disk", 0o600);
        let before = marks(&disk);
        let needs = [need(&disk, Access::Write, true)];
        let (a, b) = (host.guest("a"), host.guest("b"));
        if !is_root() {
            return println!("not root: owners not tried");
        }
        take(&a, &account(), &needs).unwrap();
        take(&b, &account(), &needs).unwrap();
        release(&a);
        assert_eq!(marks(&disk).0, GUEST);
        release_some(&b, &needs).unwrap();
        assert_eq!(marks(&disk), before);
    }

    #[test]
    fn a_file_that_was_changed_or_replaced_meanwhile_is_let_alone() {
        let host = Host::new();
        let (changed, replaced) = (host.file("changed", 0o600), host.file("replaced", 0o600));
        let guest = host.guest("a");
        if !is_root() {
            return println!("not root: owners not tried");
        }
        let needs = [need(&changed, Access::Write, false), need(&replaced, Access::Write, false)];
        take(&guest, &account(), &needs).unwrap();
        chown(&changed, Some(77), None).unwrap();
        fs::rename(&replaced, host.directory.path().join("away")).unwrap();
        fs::write(&replaced, "new").unwrap();
        chown(&replaced, Some(GUEST), None).unwrap();
        release(&guest);
        assert_eq!(marks(&changed).0, 77);
        assert_eq!(marks(&replaced).0, GUEST);
    }

    #[test]
    fn a_missing_file_is_named_and_nothing_is_changed() {
        let host = Host::new();
        let disk = host.file("disk", 0o600);
        let before = marks(&disk);
        let missing = host.directory.path().join("missing");
        let needs = [need(&disk, Access::Write, false), need(&missing, Access::Write, false)];
        let error = take(&host.guest("a"), &account(), &needs).unwrap_err();
        assert_eq!(error.to_string(), format!("open `{}` for QEMU's user", missing.display()));
        assert_eq!(marks(&disk), before);
    }
}
