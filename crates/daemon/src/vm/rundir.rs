//! A guest's run directory: private, locked while its supervisor lives, gone afterwards.
//!
//! It holds the QMP socket and what the supervisor keeps of the guest. In it is QEMU's own directory, for the launch
//! blobs and the sockets that QEMU makes: QEMU may write there and nowhere else in it. A supervisor that was killed with no chance to tidy leaves its
//! directory behind without the lock; the next one that starts removes it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};

use super::record::{LIVE, PROCESS, STATUS};

/// How long a path `sockaddr_un` takes, without its final NUL.
const SOCKET_PATH_LIMIT: usize = 107;

/// QEMU's own directory in it.
pub(crate) const QEMU: &str = "qemu";

/// A guest's run directory; dropping it removes it, unless it is to outlive this process.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    outlives: AtomicBool,
    /// Holds the lock.
    _lock: OwnedFd,
}

#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
    #[error("prepare the run directory `{path}`")]
    Prepare {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the run directory `{path}` belongs to someone else, or others may write to it")]
    NotOurs { path: PathBuf },
    #[error("the path of the QMP socket, `{path}`, is longer than {SOCKET_PATH_LIMIT} bytes")]
    TooLong { path: PathBuf },
    #[error("get random bytes")]
    Random(#[source] getrandom::Error),
}

impl RunDir {
    /// Makes a directory for the guest called `name` below `base`, which is made too where it is missing.
    pub fn create(base: &Path, name: &str) -> Result<Self, RunDirError> {
        let failed = |path: &Path, source| RunDirError::Prepare { path: path.to_owned(), source };
        if let Some(parent) = base.parent() {
            fs::create_dir_all(parent).map_err(|e| failed(parent, e))?;
        }
        DirBuilder::new().recursive(true).mode(0o700).create(base).map_err(|e| failed(base, e))?;
        let base_dir = open_dir(base).map_err(|e| failed(base, e))?;
        let found = fs::symlink_metadata(base).map_err(|e| failed(base, e))?;
        let ours = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
        if !ours || found.permissions().mode() & 0o022 != 0 {
            return Err(RunDirError::NotOurs { path: base.to_owned() });
        }
        // Between making a directory and locking it, nobody may take it for an abandoned one.
        if flock(&base_dir, FlockOperation::NonBlockingLockExclusive).is_ok() {
            sweep(base);
        } else {
            flock(&base_dir, FlockOperation::LockShared).map_err(|e| failed(base, e.into()))?;
        }
        let mut random = [0u8; 4];
        getrandom::fill(&mut random).map_err(RunDirError::Random)?;
        let path = base.join(format!("{}-{:08x}", short(name), u32::from_ne_bytes(random)));
        DirBuilder::new().mode(0o700).create(&path).map_err(|e| failed(&path, e))?;
        let locked = open_dir(&path).and_then(|dir| {
            flock(&dir, FlockOperation::NonBlockingLockExclusive)?;
            Ok(dir)
        });
        let locked = locked.and_then(|lock| {
            DirBuilder::new().mode(0o700).create(path.join(QEMU))?;
            Ok(lock)
        });
        match locked {
            Ok(lock) => Ok(Self { path, outlives: AtomicBool::new(false), _lock: lock }),
            Err(error) => {
                // Nothing else can be in it yet.
                let _ = fs::remove_dir_all(&path);
                Err(failed(&path, error))
            }
        }
    }

    /// Takes over the directory of a guest that outlived its supervisor. `None`: somebody else has it.
    ///
    /// A directory with a record is its daemon's, of which there is one. A child that its killed predecessor was about
    /// to make a guest of may hold the lock for another moment; that is no reason to leave a guest alone.
    pub fn adopt(path: PathBuf) -> io::Result<Option<Self>> {
        let lock = open_dir(&path)?;
        let locked = flock(&lock, FlockOperation::NonBlockingLockExclusive);
        let adopted = Self { path, outlives: AtomicBool::new(true), _lock: lock };
        match locked {
            Ok(()) => Ok(Some(adopted)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(adopted.has_record().then_some(adopted)),
            Err(error) => Err(error.into()),
        }
    }

    /// From now on it stays when this is dropped.
    pub fn outlive(&self) {
        self.outlives.store(true, Ordering::Relaxed);
    }

    /// Whether it belongs to a guest in the background.
    pub fn has_record(&self) -> bool {
        self.path.join(STATUS).exists()
    }

    /// Its guest is gone and is to be launched anew: what it was stays on record until that is done.
    pub(crate) fn leave_record(self) {
        crate::isolate::release(&self.path);
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            if [STATUS, LIVE].iter().all(|kept| entry.file_name() != *kept) {
                let path = entry.path();
                // What cannot be removed now goes with the directory.
                let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
            }
        }
    }

    /// Its guest is gone, and so it goes.
    pub fn remove(self) {
        self.outlives.store(false, Ordering::Relaxed);
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// QEMU's own directory: what it reads and writes that the domain names no path for.
    pub fn qemu(&self) -> PathBuf {
        self.path.join(QEMU)
    }

    /// Where a child that outlives this process writes down that it exists.
    pub(super) fn process_record(&self) -> io::Result<OwnedFd> {
        let path = self.path.join(PROCESS);
        Ok(OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?.into())
    }

    /// Binds the socket on which QEMU will offer QMP. It listens before QEMU exists, so that a connection can be made
    /// at once and no one waits for a file to appear.
    pub fn listen(&self) -> Result<UnixListener, RunDirError> {
        let path = self.monitor();
        if path.as_os_str().len() > SOCKET_PATH_LIMIT {
            return Err(RunDirError::TooLong { path });
        }
        let failed = |source| RunDirError::Prepare { path: path.clone(), source };
        let listener = UnixListener::bind(&path).map_err(failed)?;
        // The directory is closed to others, so nobody can connect before this.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(listener)
    }

    /// The QMP socket's path.
    pub fn monitor(&self) -> PathBuf {
        self.path.join("qmp.sock")
    }

    /// Writes a file that only its owner may read.
    pub fn write(&self, path: &Path, contents: &[u8]) -> Result<(), RunDirError> {
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            // What lies in QEMU's directory is QEMU's.
            let directory = fs::metadata(path.parent().unwrap_or(path))?;
            if directory.uid() != rustix::process::geteuid().as_raw() {
                std::os::unix::fs::fchown(&file, Some(directory.uid()), Some(directory.gid()))?;
            }
            file.write_all(contents)
        };
        write().map_err(|source| RunDirError::Prepare { path: path.to_owned(), source })
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        if self.outlives.load(Ordering::Relaxed) {
            return;
        }
        crate::isolate::release(&self.path);
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "run directory stays behind");
        }
    }
}

/// Where run directories lie: `/run/sevirt/guests` for root, else the user's own runtime directory.
pub fn base(runtime_dir: Option<&Path>) -> PathBuf {
    let user = rustix::process::geteuid();
    match runtime_dir {
        _ if user.is_root() => PathBuf::from("/run/sevirt/guests"),
        Some(dir) => dir.join("sevirt/guests"),
        None => std::env::temp_dir().join(format!("sevirt-{}", user.as_raw())),
    }
}

/// Removes what supervisors that were killed have left.
fn sweep(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        // A guest in the background outlives its supervisor, and is there for the next one.
        if path.join(STATUS).exists() {
            continue;
        }
        let Ok(dir) = open_dir(&path) else { continue };
        if flock(&dir, FlockOperation::NonBlockingLockExclusive).is_ok() {
            tracing::info!(path = %path.display(), "removes an abandoned run directory");
            crate::isolate::release(&path);
            // Whoever cannot remove it now finds it again next time.
            let _ = fs::remove_dir_all(&path);
        }
    }
}

fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// As much of a guest's name as is fit for a directory's.
fn short(name: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' };
    name.chars().map(fit).take(24).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_private_and_goes_with_its_owner() {
        let base = tempfile::tempdir().unwrap();
        let base = base.path().join("guests");
        let dir = RunDir::create(&base, "a guest/../../with a name that is far too long").unwrap();
        let path = dir.path().to_owned();
        assert_eq!(path.parent(), Some(base.as_path()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        let _listener = dir.listen().unwrap();
        assert_eq!(fs::metadata(dir.monitor()).unwrap().permissions().mode() & 0o777, 0o600);
        let blob = path.join("session.base64");
        dir.write(&blob, b"secret").unwrap();
        assert_eq!(fs::metadata(&blob).unwrap().permissions().mode() & 0o777, 0o600);
        drop(dir);
        assert!(!path.exists());
    }

    #[test]
    fn what_a_killed_supervisor_left_is_removed_and_the_living_kept() {
        let base = tempfile::tempdir().unwrap();
        fs::set_permissions(base.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let living = RunDir::create(base.path(), "living").unwrap();
        let dead = base.path().join("dead-00000000");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join("session.base64"), "x").unwrap();
        let _next = RunDir::create(base.path(), "next").unwrap();
        assert!(living.path().exists());
        assert!(!dead.exists());
    }

    #[test]
    fn a_guest_in_the_background_is_left_for_the_next_supervisor() {
        let base = tempfile::tempdir().unwrap();
        fs::set_permissions(base.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let dir = RunDir::create(base.path(), "a").unwrap();
        let path = dir.path().to_owned();
        fs::write(path.join(STATUS), "{}").unwrap();
        dir.outlive();
        fs::remove_file(path.join(STATUS)).unwrap();
        assert!(RunDir::adopt(path.clone()).unwrap().is_none(), "it is taken from its owner");
        fs::write(path.join(STATUS), "{}").unwrap();
        assert!(RunDir::adopt(path.clone()).unwrap().is_some(), "a child's lock keeps the next daemon out");
        drop(dir);
        let _next = RunDir::create(base.path(), "next").unwrap();
        let adopted = RunDir::adopt(path.clone()).unwrap().unwrap();
        adopted.remove();
        assert!(!path.exists());
    }

    #[test]
    fn a_base_that_others_may_write_to_is_refused() {
        let base = tempfile::tempdir().unwrap();
        fs::set_permissions(base.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(RunDir::create(base.path(), "x"), Err(RunDirError::NotOurs { .. })));
    }

    #[test]
    fn a_socket_path_that_is_too_long_is_named() {
        let base = tempfile::tempdir().unwrap();
        let base = base.path().join("x".repeat(100));
        let dir = RunDir::create(&base, "x").unwrap();
        assert!(matches!(dir.listen(), Err(RunDirError::TooLong { .. })));
    }
}
