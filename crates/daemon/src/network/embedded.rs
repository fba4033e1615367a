//! The network `default`: its UUID, whether it is active, whether it starts with the host.
//!
//! ```text
//!   state/networks/default.xml             ─ its definition
//!   state/networks/autostart/default.xml   ─► ../default.xml
//!   run/networks/default.xml               ─ it is active
//! ```

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use domain::Document;
use rpc::error::Code;
use rpc::xdr::Uuid;

use super::fault;
use crate::locked;
use crate::service::{Failure, Paths};
use crate::store::file;

const FILE: &str = "default.xml";
/// A definition is smaller by far.
const DEFINITION_MAX: u64 = 64 << 10;

/// The network, read when it is first asked for.
#[derive(Debug)]
pub(crate) struct Embedded {
    state: PathBuf,
    run: PathBuf,
    known: Mutex<Option<State>>,
}

/// What it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) uuid: Uuid,
    pub(crate) active: bool,
    pub(crate) autostart: bool,
}

impl State {
    /// Its document: what QEMU's user-mode network is like to a guest.
    pub(crate) fn print(&self) -> String {
        format!(
            "<network>\n  <name>default</name>\n  <uuid>{}</uuid>\n  <forward mode='nat'/>\n  \
             <ip address='10.0.2.2' netmask='255.255.255.0'>\n    <dhcp>\n      \
             <range start='10.0.2.15' end='10.0.2.30'/>\n    </dhcp>\n  </ip>\n</network>\n",
            self.uuid
        )
    }
}

impl Embedded {
    pub(crate) fn new(paths: &Paths) -> Self {
        let (state, run) = (paths.state.join("networks"), paths.run.join("networks"));
        Self { state, run, known: Mutex::new(None) }
    }

    pub(crate) fn state(&self) -> State {
        *locked(&self.known).get_or_insert_with(|| self.load())
    }

    /// What is on disk. The first time there is nothing: it is made, active and starting with the host.
    fn load(&self) -> State {
        let booted = !self.run.exists();
        let read = read_uuid(&self.state.join(FILE));
        let (first, uuid) = (read.is_none(), read.unwrap_or_else(|| Uuid(uuid::Uuid::new_v4().into_bytes())));
        let mut state = State { uuid, active: self.run.join(FILE).exists(), autostart: first };
        let save = || -> io::Result<()> {
            if first {
                write(&self.state, &state)?;
                link(&self.autostart())?;
            }
            Ok(())
        };
        if let Err(error) = save() {
            tracing::warn!(%error, directory = %self.state.display(), "the network `default` is not kept");
        }
        state.autostart |= self.autostart().join(FILE).is_symlink();
        if booted && state.autostart {
            if let Err(error) = write(&self.run, &state) {
                tracing::warn!(%error, directory = %self.run.display(), "the network `default` is not kept active");
            }
            state.active = true;
        }
        state
    }

    /// Starts or stops it. Guests that run keep what they have.
    pub(crate) fn set_active(&self, active: bool) -> Result<State, Failure> {
        self.change(|state| {
            if state.active == active {
                let words =
                    if active { "network is already active" } else { "network 'default' is not active" };
                return Err(fault(Code::OPERATION_INVALID, words));
            }
            let done =
                if active { write(&self.run, state) } else { file::remove(&self.run, &self.run.join(FILE)) };
            done.map_err(|error| failed(&self.run, &error))?;
            state.active = active;
            Ok(())
        })
    }

    pub(crate) fn set_autostart(&self, on: bool) -> Result<State, Failure> {
        self.change(|state| {
            let directory = self.autostart();
            let done = if on { link(&directory) } else { unlink(&directory) };
            done.map_err(|error| failed(&directory, &error))?;
            state.autostart = on;
            Ok(())
        })
    }

    fn change(&self, act: impl FnOnce(&mut State) -> Result<(), Failure>) -> Result<State, Failure> {
        let mut known = locked(&self.known);
        let state = known.get_or_insert_with(|| self.load());
        act(state).map(|()| *state)
    }

    fn autostart(&self) -> PathBuf {
        self.state.join("autostart")
    }
}

fn failed(directory: &Path, error: &io::Error) -> Failure {
    fault(Code::SYSTEM_ERROR, format!("cannot write '{}': {error}", directory.join(FILE).display()))
}

fn made(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

fn write(directory: &Path, state: &State) -> io::Result<()> {
    made(directory)?;
    file::replace(directory, &directory.join(FILE), state.print().as_bytes())
}

fn link(directory: &Path) -> io::Result<()> {
    made(directory)?;
    match symlink(Path::new("..").join(FILE), directory.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => file::sync(directory),
    }
}

fn unlink(directory: &Path) -> io::Result<()> {
    if directory.exists() { file::remove(directory, &directory.join(FILE)) } else { Ok(()) }
}

/// The UUID in a definition. One that cannot be read is left aside, and another one is made in its place.
fn read_uuid(path: &Path) -> Option<Uuid> {
    use std::io::Read as _;
    let mut text = String::new();
    fs::File::open(path).ok()?.take(DEFINITION_MAX).read_to_string(&mut text).ok()?;
    let document = Document::parse(&text).ok()?;
    let uuid = document.root().child("uuid")?.text().trim().to_owned();
    uuid::Uuid::try_parse(&uuid).ok().map(|uuid| Uuid(uuid.into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_same_after_a_restart_and_starts_with_the_host() {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths::below(directory.path(), true);
        let first = Embedded::new(&paths).state();
        assert!(first.active && first.autostart);
        assert_eq!(Embedded::new(&paths).state(), first);

        let network = Embedded::new(&paths);
        network.set_active(false).unwrap();
        let error = network.set_active(false).unwrap_err();
        assert_eq!(error.to_string(), "Requested operation is not valid: network 'default' is not active");
        assert!(!Embedded::new(&paths).state().active);
        fs::remove_dir_all(&paths.run).unwrap();
        assert_eq!(Embedded::new(&paths).state(), first);

        network.set_autostart(false).unwrap();
        fs::remove_dir_all(&paths.run).unwrap();
        let now = Embedded::new(&paths).state();
        assert_eq!(now, State { active: false, autostart: false, ..first });
    }

    #[test]
    fn it_is_there_where_nothing_can_be_written() {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths::below(&directory.path().join("file/no"), true);
        fs::write(directory.path().join("file"), "").unwrap();
        let network = Embedded::new(&paths);
        assert!(network.state().active);
        assert_eq!(network.state(), network.state());
        assert_eq!(network.set_active(false).unwrap_err().code, Code::SYSTEM_ERROR);
    }
}
