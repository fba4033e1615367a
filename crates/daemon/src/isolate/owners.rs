//! Whose a guest's files are while it runs.
//!
//! QEMU's user gets what the guest writes to, and may read what the guest reads; what was changed is on record before it
//! is changed, and is changed back when the guest is gone, by whoever finds that it is. A file that several guests use
//! is changed back by the last.
//!
//! The record is in the guest's run directory, where it is looked for while the guest runs; and beside the definitions,
//! on disk, since changed owners outlive the host's power, and run directories do not. The first daemon after that
//! changes them back ([`restore`]).

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, FlockOperation, flock};
use rustix::process::{Gid, Uid};
use serde::{Deserialize, Serialize};

use super::account::Account;
use super::needs::{Access, Need};
use super::path::{self, Opened, PathError};
use crate::store::file;

/// The record's name in a guest's run directory.
const RECORD: &str = "owners.json";

/// What a guest has on record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// The same record on disk.
    #[serde(default)]
    durable: Option<PathBuf>,
    /// The boot in which it was written: devices have other numbers in another.
    #[serde(default)]
    boot: String,
    entries: Vec<Entry>,
}

/// Why a file cannot be had for QEMU.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    #[error("open `{}` for QEMU's user", path.display())]
    Open {
        path: PathBuf,
        #[source]
        source: PathError,
    },
    #[error(
        "an image says that `{}` is the one below it, and another guest writes to that: name the images below in \
         <backingStore>",
        path.display()
    )]
    InUse { path: PathBuf },
    #[error("an image says that `{}` is the one below it, and that is no image", path.display())]
    NoImage { path: PathBuf },
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

    /// The same for an entry of an earlier boot, when the file's device may have had another number.
    fn was_of(&self, opened: &Opened) -> bool {
        self.inode == opened.stat.st_ino
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

/// Gives the files to `account` until [`release`]; `kept` is the directory of the records on disk. What the file system does not let be changed stays as it is: whether
/// QEMU can open it is seen when it is tried as QEMU's user.
pub(super) fn take(run_dir: &Path, kept: &Path, account: &Account, needs: &[Need]) -> Result<(), OwnerError> {
    let _lock = lock(run_dir)?;
    let Record { durable, mut entries, .. } = read(&run_dir.join(RECORD));
    let durable = durable.or_else(|| durable_of(run_dir, kept));
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
        if need.by_image {
            is_harmless(run_dir, account, &opened)?;
        }
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
    write(run_dir, durable, entries)?;
    for (opened, now, during) in pending {
        if let Err(error) = during.apply(&opened.fd, now) {
            tracing::debug!(path = %opened.path.display(), %error, "its owner cannot be changed");
        }
    }
    Ok(())
}

/// Refuses what an image names below itself where it is another guest's disk: all guests have the same user, and who
/// writes an image's header may want to see that.
fn is_harmless(run_dir: &Path, account: &Account, opened: &Opened) -> Result<(), OwnerError> {
    let path = || opened.path.clone();
    let kind = FileType::from_raw_mode(opened.stat.st_mode);
    if !matches!(kind, FileType::RegularFile | FileType::BlockDevice) {
        return Err(OwnerError::NoImage { path: path() });
    }
    let writes = |entry: &Entry| entry.is_of(opened) && entry.during.uid == account.uid.as_raw();
    if others(run_dir).iter().any(writes) { Err(OwnerError::InUse { path: path() }) } else { Ok(()) }
}

/// Gives the files of a guest that is gone back to those whose they were.
pub(super) fn release(run_dir: &Path) {
    if !run_dir.join(RECORD).exists() {
        return;
    }
    let Ok(_lock) = lock(run_dir) else { return };
    let record = read(&run_dir.join(RECORD));
    give_back(run_dir, &record.entries, |entry, opened| entry.is_of(opened));
    // Nothing is left to be done by a later reader. One that the host's power brings back finds nothing to change.
    for path in [Some(run_dir.join(RECORD)), record.durable].into_iter().flatten() {
        let _ = fs::remove_file(path);
    }
}

/// Gives files back that no guest has any more: those of guests whose run directories, in `guests`, are gone with the
/// host's power. `kept` is the directory of the records on disk.
pub(super) fn restore(guests: &Path, kept: &Path) {
    for entry in fs::read_dir(kept).into_iter().flatten().flatten() {
        let path = entry.path();
        let Some(run_dir) = path.file_stem().map(|name| guests.join(name)) else { continue };
        if path.extension().is_none_or(|extension| extension != "json") {
            if file::is_temporary(&entry.file_name()) {
                let _ = fs::remove_file(&path);
            }
            continue;
        }
        if run_dir.exists() {
            continue;
        }
        // Where there is no directory of guests yet nobody else changes owners.
        let _lock = lock(&run_dir).ok();
        let record = read(&path);
        tracing::info!(record = %path.display(), files = record.entries.len(), "owners of a lost guest's files");
        let is_same_boot = record.boot == crate::vm::boot();
        give_back(&run_dir, &record.entries, |entry, opened| {
            if is_same_boot { entry.is_of(opened) } else { entry.was_of(opened) }
        });
        let _ = fs::remove_file(&path);
    }
}

fn durable_of(run_dir: &Path, kept: &Path) -> Option<PathBuf> {
    let mut name = run_dir.file_name()?.to_owned();
    name.push(".json");
    Some(kept.join(name))
}

/// Gives some files of a running guest back.
pub(super) fn release_some(run_dir: &Path, needs: &[Need]) -> Result<(), OwnerError> {
    let _lock = lock(run_dir)?;
    let opened: Vec<Opened> = needs.iter().filter_map(|need| path::open(&need.path).ok()).collect();
    let Record { durable, entries, .. } = read(&run_dir.join(RECORD));
    let (gone, kept): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|entry| opened.iter().any(|opened| entry.is_of(opened)));
    give_back(run_dir, &gone, |entry, opened| entry.is_of(opened));
    write(run_dir, durable, kept)
}

fn give_back(run_dir: &Path, entries: &[Entry], is_it: impl Fn(&Entry, &Opened) -> bool) {
    let theirs = if entries.iter().any(|entry| entry.shared) { others(run_dir) } else { Vec::new() };
    for entry in entries {
        let in_use = theirs.iter().any(|other| (other.device, other.inode) == (entry.device, entry.inode));
        if in_use {
            continue;
        }
        let path = entry.path.display();
        match path::open(&entry.path) {
            Ok(opened) if is_it(entry, &opened) => {
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
    let others = directories.filter(|directory| directory != run_dir);
    others.flat_map(|directory| read(&directory.join(RECORD)).entries).collect()
}

/// A record; one that is not there, or was cut off with the host's power, is empty.
fn read(path: &Path) -> Record {
    let text = fs::read(path).unwrap_or_default();
    let of_entries = |_| Ok(Record { entries: serde_json::from_slice(&text)?, ..Record::default() });
    // An earlier form had the entries alone.
    let read: Result<Record, serde_json::Error> = serde_json::from_slice(&text).or_else(of_entries);
    read.unwrap_or_default()
}

/// Writes the record so that it is there whole or not at all, first on disk.
fn write(run_dir: &Path, durable: Option<PathBuf>, entries: Vec<Entry>) -> Result<(), OwnerError> {
    let path = run_dir.join(RECORD);
    let record = Record { boot: crate::vm::boot(), entries, durable };
    if record.entries.is_empty() {
        for path in [Some(&path), record.durable.as_ref()].into_iter().flatten() {
            match fs::remove_file(path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(OwnerError::Record { path: path.clone(), source });
                }
                _ => {}
            }
        }
        return Ok(());
    }
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| OwnerError::Record { path, source }
    };
    let text = serde_json::to_vec(&record).map_err(|error| failed(&path)(error.into()))?;
    if let Some(durable) = &record.durable {
        let save = || {
            let directory = durable.parent().ok_or(io::ErrorKind::NotFound)?;
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
            file::replace(directory, durable, &text)
        };
        save().map_err(failed(durable))?;
    }
    // A run directory does not outlive the kernel, so nothing is forced to a disk.
    let write = || -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(run_dir)?;
        file.write_all(&text)?;
        file.persist(&path)?;
        Ok(())
    };
    write().map_err(failed(&path))
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

        fn kept(&self) -> PathBuf {
            self.directory.path().join("owners")
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
        Need { path: path.into(), access, shared, named: true, by_image: false }
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
            return assert!(take(&guest, &host.kept(), &account(), &needs).is_err());
        }
        take(&guest, &host.kept(), &account(), &needs).unwrap();
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
    fn owners_are_restored_after_the_hosts_power_was_lost() {
        let host = Host::new();
        let (disk, other) = (host.file("disk", 0o640), host.file("other", 0o600));
        let before = [&disk, &other].map(|path| marks(path));
        let (lost, running) = (host.guest("lost"), host.guest("running"));
        if !is_root() {
            return println!("not root: owners not tried");
        }
        take(&lost, &host.kept(), &account(), &[need(&disk, Access::Write, false)]).unwrap();
        take(&running, &host.kept(), &account(), &[need(&other, Access::Write, false)]).unwrap();
        // What is in the run directory is gone with the power, and devices have other numbers.
        fs::remove_dir_all(&lost).unwrap();
        let durable = host.kept().join("lost.json");
        let mut record = read(&durable);
        assert_eq!((record.entries.len(), record.boot.clone()), (1, crate::vm::boot()));
        record.boot = "another".into();
        record.entries[0].device += 1;
        fs::write(&durable, serde_json::to_vec(&record).unwrap()).unwrap();
        fs::write(host.kept().join(".sevirt-x.tmp"), "half").unwrap();
        restore(&host.directory.path().join("guests"), &host.kept());
        assert_eq!(marks(&disk), before[0]);
        assert_eq!(marks(&other).0, GUEST, "a running guest's file is taken from it");
        let left: Vec<_> =
            fs::read_dir(host.kept()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["running.json"]);
        release(&running);
        assert_eq!(marks(&other), before[1]);
        assert_eq!(fs::read_dir(host.kept()).unwrap().count(), 0);
    }

    #[test]
    fn a_record_of_the_first_form_can_be_read() {
        let directory = tempfile::tempdir().unwrap();
        let marks = r#"{"uid":1,"gid":2,"mode":384}"#;
        let entry = format!(
            r#"[{{"path":"/x","device":1,"inode":2,"before":{marks},"during":{marks},"shared":false}}]"#
        );
        fs::write(directory.path().join(RECORD), entry).unwrap();
        assert_eq!(read(&directory.path().join(RECORD)).entries.len(), 1);
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
        take(&a, &host.kept(), &account(), &needs).unwrap();
        take(&b, &host.kept(), &account(), &needs).unwrap();
        release(&a);
        assert_eq!(marks(&disk).0, GUEST);
        release_some(&b, &needs).unwrap();
        assert_eq!(marks(&disk), before);
    }

    #[test]
    fn another_guests_disk_is_no_image_below() {
        let host = Host::new();
        let disk = host.file("disk", 0o600);
        let before = marks(&disk);
        let (a, b) = (host.guest("a"), host.guest("b"));
        if !is_root() {
            return println!("not root: owners not tried");
        }
        let by_image = |path: &Path| Need { by_image: true, ..need(path, Access::Read, true) };
        take(&a, &host.kept(), &account(), &[need(&disk, Access::Write, false)]).unwrap();
        for named in [true, false] {
            let below = Need { named, ..by_image(&disk) };
            let error = take(&b, &host.kept(), &account(), &[below]).unwrap_err();
            assert!(matches!(error, OwnerError::InUse { .. }), "{error}");
        }
        let error = take(&b, &host.kept(), &account(), &[by_image(host.directory.path())]).unwrap_err();
        assert!(matches!(error, OwnerError::NoImage { .. }), "{error}");
        release(&a);
        take(&b, &host.kept(), &account(), &[by_image(&disk)]).unwrap();
        release(&b);
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
        take(&guest, &host.kept(), &account(), &needs).unwrap();
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
        let error = take(&host.guest("a"), &host.kept(), &account(), &needs).unwrap_err();
        assert_eq!(error.to_string(), format!("open `{}` for QEMU's user", missing.display()));
        assert_eq!(marks(&disk), before);
    }
}
