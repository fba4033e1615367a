//! The state directory: who may use it, and how a file in it changes.
//!
//! A write goes to a temporary file which is synced and renamed, so that a loss of power or a kill at any instant leaves the
//! old file or the new one. One process at a time holds the directory's lock.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

/// The longest file that is read; the largest that is written is a tenth of it.
const MAX_LEN: u64 = 64 * 1024;

const LOCK: &str = "lock";

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrecy {
    /// The owner alone: it holds a private key.
    Private,
    /// Whoever can reach the directory.
    Public,
}

/// A locked state directory.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    /// Held for its lock, and to sync renames.
    handle: File,
    _lock: File,
}

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("create state directory `{path}`")]
    Create { path: PathBuf, source: io::Error },
    #[error("open state directory `{path}`")]
    Open { path: PathBuf, source: io::Error },
    #[error("state directory `{path}` is open to others (mode {mode:03o}): run `chmod 700 {path}`")]
    Exposed { path: PathBuf, mode: u32 },
    #[error("state directory `{path}` is in use by another sevsim")]
    InUse { path: PathBuf },
    #[error("read `{path}`")]
    Read { path: PathBuf, source: io::Error },
    #[error("write `{path}`")]
    Write { path: PathBuf, source: io::Error },
}

impl Store {
    /// Opens the directory and takes its lock.
    ///
    /// # Errors
    /// When it does not exist, is open to others, or another process holds it.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let open_error = |source| StoreError::Open { path: directory.into(), source };
        let handle = File::open(directory).map_err(open_error)?;
        let mode = handle.metadata().map_err(open_error)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(StoreError::Exposed { path: directory.into(), mode });
        }
        let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(directory.join(LOCK));
        let lock = lock.map_err(open_error)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { directory: directory.into(), handle, _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::InUse { path: directory.into() }),
            Err(error) => Err(open_error(error.into())),
        }
    }

    /// Makes the directory, for its owner alone, if it is not there, and opens it.
    ///
    /// # Errors
    /// As [`Store::open`], and when it cannot be made.
    pub fn create(directory: &Path) -> Result<Self, StoreError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|source| StoreError::Create { path: directory.into(), source })?;
        Self::open(directory)
    }

    /// Where the file of this name is.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A file's contents; nothing when there is no such file.
    ///
    /// # Errors
    /// When it cannot be read or is longer than any file of the simulator.
    pub fn read(&self, name: &str) -> Result<Option<zeroize::Zeroizing<Vec<u8>>>, StoreError> {
        let path = self.path(name);
        let mut contents = zeroize::Zeroizing::new(Vec::new());
        let read = File::open(&path).and_then(|file| file.take(MAX_LEN + 1).read_to_end(&mut contents));
        match read {
            Ok(length) if u64::try_from(length).is_ok_and(|length| length <= MAX_LEN) => Ok(Some(contents)),
            Ok(_) => Err(StoreError::Read { path, source: io::ErrorKind::FileTooLarge.into() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::Read { path, source }),
        }
    }

    /// Replaces a file's contents: afterwards, and after any interruption, it has the old ones or all of the new.
    ///
    /// # Errors
    /// When the directory cannot be written to; the old contents then still stand.
    pub fn write(&self, name: &str, contents: &[u8], secrecy: Secrecy) -> Result<(), StoreError> {
        let path = self.path(name);
        self.replace(&path, name, contents, secrecy).map_err(|source| StoreError::Write { path, source })
    }

    fn replace(&self, path: &Path, name: &str, contents: &[u8], secrecy: Secrecy) -> io::Result<()> {
        let mode = match secrecy {
            Secrecy::Private => 0o600,
            Secrecy::Public => 0o644,
        };
        // One name for a file's successor: what an interrupted write left is overwritten by the next. The lock keeps others
        // away.
        let temporary = self.path(&format!(".{name}.new"));
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        self.handle.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_files_for_their_owner() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("a/b");
        let store = Store::create(&state).unwrap();
        assert_eq!(state.metadata().unwrap().mode() & 0o777, 0o700);
        assert!(store.read("key").unwrap().is_none());
        store.write("key", b"one", Secrecy::Private).unwrap();
        store.write("key", b"two", Secrecy::Private).unwrap();
        assert_eq!(store.read("key").unwrap().unwrap().as_slice(), b"two");
        assert_eq!(store.path("key").metadata().unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn has_one_user() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let _first = Store::create(&state).unwrap();
        assert!(matches!(Store::open(&state), Err(StoreError::InUse { .. })));
    }

    #[test]
    fn refuses_a_directory_that_others_can_read() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        DirBuilder::new().mode(0o750).create(&state).unwrap();
        assert!(matches!(Store::open(&state), Err(StoreError::Exposed { mode: 0o750, .. })));
    }

    #[test]
    fn an_interrupted_write_leaves_the_old_file() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::create(&directory.path().join("state")).unwrap();
        store.write("key", b"old", Secrecy::Private).unwrap();
        fs::write(store.path(".key.new"), b"ne").unwrap();
        assert_eq!(store.read("key").unwrap().unwrap().as_slice(), b"old");
        store.write("key", b"new", Secrecy::Private).unwrap();
        assert_eq!(store.read("key").unwrap().unwrap().as_slice(), b"new");
    }

    #[test]
    fn refuses_a_file_without_end() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::create(&directory.path().join("state")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", store.path("key")).unwrap();
        assert!(matches!(store.read("key"), Err(StoreError::Read { .. })));
    }
}
