//! The lab's state directory on the host: what outlives a run, and one run's temporary files.
//!
//! ```text
//! share/platform   the simulated platform's keys and state; the outer machine writes here
//! share/results    what jobs leave behind
//! guest.qcow2      the demo guest's disk, made when it is first wanted
//! console.log      the last outer machine's kernel console
//! .sevirt-run-*/   one run's disks, removed at its end
//! lock             held while a lab runs: one platform serves one machine
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Nobody else names a directory so: what is left of it is removed, and `--state-dir` may be anything.
const RUN_PREFIX: &str = ".sevirt-run-";

/// The state directory, locked.
#[derive(Debug)]
pub struct State {
    root: PathBuf,
    /// Locked as long as it is open.
    lock: File,
}

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("neither XDG_STATE_HOME nor HOME says where state is kept; give a directory with --state-dir")]
    Nowhere,
    #[error("prepare the lab's state directory `{}`", path.display())]
    Prepare { path: PathBuf, source: io::Error },
}

/// `$XDG_STATE_HOME/sevirt/lab`, or its default below `$HOME`.
///
/// # Errors
/// Neither variable is an absolute path.
pub fn default_directory() -> Result<PathBuf, StateError> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|base| base.join("sevirt/lab"))
        .ok_or(StateError::Nowhere)
}

impl State {
    /// Opens the directory, which is made if need be, and waits until no other lab uses it; `waiting` is told
    /// once if that takes a wait.
    ///
    /// # Errors
    /// It cannot be made or locked.
    pub fn open(root: &Path, waiting: impl FnOnce()) -> Result<Self, StateError> {
        let failed = |source| StateError::Prepare { path: root.to_owned(), source };
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        for directory in ["share/platform", "share/results"] {
            builder.create(root.join(directory)).map_err(failed)?;
        }
        // Absolute, since QEMU and the outer machine see it from elsewhere.
        let root = root.canonicalize().map_err(failed)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(root.join("lock"))
            .map_err(failed)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                waiting();
                flock(&lock, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
            }
            Err(error) => return Err(failed(error.into())),
        }
        let state = Self { root, lock };
        state.remove_leftovers().map_err(failed)?;
        Ok(state)
    }

    /// What a run left behind that was killed.
    fn remove_leftovers(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(RUN_PREFIX) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    /// The directory that the outer machine may write to.
    #[must_use]
    pub fn share(&self) -> PathBuf {
        self.root.join("share")
    }

    /// Where the simulated platform keeps its keys.
    #[must_use]
    pub fn platform(&self) -> PathBuf {
        self.root.join("share/platform")
    }

    /// Where the demo guest's image is kept, stored in the format of that name.
    #[must_use]
    pub fn demo_image(&self, format: &str) -> PathBuf {
        self.root.join(format!("guest.{format}"))
    }

    /// Where the initrd of a directly booted demo guest is kept.
    #[must_use]
    pub fn demo_initrd(&self) -> PathBuf {
        self.root.join("guest.initrd")
    }

    #[must_use]
    pub fn console_log(&self) -> PathBuf {
        self.root.join("console.log")
    }

    /// A directory for one run's files, removed when it is dropped.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn run_directory(&self) -> Result<tempfile::TempDir, StateError> {
        tempfile::Builder::new()
            .prefix(RUN_PREFIX)
            .tempdir_in(&self.root)
            .map_err(|source| StateError::Prepare { path: self.root.clone(), source })
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // Closing would do, were it not for children that inherited the descriptor.
        let _ = flock(&self.lock, FlockOperation::Unlock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_go_and_keys_stay() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("lab");
        let state = State::open(&root, || ()).unwrap();
        fs::write(state.platform().join("key"), "k").unwrap();
        let left = state.run_directory().unwrap().keep();
        let somebodys = root.join("run-server");
        fs::create_dir(&somebodys).unwrap();
        drop(state);
        let state = State::open(&root, || ()).unwrap();
        assert!(!left.exists());
        assert!(somebodys.exists(), "it is not the lab's");
        assert_eq!(fs::read_to_string(state.platform().join("key")).unwrap(), "k");
    }

    #[test]
    fn a_second_lab_waits_for_the_first() {
        let directory = tempfile::tempdir().unwrap();
        let first = State::open(directory.path(), || ()).unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        let path = directory.path().to_owned();
        let second = std::thread::spawn(move || State::open(&path, || sender.send(()).unwrap()).map(drop));
        receiver.recv().unwrap();
        drop(first);
        second.join().unwrap().unwrap();
    }
}
