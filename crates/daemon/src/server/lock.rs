//! One daemon for one state directory.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Held while the daemon runs; the kernel lets go of it however the daemon ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("`{}` is served by another daemon{}: stop it first, or choose another --state-dir", directory.display(), held_by(*pid))]
    Held { directory: PathBuf, pid: Option<u32> },
    #[error("lock `{}`", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

fn held_by(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
}

/// Whether there is such a process, one that only waits to be reaped left out.
fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

impl Lock {
    /// Takes the directory, which is made if need be.
    pub(super) fn take(directory: &Path) -> Result<Self, LockError> {
        let path = directory.join("daemon.lock");
        let at = |source| LockError::File { path: path.clone(), source };
        std::fs::create_dir_all(directory).map_err(at)?;
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(at)?;
        // Whoever may open it may lock it, and keep the daemon out.
        if file.metadata().map_err(at)?.permissions().mode() & 0o077 != 0 {
            file.set_permissions(Permissions::from_mode(0o600)).map_err(at)?;
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = file.read_to_string(&mut text);
                let pid = text.trim().parse().ok();
                if pid.is_none_or(lives) {
                    return Err(LockError::Held { directory: directory.to_owned(), pid });
                }
                // It was killed while it started a guest: the child has the lock for another moment, until it becomes
                // QEMU or finds that its parent is gone.
                file.lock().map_err(at)?;
            }
            Err(TryLockError::Error(source)) => return Err(at(source)),
        }
        // Who holds it is told to others; it is the lock that counts, so a full disk does not matter.
        let _ = file.set_len(0).and_then(|()| file.rewind());
        let _ = writeln!(file, "{}", std::process::id());
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_the_first_is() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("lib");
        let first = Lock::take(&state).unwrap();
        let error = Lock::take(&state).unwrap_err();
        let pid = std::process::id();
        assert!(matches!(error, LockError::Held { pid: Some(held), .. } if held == pid), "{error}");
        assert!(error.to_string().contains(&format!("(pid {pid})")));
        drop(first);
        Lock::take(&state).unwrap();
    }

    #[test]
    fn nobody_else_can_hold_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("daemon.lock");
        for _ in 0..2 {
            let lock = Lock::take(directory.path()).unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            drop(lock);
            // As earlier versions made it.
            std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        }
    }
}
